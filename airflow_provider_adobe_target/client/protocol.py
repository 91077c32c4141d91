"""What is said to Adobe Target, as plain values that any transport can carry.

A *flow* is a generator: it yields :class:`Send` and :class:`Wait`, receives a :class:`Response` or a
:class:`TransportFailure` for each :class:`Send`, and returns its result. It does no input or output itself,
so that one flow serves a worker's thread and a triggerer's event loop alike.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_adobe_target import __version__
from airflow_provider_adobe_target.client.urls import (
    MAX_QUERY_BYTES,
    ApiVersion,
    FetchIdType,
    IdType,
    fetch_url,
    status_request_url,
    submit_url,
    update_url,
)
from airflow_provider_adobe_target.exceptions import ConnectionSettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_adobe_target.client.settings import OAuthCredential, TargetSettings

SHORT_ANSWER_LIMIT = 1 << 20
"""Bytes of a submit's or a profile's answer that are read; one that is longer is no answer of Target's."""

STATUS_ANSWER_LIMIT = 64 << 20
"""Bytes of a status answer that are read: it may list each of 499,999 failed rows with its id."""

PROFILE_TOKEN = "Bearer <profile token>"  # noqa: S105  # nosec B105  # no password
"""What stands in a request's ``Authorization`` where the Profile API token belongs that the Admin API gives."""

ACCESS_TOKEN = "Bearer <access token>"  # noqa: S105  # nosec B105  # no password
"""What stands there where an access token of IMS belongs."""

_CHECK_READ_TIMEOUT = 30.0
_ADMIN_MEDIA_TYPE = "application/vnd.adobe.target.v1+json"
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
    :param answer_limit: bytes of the answer's body that are read at most.
    """

    method: Literal["GET", "POST"]
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: BatchBody | bytes | None = field(repr=False)
    timeout: tuple[float, float]
    answer_limit: int = SHORT_ANSWER_LIMIT


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


Answer: TypeAlias = Response | TransportFailure
T = TypeVar("T")
Flow: TypeAlias = Generator[Send | Wait, Answer | None, T]


def submit_request(settings: TargetSettings, body: BatchBody, api_version: ApiVersion) -> Request:
    """Return the request that queues one batch file (Adobe's Bulk Profile Update page)."""
    headers = {**_headers(settings, "application/xml"), "Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", submit_url(settings, api_version), headers, body, settings.timeout)


def status_request(settings: TargetSettings, status_url: str) -> Request:
    """Return the request for a batch's status and counters.

    :raises TargetRefusedError: where the URL is not one to send a token to.
    """
    url = status_request_url(settings, status_url)
    return Request("GET", url, _headers(settings, "application/xml"), None, settings.timeout, STATUS_ANSWER_LIMIT)


def update_request(
    settings: TargetSettings, profile_id: str, id_type: IdType, attributes: Mapping[str, str]
) -> Request:
    """Return the request that updates one profile (Adobe's Single Profile Update page).

    :param attributes: names, without ``profile.``, and texts; all of them are percent-encoded here
    """
    url = update_url(settings, profile_id, id_type)
    pairs = "&".join(f"profile.{quote(name, safe='')}={quote(text, safe='')}" for name, text in attributes.items())
    headers = _headers(settings, "application/xml")
    if len(url) + 1 + len(pairs) <= MAX_QUERY_BYTES:
        return Request("POST", f"{url}&{pairs}", headers, None, settings.timeout)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return Request("POST", url, headers, pairs.encode("ascii"), settings.timeout)


def fetch_request(settings: TargetSettings, profile_id: str, id_type: FetchIdType) -> Request:
    """Return the request for one profile (Adobe's Profile Fetch page)."""
    return Request(
        "GET",
        fetch_url(settings, profile_id, id_type),
        _headers(settings, "application/json"),
        None,
        settings.timeout,
    )


def check_request(settings: TargetSettings, profile_id: str) -> Request:
    """Return :func:`fetch_request` for someone who waits in front of a screen: its answer is to come soon."""
    request = fetch_request(settings, profile_id, "thirdPartyId")
    connect, read = settings.timeout
    return Request("GET", request.url, request.headers, None, (connect, min(read, _CHECK_READ_TIMEOUT)))


def access_token_request(settings: TargetSettings, oauth: OAuthCredential) -> Request:
    """Return the request for an access token (Adobe's OAuth Server-to-Server page)."""
    form = {
        "client_id": oauth.client_id,
        "client_secret": oauth.client_secret,
        "grant_type": "client_credentials",
        "scope": oauth.scope,
    }
    headers = {**plain_headers("application/json"), "Content-Type": _FORM}
    return Request("POST", f"{oauth.ims_url}/ims/token/v3", headers, urlencode(form).encode(), settings.timeout)


def profile_token_request(settings: TargetSettings, method: Literal["GET", "POST"]) -> Request:
    """Return the request that reads (GET) or makes (POST) the Profile API token (Adobe's Admin API).

    :raises ConnectionSettingsError: where the connection lacks what the Admin API asks for.
    """
    path = "authentication/token?authorizationScope=profile_api"
    return _admin_request(settings, method, path, b"" if method == "POST" else None)


def client_settings_request(settings: TargetSettings) -> Request:
    """Return the request for the account's settings, 'Require Authentication' among them; raises as above."""
    return _admin_request(settings, "GET", "clients/settings", None)


def _admin_request(settings: TargetSettings, method: Literal["GET", "POST"], path: str, body: bytes | None) -> Request:
    if settings.oauth is None or settings.tenant_id is None:
        raise ConnectionSettingsError(
            "The Admin API needs client_id, client_secret and tenant_id of the connection; one is not set."
        )
    headers = {
        **plain_headers(_ADMIN_MEDIA_TYPE),
        "Authorization": ACCESS_TOKEN,
        "X-Api-Key": settings.oauth.client_id,
    }
    if method == "POST":
        headers["Content-Type"] = _ADMIN_MEDIA_TYPE
    return Request(method, f"{settings.admin_url}/{settings.tenant_id}/target/{path}", headers, body, settings.timeout)


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
