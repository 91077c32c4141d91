"""Events for Experience Platform's Edge Network, which hands profile attributes on to Adobe Target.

The rules are those of Adobe's Edge Network API pages: one event to ``interact``, attributes nested in
``data.__adobe.target`` with the prefix ``profile.``, exactly one primary identity. HTTP 207 is a partial failure, and
only 429, 502, 503 and 504 are worth another try.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_provider_adobe_target.client.call import call_with_retry
from airflow_provider_adobe_target.client.parsing import ResponseParseError, parse_json_object, printable
from airflow_provider_adobe_target.client.protocol import ACCESS_TOKEN, Flow, Request, Response, plain_headers
from airflow_provider_adobe_target.client.rate_limit.limiter import NoLimit
from airflow_provider_adobe_target.client.retry_policy import FailedAttempt, RetryPolicy, attempt_from_response
from airflow_provider_adobe_target.exceptions import (
    ConnectionSettingsError,
    ProfileDataError,
    TargetRefusedError,
    TokenRefusedError,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.rate_limit.protocols import RateLimit
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

AUTHENTICATED_URL = "https://server.adobedc.net"
ANONYMOUS_URL = "https://edge.adobedc.net"
MAX_EVENT_BYTES = 64 * 1024
MAX_VALUE_CHARACTERS = 256
SCOPE = "airflow-profile-update"
"""The decision scope that a query names, so that Target sees the event: nothing is to be offered under it."""

_POLICY = RetryPolicy(max_tries=5)
_WORTH_ANOTHER_TRY = (429, 502, 503, 504)
_HINT = re.compile(r"[a-z]{2,4}[0-9]{1,2}")
_ERROR = re.compile(r"EXEG-([0-9]{4}-[0-9]{3})")
_NO_CONSENT = "0301-200"
_HINTS = {
    "0002-400": "Set datastream_id in the connection.",
    "0003-400": "Check datastream_id of the connection.",
    "0004-422": "The datastream is disabled: enable it.",
    "0013-422": "An identity namespace is unknown: check its spelling, and letter case.",
    "0306-400": "The event has no primary identity.",
    _NO_CONSENT: "The event was dropped, as consent is missing.",
}


@dataclass(frozen=True)
class EdgeEvent:
    """What is said of one person.

    :param identities: ids by namespace; all of one person.
    :param primary: the namespace of the primary one.
    :param attributes: names, without ``profile.``, and texts.
    """

    identities: Mapping[str, str] = field(repr=False)
    primary: str
    attributes: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class EdgeReceipt:
    """What the Edge Network says of an event that it took: that it was handed on, not that Target has written it.

    :param request_id: under which Adobe can find it.
    :param location_hint: where the next call is best sent, if it says so.
    :param warnings: the codes of warnings.
    """

    request_id: str
    location_hint: str | None
    warnings: tuple[str, ...]


def send_event(
    settings: TargetSettings,
    clock: Clock,
    event: EdgeEvent,
    *,
    authenticated: bool,
    location_hint: str | None = None,
    rate_limiter: RateLimit | None = None,
) -> Flow[EdgeReceipt]:
    """Send one event to ``interact``; where authenticated, to be run within ``Authenticator.with_access_token``.

    :param authenticated: whether with an access token, at the host for that.
    :param location_hint: of an earlier receipt.
    :param rate_limiter: the pace of calls; None for any.
    :raises ConnectionSettingsError: where the connection lacks the datastream, the organization or the credential.
    :raises ProfileDataError: before any call, where the event is too large.
    :raises TokenRefusedError: for 401 and 403.
    :raises TargetRefusedError: for other refusals, partial failures that would come again, and missing consent.
    :raises AdobeTargetUnavailableError: after 5 tries, or 30 minutes of being throttled.
    """
    return (
        yield from call_with_retry(
            rate_limiter or NoLimit(),
            clock,
            event_request(settings, event, clock.now(), authenticated=authenticated, location_hint=location_hint),
            parse_event_response,
            policy=_POLICY,
            subject="an event for the Edge Network",
            classify=_failed_attempt,
        )
    )


def event_request(
    settings: TargetSettings, event: EdgeEvent, at: float, *, authenticated: bool, location_hint: str | None
) -> Request:
    """Return the request that sends an event; parameters and errors as :func:`send_event`.

    :param at: when the event happened, in seconds since the epoch.
    """
    if settings.datastream_id is None:
        raise ConnectionSettingsError("The Edge Network needs datastream_id of the connection, which is not set.")
    headers = {**plain_headers("application/json"), "Content-Type": "application/json"}
    if authenticated:
        if settings.oauth is None or settings.ims_org_id is None:
            raise ConnectionSettingsError(
                "Authenticated calls of the Edge Network need client_id, client_secret and ims_org_id of the "
                "connection; one is not set."
            )
        headers |= {
            "Authorization": ACCESS_TOKEN,
            "x-api-key": settings.oauth.client_id,
            "x-gw-ims-org-id": settings.ims_org_id,
        }
    base_url = settings.edge_url or (AUTHENTICATED_URL if authenticated else ANONYMOUS_URL)
    path = f"ee/{location_hint}/v2" if location_hint else "ee/v2"
    query = urlencode({"datastreamId": settings.datastream_id, "requestId": str(uuid.uuid4())})
    body = json.dumps(_content(event, at), separators=(",", ":"), ensure_ascii=False).encode()
    if len(body) > MAX_EVENT_BYTES:
        raise ProfileDataError(
            f"profile_too_large: the event has {len(body):,} bytes, and the Edge Network takes {MAX_EVENT_BYTES:,}. "
            "Leave attributes out, or use BulkProfileUpdateOperator."
        )
    return Request("POST", f"{base_url}/{path}/interact?{query}", headers, body, settings.timeout)


def _content(event: EdgeEvent, at: float) -> dict[str, Any]:
    timestamp = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    identity_map = {
        namespace: [
            {
                "id": id_,
                "primary": namespace == event.primary,
                "authenticatedState": "ambiguous" if namespace == "ECID" else "authenticated",
            }
        ]
        for namespace, id_ in event.identities.items()
    }
    attributes = {f"profile.{name}": text for name, text in event.attributes.items()}
    return {
        "event": {
            "xdm": {"identityMap": identity_map, "eventType": "profile.update", "timestamp": timestamp},
            "data": {"__adobe": {"target": attributes}},
        },
        "query": {
            "personalization": {
                "schemas": ["https://ns.adobe.com/personalization/json-content-item"],
                "decisionScopes": [SCOPE],
            }
        },
    }


def parse_event_response(response: Response) -> EdgeReceipt | FailedAttempt:
    """Read an answer that no other try will better by its HTTP status alone. No error repeats more than codes.

    :return: a attempt for a partial failure that another try may better.
    :raises TokenRefusedError: for 401 and 403.
    :raises TargetRefusedError: for everything but an event that was taken whole.
    """
    try:
        content = parse_json_object(response.body)
    except ResponseParseError:
        content = {}
    if response.status in (401, 403):
        raise TokenRefusedError(
            f"The Edge Network refused the credential (HTTP {response.status}{_said([content])}). Check ims_org_id, "
            "and that the credential has the Experience Platform API with write access to the datastream's sandbox; a "
            "datastream may also take authenticated calls only."
        )
    if not response.ok or not isinstance(content.get("requestId"), str):
        raise TargetRefusedError(f"The Edge Network refused the event (HTTP {response.status}{_said([content])}).")
    errors, warnings = _list(content, "errors"), _list(content, "warnings")
    if response.status == 207 or errors:
        failure = f"a partial failure (HTTP {response.status}{_said(errors)})"
        if errors and all(error.get("status") in _WORTH_ANOTHER_TRY for error in errors):
            return FailedAttempt(failure)
        raise TargetRefusedError(f"The Edge Network took the event, and did not hand it on to Target: {failure}.")
    if _NO_CONSENT in _codes(warnings):
        raise TargetRefusedError(f"The Edge Network took the event{_said(warnings)}.")
    return EdgeReceipt(printable(content["requestId"], 128), _location_hint(content), tuple(_codes(warnings)))


def _failed_attempt(response: Response, now: float) -> FailedAttempt | None:
    return attempt_from_response(response, now) if response.status in _WORTH_ANOTHER_TRY else None


def _location_hint(content: dict[str, Any]) -> str | None:
    for handle in _list(content, "handle"):
        if handle.get("type") == "locationHint:result":
            for hint in _list(handle, "payload"):
                name = hint.get("hint")
                if hint.get("scope") == "EdgeNetwork" and isinstance(name, str) and _HINT.fullmatch(name):
                    return name
    return None


def _list(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = content.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _codes(problems: list[dict[str, Any]]) -> list[str]:
    found = (_ERROR.search(str(problem.get("type"))) for problem in problems)
    return [match[1] for match in found if match]


def _said(problems: list[dict[str, Any]]) -> str:
    """Return the codes of problems and what to do about them, to stand after something."""
    codes = _codes(problems)
    return "".join(f", EXEG-{code}{': ' + _HINTS[code].rstrip('.') if code in _HINTS else ''}" for code in codes)
