"""Profile fetch and single profile update: URLs, requests, flows and responses."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_adobe_target.client.protocol import (
    FetchIdType,
    Flow,
    IdType,
    Request,
    _headers,
)
from airflow_provider_adobe_target.client.retry_policy import PROFILE_POLICY
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.settings_fields import TARGET_DOMAIN

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.profile import TargetProfile
    from airflow_provider_adobe_target.client.rate_limit.protocols import RateLimit
    from airflow_provider_adobe_target.concurrency.clock import Clock
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.call import call_with_retry
from airflow_provider_adobe_target.client.parsing import ResponseParseError, parse_json_object, parse_submit
from airflow_provider_adobe_target.client.profile import TargetProfile
from airflow_provider_adobe_target.exceptions import (
    TargetRefusedError,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.protocol import Response
from airflow_provider_adobe_target.client.responses import raise_for_auth, raise_for_response

_CHECK_READ_TIMEOUT = 30.0

MAX_QUERY_BYTES = 8 * 1024
"""The longest URL of a single update (Adobe's Single Profile Update page: 8 KB); above, a form takes the attributes."""
MAX_UPDATE_BYTES = 60 * 1024
"""The most bytes of a single update, URL and form together (the same page: 60 KB)."""

_ID_PARAMETERS = {"thirdPartyId": "mbox3rdPartyId", "pcId": "mboxPC"}
_NOT_FOUND = "No profile found"
_CLUSTER = re.compile(r"[^.]*\.([0-9]{1,4})_[0-9]+")


def update_url(settings: TargetSettings, profile_id: str, id_type: IdType) -> str:
    """Return the URL of a single update, its query with the id alone, percent-encoded."""
    parameter = f"{_ID_PARAMETERS[id_type]}={quote(profile_id, safe='')}"
    segment = "client" if settings.update_path_segment == "client" else settings.client_code
    return f"{settings.base_url}/m2/{segment}/profile/update?{parameter}"


def room_in_update(settings: TargetSettings) -> int:
    """Return the bytes that an id and its attributes, percent-encoded, may have to fit a single update."""
    return MAX_UPDATE_BYTES - len(update_url(settings, "", "thirdPartyId"))


def fetch_url(settings: TargetSettings, profile_id: str, id_type: FetchIdType) -> str:
    """Return the URL of one profile, the id percent-encoded as one path segment.

    A Target id whose suffix names an edge cluster (``….28_0``) is asked for there, where its profile is, unless the
    connection names a host of its own.
    """
    segment = quote(profile_id, safe="")
    if segment in (".", ".."):  # else URL normalisation would take it for a step in the path
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


def fetch_profile(
    settings: TargetSettings,
    rate_limiter: RateLimit,
    clock: Clock,
    profile_id: str,
    id_type: FetchIdType,
    deadline: float = math.inf,
) -> Flow[TargetProfile | None]:
    """Look up one profile, None where there is none. What Target gives can be tens of minutes old.

    :param profile_id: the id as Target has it; it is percent-encoded here, and never logged.
    :param deadline: seconds since the epoch beyond which nothing is waited for.
    :raises BatchTimeoutError: where the next try would begin after the deadline.
    :raises TokenRefusedError: where Target does not take the token.
    :raises TargetRefusedError: where the answer is neither a profile nor 'no profile found'.
    :raises AdobeTargetUnavailableError: after 30 minutes without a usable answer.
    """
    return (
        yield from call_with_retry(
            rate_limiter,
            clock,
            fetch_request(settings, profile_id, id_type),
            lambda response: parse_profile_response(settings, response),
            policy=PROFILE_POLICY,
            subject="the look-up of a profile",
            deadline=deadline,
        )
    )


def update_profile(
    settings: TargetSettings,
    rate_limiter: RateLimit,
    clock: Clock,
    profile_id: str,
    id_type: IdType,
    attributes: Mapping[str, str],
) -> Flow[None]:
    """Update one profile. Target creates none, and takes updates of profiles it does not know without a word.

    :param profile_id: the id as Target has it; it is percent-encoded here, and never logged.
    :param attributes: names, without ``profile.``, and texts.
    :raises TokenRefusedError: where Target does not take the token.
    :raises TargetRefusedError: where Target does not take the update.
    :raises AdobeTargetUnavailableError: after 30 minutes without a usable answer. Target may have taken the update;
        to send it again does no harm.
    """
    yield from call_with_retry(
        rate_limiter,
        clock,
        update_request(settings, profile_id, id_type, attributes),
        lambda response: parse_update_response(settings, response),
        policy=PROFILE_POLICY,
        subject="a single update",
    )


def parse_update_response(settings: TargetSettings, response: Response) -> None:
    """Read the answer to a single update: it says that Target took it, not that the profile exists.

    Adobe shows ``trueRequest successfully submitted``, which is its XML without the tags; both are read. No error
    repeats Target's text, which may name the person's id.

    :raises TokenRefusedError: for 401 and 403.
    :raises TargetRefusedError: for every other answer that does not say so.
    """
    raise_for_auth(settings, response)
    try:
        taken = parse_submit(response.body).success
    except ResponseParseError:
        taken = response.body.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(b"true")
    if response.ok and taken is False:
        raise TargetRefusedError("Target refused the single update (success is false).")
    if not (response.ok and taken):
        raise_for_response(settings, response, "the single update", "")


def _is_not_found(response: Response, content: Mapping[str, object]) -> bool:
    """Return whether a response is Target's 'no profile found', and not the 404 of a gateway or for a client code."""
    is_404 = content.get("status") == 404 and (response.ok or response.status == 404)
    return is_404 and (len(content) == 1 or str(content.get("message")).startswith(_NOT_FOUND))


def parse_profile_response(settings: TargetSettings, response: Response) -> TargetProfile | None:
    """Read the answer to a look-up. No error repeats Target's text, which names the person's id.

    :return: None where Target has no profile of that id.
    :raises TokenRefusedError: for 401 and 403.
    :raises TargetRefusedError: for every answer that is neither a profile nor 'no profile found'.
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
