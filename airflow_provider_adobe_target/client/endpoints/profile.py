"""Profile fetch and single profile update: URLs, requests, flows and responses."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_adobe_target.client.call import CallContext, call_with_retry
from airflow_provider_adobe_target.client.parsing import ResponseParseError, parse_json_object, parse_submit
from airflow_provider_adobe_target.client.profile import TargetProfile
from airflow_provider_adobe_target.client.protocol import (
    FetchIdType,
    Flow,
    IdType,
    Request,
    _headers,
)
from airflow_provider_adobe_target.client.responses import raise_for_auth, raise_for_response
from airflow_provider_adobe_target.client.retry_policy import PROFILE_POLICY
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.settings_fields import TARGET_DOMAIN
from airflow_provider_adobe_target.exceptions import (
    TargetRefusedError,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.protocol import Response

_CHECK_READ_TIMEOUT = 30.0  # seconds

MAX_QUERY_BYTES = 8 * 1024
"""Maximum URL length of a single update (Adobe's Single Profile Update page: 8 KB). Longer updates use a form body."""
MAX_UPDATE_BYTES = 60 * 1024
"""Maximum size of a single update, URL and form body together (same page: 60 KB)."""

_ID_PARAMETERS = {"thirdPartyId": "mbox3rdPartyId", "pcId": "mboxPC"}
_NOT_FOUND = "No profile found"
_CLUSTER = re.compile(r"[^.]*\.([0-9]{1,4})_[0-9]+")


def update_url(settings: TargetSettings, profile_id: str, id_type: IdType) -> str:
    """Return the URL of a single update, with the percent-encoded id as its only parameter."""
    parameter = f"{_ID_PARAMETERS[id_type]}={quote(profile_id, safe='')}"
    segment = "client" if settings.update_path_segment == "client" else settings.client_code
    return f"{settings.base_url}/m2/{segment}/profile/update?{parameter}"


def room_in_update(settings: TargetSettings) -> int:
    """Return the maximum size in bytes of the percent-encoded id and attributes of a single update."""
    return MAX_UPDATE_BYTES - len(update_url(settings, "", "thirdPartyId"))


def fetch_url(settings: TargetSettings, profile_id: str, id_type: FetchIdType) -> str:
    """Return the URL of one profile, with the id percent-encoded as one path segment.

    If the suffix of a Target id contains an edge cluster (``….28_0``), the URL has the host of that cluster, which
    stores the profile. This does not apply if the connection has its own host.
    """
    segment = quote(profile_id, safe="")
    if segment in (".", ".."):  # URL normalization would otherwise remove the segment
        segment = segment.replace(".", "%2E")
    folder = "" if id_type == "pcId" else f"{id_type}/"
    base_url = settings.base_url
    cluster = _CLUSTER.fullmatch(profile_id) if id_type == "pcId" else None
    if cluster and settings.is_default_host:
        base_url = f"https://mboxedge{cluster[1]}{TARGET_DOMAIN}"
    return f"{base_url}/rest/v1/profiles/{folder}{segment}?client={settings.client_code}"


def update_request(
    settings: TargetSettings, profile_id: str, id_type: IdType, attributes: Mapping[str, str]
) -> Request:
    """Return the request that updates one profile (Adobe's Single Profile Update page).

    :param settings: Connection settings.
    :param profile_id: Id, not encoded.
    :param id_type: Type of the id.
    :param attributes: Values by name, without ``profile.``, not encoded.
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
    """Return :func:`fetch_request` with a shorter read timeout, for the interactive connection test."""
    request = fetch_request(settings, profile_id, "thirdPartyId")
    connect, read = settings.timeout
    return Request("GET", request.url, request.headers, None, (connect, min(read, _CHECK_READ_TIMEOUT)))


def fetch_profile(
    context: CallContext,
    profile_id: str,
    id_type: FetchIdType,
    deadline: float = math.inf,
) -> Flow[TargetProfile | None]:
    """Look up one profile. The data may be tens of minutes old.

    :param context: Settings, rate limiter of look-ups, and clock.
    :param profile_id: Id, not encoded. It is never logged.
    :param id_type: Type of the id.
    :param deadline: Time in seconds since the epoch after which no attempt starts.
    :return: Profile, or None if Target has no profile with that id.
    :raises BatchTimeoutError: If the next attempt would start after the deadline.
    :raises TokenRefusedError: If Target refuses the token.
    :raises TargetRefusedError: If the response is neither a profile nor 'no profile found'.
    :raises AdobeTargetUnavailableError: After 30 minutes without a usable response.
    """
    return (
        yield from call_with_retry(
            context,
            fetch_request(context.settings, profile_id, id_type),
            lambda response: parse_profile_response(context.settings, response),
            policy=PROFILE_POLICY,
            subject="the look-up of a profile",
            deadline=deadline,
        )
    )


def update_profile(
    context: CallContext,
    profile_id: str,
    id_type: IdType,
    attributes: Mapping[str, str],
) -> Flow[None]:
    """Update one profile. Target creates no profile, and accepts updates of unknown profiles without an error.

    :param context: Settings, rate limiter of single updates, and clock.
    :param profile_id: Id, not encoded. It is never logged.
    :param id_type: Type of the id.
    :param attributes: Values by name, without ``profile.``.
    :raises TokenRefusedError: If Target refuses the token.
    :raises TargetRefusedError: If Target refuses the update.
    :raises AdobeTargetUnavailableError: After 30 minutes without a usable response. Target may have applied the update.
        Updates are idempotent and may be repeated.
    """
    yield from call_with_retry(
        context,
        update_request(context.settings, profile_id, id_type, attributes),
        lambda response: parse_update_response(context.settings, response),
        policy=PROFILE_POLICY,
        subject="a single update",
    )


def parse_update_response(settings: TargetSettings, response: Response) -> None:
    """Check the response to a single update. Success means that Target accepted it, not that the profile exists.

    Adobe documents ``trueRequest successfully submitted``, which is the XML without its tags. Both forms are accepted.
    No message contains Target's text, which may include the id.

    :raises TokenRefusedError: For HTTP 401 and 403.
    :raises TargetRefusedError: For every other response without success.
    """
    raise_for_auth(settings, response)
    try:
        is_accepted = parse_submit(response.body).success
    except ResponseParseError:
        is_accepted = response.body.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(b"true")
    if response.ok and is_accepted is False:
        raise TargetRefusedError("Target refused the single update (success is false).")
    if not (response.ok and is_accepted):
        raise_for_response(settings, response, "the single update", "")


def _is_not_found(response: Response, content: Mapping[str, object]) -> bool:
    """Return whether a response is Target's 'no profile found', and not a 404 from a gateway or for the client code."""
    is_404 = content.get("status") == 404 and (response.ok or response.status == 404)
    return is_404 and (len(content) == 1 or str(content.get("message")).startswith(_NOT_FOUND))


def parse_profile_response(settings: TargetSettings, response: Response) -> TargetProfile | None:
    """Parse the response to a look-up. No message contains Target's text, which includes the id.

    :return: Profile, or None if Target has no profile with that id.
    :raises TokenRefusedError: For HTTP 401 and 403.
    :raises TargetRefusedError: For every response that is neither a profile nor 'no profile found'.
    """
    raise_for_auth(settings, response)
    try:
        content = parse_json_object(response.body)
    except ResponseParseError:
        content = {}
    if _is_not_found(response, content):
        return None
    if not content or not response.ok or "status" in content:
        raise_for_response(settings, response, "the look-up of a profile", "")
    return TargetProfile.from_answer(content)
