"""What is said to Adobe Target, as plain values that any transport can carry.

A *flow* is a generator: it yields :class:`Send` and :class:`Wait`, receives a :class:`Response` or a
:class:`TransportFailure` for each :class:`Send`, and returns its result. It does no input or output itself,
so that one flow serves a worker's thread and a triggerer's event loop alike.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from airflow_provider_adobe_target import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_adobe_target.client.settings import TargetSettings


from airflow_provider_adobe_target.client.settings import TargetSettings

ApiVersion = Literal["v1", "v2"]
IdType = Literal["thirdPartyId", "pcId"]
FetchIdType = Literal["thirdPartyId", "pcId", "marketingCloudVisitorId"]

SHORT_RESPONSE_LIMIT = 1 << 20
"""Bytes of a submit's or a profile's answer that are read; one that is longer is no answer of Target's."""

STATUS_RESPONSE_LIMIT = 64 << 20
"""Bytes of a status answer that are read: it may list each of 499,999 failed rows with its id."""

PROFILE_TOKEN = "Bearer <profile token>"  # noqa: S105  # nosec B105  # no password
"""What stands in a request's ``Authorization`` where the Profile API token belongs that the Admin API gives."""

ACCESS_TOKEN = "Bearer <access token>"  # noqa: S105  # nosec B105  # no password
"""What stands there where an access token of IMS belongs."""
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class BatchBody:
    """A batch file as it is sent. It is opened afresh at each try, so that every try sends the same bytes.

    :param path: the file on disk.
    :param size: its bytes.
    """

    path: Path
    size: int


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    :param method: the HTTP method.
    :param url: the URL, fully encoded; it goes on the wire as it stands.
    :param headers: all headers but those of the transport (``Host``, ``Content-Length``, ``Connection``).
    :param body: a file, bytes, or nothing.
    :param timeout: seconds to connect, and to wait for the next byte.
    :param response_limit: bytes of the answer's body that are read at most.
    """

    method: Literal["GET", "POST"]
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: BatchBody | bytes | None = field(repr=False)
    timeout: tuple[float, float]
    response_limit: int = SHORT_RESPONSE_LIMIT

    @property
    def max_seconds(self) -> float:
        """Overall deadline of the call in seconds: to connect, to send the body, and to read the whole response."""
        connect, read = self.timeout
        return connect + read * (2 if self.body is not None else 1)


@dataclass(frozen=True)
class Response:
    """One whole HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the HTTP status is 2xx; what the body says is another thing."""
        return 200 <= self.status <= 299


FailureKind = Literal["name", "tls", "connect", "timeout", "broken", "too_long"]


@dataclass(frozen=True)
class TransportFailure:
    """A request that brought no whole answer.

    :param kind: ``name`` (host name unknown), ``tls``, ``connect``, ``timeout``, ``broken`` (reset, cut off,
        not HTTP) or ``too_long`` (an answer beyond its limit).
    :param after_body_sent: whether the whole body had left, so that Target may act on it.
    :param message: what happened, without URL or header.
    """

    kind: FailureKind
    after_body_sent: bool
    message: str


@dataclass(frozen=True)
class Send:
    """Ask the driver to send a request."""

    request: Request


@dataclass(frozen=True)
class Wait:
    """Ask the driver to wait for so many seconds."""

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

    :param accept: the media type that is asked for.
    """
    return {
        "Accept": f"{accept}, */*;q=0.1",
        "Accept-Encoding": "identity",
        "User-Agent": f"airflow-provider-adobe-target/{__version__}",
    }
