"""Sans-IO protocol: requests, responses and the commands of flows.

A *flow* is a generator that yields :class:`Send` and :class:`Wait` commands. It receives a :class:`Response` or a
:class:`TransportFailure` for each :class:`Send`, and returns its result. It does no I/O itself, so the same flow runs
in a worker's thread and in a triggerer's event loop.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeVar

from airflow_provider_adobe_target import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_adobe_target.client.settings import TargetSettings


from airflow_provider_adobe_target.client.settings import TargetSettings

ApiVersion = Literal["v1", "v2"]
IdType = Literal["thirdPartyId", "pcId"]
FetchIdType = Literal["thirdPartyId", "pcId", "marketingCloudVisitorId"]

SHORT_RESPONSE_LIMIT = 1 << 20
"""Maximum size in bytes of most responses. A longer response does not come from Adobe Target."""

STATUS_RESPONSE_LIMIT = 64 << 20
"""Maximum size in bytes of a status response, which may list 499,999 failed rows with their ids."""

PROFILE_TOKEN = "Bearer <profile token>"  # noqa: S105  # nosec B105  # no password
"""Placeholder in the ``Authorization`` header for a Profile API token that is read from the Admin API."""

ACCESS_TOKEN = "Bearer <access token>"  # noqa: S105  # nosec B105  # no password
"""Placeholder in the ``Authorization`` header for an IMS access token."""

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class BatchBody:
    """A batch file as a request body. It is reopened for each attempt, so that every attempt sends the same bytes.

    :param path: Path of the file.
    :param size: Size in bytes.
    :param rows: Number of rows, if known.
    :param sha256: SHA-256 digest in hexadecimal, if known.
    """

    path: Path
    size: int
    rows: int | None = None
    sha256: str | None = None


class UploadFile(Protocol):
    """A complete batch file, as the profile pipeline writes it."""

    @property
    def path(self) -> Path:
        """Path of the file."""

    @property
    def rows(self) -> int | None:
        """Number of rows, if known."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    @property
    def sha256(self) -> str | None:
        """SHA-256 digest in hexadecimal, if known."""


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    :param method: HTTP method.
    :param url: Fully encoded URL. The transport sends it unchanged.
    :param headers: All headers except those of the transport (``Host``, ``Content-Length``, ``Connection``).
    :param body: File or bytes to send, or None.
    :param timeout: Connect timeout and read timeout (for the next byte) in seconds.
    :param response_limit: Maximum size of the response body in bytes.
    :param remaining_seconds: Maximum duration of the call, if what it belongs to ends earlier than its timeouts.
    """

    method: Literal["GET", "POST"]
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: BatchBody | bytes | None = field(repr=False)
    timeout: tuple[float, float]
    response_limit: int = SHORT_RESPONSE_LIMIT
    remaining_seconds: float = math.inf

    @property
    def max_seconds(self) -> float:
        """Overall deadline of the call in seconds: to connect, to send the body, and to read the whole response."""
        connect, read = self.timeout
        return min(self.remaining_seconds, connect + read * (2 if self.body is not None else 1))


@dataclass(frozen=True)
class Response:
    """One complete HTTP response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the HTTP status is 2xx. The body may still report an error."""
        return 200 <= self.status <= 299


FailureKind = Literal["name", "tls", "connect", "timeout", "broken", "too_long"]


@dataclass(frozen=True)
class TransportFailure:
    """A request without a complete response.

    :param kind: ``name`` (unknown host name), ``tls``, ``connect``, ``timeout``, ``broken`` (reset, truncated, not
        HTTP) or ``too_long`` (the response exceeds its limit).
    :param after_body_sent: Whether the whole body had been sent, so that Target may have processed it.
    :param message: Description of the failure, without URL or headers.
    """

    kind: FailureKind
    after_body_sent: bool
    message: str


@dataclass(frozen=True)
class Send:
    """Command: send a request."""

    request: Request


@dataclass(frozen=True)
class Wait:
    """Command: wait for a number of seconds."""

    seconds: float


SendResult: TypeAlias = Response | TransportFailure
T = TypeVar("T")
Flow: TypeAlias = Generator[Send | Wait, SendResult | None, T]


def _headers(settings: TargetSettings, accept: str) -> dict[str, str]:
    headers = plain_headers(accept)
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token}"
    elif settings.reads_token:
        headers["Authorization"] = PROFILE_TOKEN
    return headers


def plain_headers(accept: str) -> dict[str, str]:
    """Return the headers that every request has.

    :param accept: Media type of the expected response.
    """
    return {
        "Accept": f"{accept}, */*;q=0.1",
        "Accept-Encoding": "identity",
        "User-Agent": f"airflow-provider-adobe-target/{__version__}",
    }
