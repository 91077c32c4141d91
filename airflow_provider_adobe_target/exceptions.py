"""Exceptions of this provider.

They do not derive from Airflow's exceptions. Operators and sensors let Airflow retry
:class:`AdobeTargetUnavailableError` and :class:`SourceReadError`, and raise ``AirflowFailException`` for the others.
"""

from __future__ import annotations


class AdobeTargetError(Exception):
    """Base class of the provider's exceptions. Messages never contain values of rows or secrets.

    :ivar maybe_accepted: Whether Adobe Target may have queued a batch file, because its response was lost.
    """

    maybe_accepted = False


class ConnectionSettingsError(AdobeTargetError):
    """A field of the Airflow connection is invalid or missing."""


class SourceReadError(AdobeTargetError):
    """A database driver failed while rows were read.

    The message does not contain the driver's message, which may quote a row. A retry may help, because the class of the
    driver's exception does not distinguish a lost connection from an invalid value.
    """


class ProfileDataError(AdobeTargetError):
    """The rows cannot be converted to profiles: a column, name or file is invalid, or too many rows are rejected."""


class EmptySourceError(ProfileDataError):
    """The source has no rows, and ``on_no_rows`` is ``skip``."""


class TargetRefusedError(AdobeTargetError):
    """Adobe Target refused a request permanently: ``success=false``, a 4xx status, or a redirect."""


class ProfileNotFoundError(AdobeTargetError):
    """Adobe Target has no profile with an id."""


class UnclearAnswerError(TargetRefusedError):
    """The response to a batch upload or a token rotation is unusable.

    It is unknown whether Adobe Target queued the file or generated the token.
    """

    maybe_accepted = True


class TokenRefusedError(TargetRefusedError):
    """Adobe Target refused the Profile API token (401 or 403)."""


class StatusLostError(TargetRefusedError):
    """Adobe Target no longer has the batch, or its response contains no status."""


class BatchOutcomeError(AdobeTargetError):
    """A batch failed: it is stuck, its row count differs, or a failure limit was exceeded."""


class BatchTimeoutError(AdobeTargetError):
    """A batch had no final status at the deadline."""


class AdobeTargetUnavailableError(AdobeTargetError):
    """Adobe Target returned no usable response within the retry policy. A later retry may help.

    :param message: Message.
    :param retry_after: Seconds to wait before the next call, if Target throttled the request (429, 503).
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PersonRefusedError(AdobeTargetError):
    """Adobe Target refused the data of one person (400). It may accept those of others."""
