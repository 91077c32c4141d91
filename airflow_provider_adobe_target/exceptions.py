"""One tree of errors.

Nothing here derives from an Airflow exception: the operators and sensors decide which errors Airflow may retry
(:class:`AdobeTargetUnavailableError`) and which it must not (every other one, raised as ``AirflowFailException``).
"""

from __future__ import annotations


class AdobeTargetError(Exception):
    """Anything this provider raises on purpose. Its text never holds a row's value or a secret.

    :ivar maybe_accepted: whether Adobe Target may have taken a batch file all the same: its answer never came
    """

    maybe_accepted = False


class ConnectionSettingsError(AdobeTargetError):
    """The Airflow connection cannot be used as it is set."""


class SourceReadError(AdobeTargetError):
    """A database driver failed while rows were read. The text does not hold the driver's, which can quote a row.

    Another try may help: the class of the driver's error does not tell a lost connection from a bad value.
    """


class ProfileDataError(AdobeTargetError):
    """The rows cannot become profiles: a column, a name, a file or a limit on bad rows."""


class TargetRefusedError(AdobeTargetError):
    """Adobe Target said no, and would say it again: ``success=false``, a 4xx, a redirect."""


class ProfileNotFoundError(AdobeTargetError):
    """Adobe Target has no profile of an id."""


class UnclearAnswerError(TargetRefusedError):
    """The answer to a batch file, or to the making of a token, is not Adobe Target's, or no use.

    Whether it took the file, or made the token, cannot be told.
    """

    maybe_accepted = True


class TokenRefusedError(TargetRefusedError):
    """Adobe Target does not accept the profile token (401 or 403)."""


class StatusLostError(TargetRefusedError):
    """Adobe Target no longer knows the batch, or answers without a status for it."""


class BatchOutcomeError(AdobeTargetError):
    """A batch ended, and not well: stuck, torn, or beyond a limit of failed or unknown profiles."""


class BatchTimeoutError(AdobeTargetError):
    """A batch had no final status when the time for waiting was over."""


class AdobeTargetUnavailableError(AdobeTargetError):
    """Adobe Target gave no usable answer for as long as this client tries; trying later may help.

    :param retry_after: seconds after which another call may be made, where Target asked for patience (429, 503)
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PersonRefusedError(AdobeTargetError):
    """Adobe Target does not take what it was told of one person (400); it may take that of others."""
