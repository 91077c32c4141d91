"""Experience Platform Edge Network: events that forward profile attributes to Adobe Target.

Source: Adobe's Edge Network API pages. One event is sent to ``interact``, with the attributes nested in
``data.__adobe.target`` under the prefix ``profile.``, and with exactly one primary identity. HTTP 207 is a partial
failure. Only 429, 502, 503 and 504 are retried.
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

from airflow_provider_adobe_target.client.call import CallContext, call_with_retry
from airflow_provider_adobe_target.client.parsing import ResponseParseError, parse_json_object, printable
from airflow_provider_adobe_target.client.protocol import ACCESS_TOKEN, Flow, Request, Response, plain_headers
from airflow_provider_adobe_target.client.retry_policy import FailedAttempt, RetryPolicy, attempt_from_response
from airflow_provider_adobe_target.exceptions import (
    ConnectionSettingsError,
    ProfileDataError,
    TargetRefusedError,
    TokenRefusedError,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.settings import TargetSettings

AUTHENTICATED_URL = "https://server.adobedc.net"
ANONYMOUS_URL = "https://edge.adobedc.net"
MAX_EVENT_BYTES = 64 * 1024
MAX_VALUE_CHARACTERS = 256
SCOPE = "airflow-profile-update"
"""Decision scope of the query, without which Target does not receive the event. No offer may use this scope."""

_RETRIED_STATUSES = (429, 502, 503, 504)
_HINT = re.compile(r"[a-z]{2,4}[0-9]{1,2}")
_ERROR = re.compile(r"EXEG-([0-9]{4}-[0-9]{3})")
_NO_CONSENT = "0301-200"
_HINTS = {
    "0002-400": "Set datastream_id in the connection.",
    "0003-400": "Check datastream_id of the connection.",
    "0004-422": "The datastream is disabled: enable it.",
    "0013-422": "An identity namespace is unknown: check its spelling and letter case.",
    "0306-400": "The event has no primary identity.",
    _NO_CONSENT: "The event was dropped because consent is missing.",
}


@dataclass(frozen=True)
class EdgeEvent:
    """An event with profile attributes of one person.

    :param identities: Ids of the person by namespace.
    :param primary: Namespace of the primary identity.
    :param attributes: Values by name, without ``profile.``.
    """

    identities: Mapping[str, str] = field(repr=False)
    primary: str
    attributes: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class EdgeReceipt:
    """Receipt of an event that was forwarded to Target. It does not confirm that Target has stored the attributes.

    :param request_id: Request id, for Adobe's support.
    :param location_hint: Location hint for the next call, if any.
    :param warnings: Codes of warnings.
    """

    request_id: str
    location_hint: str | None
    warnings: tuple[str, ...]


def send_event(
    context: CallContext, event: EdgeEvent, *, authenticated: bool, location_hint: str | None = None
) -> Flow[EdgeReceipt]:
    """Send one event to ``interact``. If authenticated, the flow must run in ``Authenticator.with_access_token``.

    :param context: Settings, rate limiter and clock.
    :param event: Event to send.
    :param authenticated: Whether to call the authenticated host with an access token.
    :param location_hint: Location hint of an earlier receipt.
    :return: Receipt of the event.
    :raises ConnectionSettingsError: If the connection has no datastream, organization or credential.
    :raises ProfileDataError: If the event is too large. It is not sent.
    :raises TokenRefusedError: For HTTP 401 and 403.
    :raises TargetRefusedError: For other refusals, permanent partial failures, and missing consent.
    :raises AdobeTargetUnavailableError: After 5 attempts, or 30 minutes of throttling.
    """
    return (
        yield from call_with_retry(
            context,
            event_request(
                context.settings, event, context.clock.now(), authenticated=authenticated, location_hint=location_hint
            ),
            parse_event_response,
            policy=_POLICY,
            subject="an event for the Edge Network",
        )
    )


def event_request(
    settings: TargetSettings, event: EdgeEvent, at: float, *, authenticated: bool, location_hint: str | None
) -> Request:
    """Return the request that sends an event. Parameters and errors are those of :func:`send_event`.

    :param at: Time of the event in seconds since the epoch.
    """
    if settings.datastream_id is None:
        raise ConnectionSettingsError("The Edge Network requires datastream_id. Set it in the connection's extra.")
    headers = {**plain_headers("application/json"), "Content-Type": "application/json"}
    if authenticated:
        if settings.oauth is None or settings.ims_org_id is None:
            raise ConnectionSettingsError(
                "Authenticated Edge Network calls require client_id, client_secret and ims_org_id. Set all three in "
                "the connection's extra."
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
            f"profile_too_large: the event has {len(body):,} bytes, but the Edge Network accepts at most "
            f"{MAX_EVENT_BYTES:,}. Remove attributes, or use BulkProfileUpdateOperator."
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
    """Parse a response whose HTTP status alone does not allow a retry. Messages contain only error codes.

    :return: Receipt, or a failed attempt for a temporary partial failure.
    :raises TokenRefusedError: For HTTP 401 and 403.
    :raises TargetRefusedError: If the event was not accepted and forwarded completely.
    """
    try:
        content = parse_json_object(response.body)
    except ResponseParseError:
        content = {}
    if response.status in (401, 403):
        raise TokenRefusedError(
            f"The Edge Network refused the credential (HTTP {response.status}{_said([content])}). Check ims_org_id, "
            "and that the credential has the Experience Platform API with write access to the datastream's sandbox. "
            "If the datastream accepts only authenticated calls, set authenticated=True."
        )
    if not response.ok or not isinstance(content.get("requestId"), str):
        raise TargetRefusedError(f"The Edge Network refused the event (HTTP {response.status}{_said([content])}).")
    errors, warnings = _list(content, "errors"), _list(content, "warnings")
    if response.status == 207 or errors:
        failure = f"a partial failure (HTTP {response.status}{_said(errors)})"
        if errors and all(error.get("status") in _RETRIED_STATUSES for error in errors):
            return FailedAttempt(failure)
        raise TargetRefusedError(f"The Edge Network accepted the event, but did not forward it to Target: {failure}.")
    if _NO_CONSENT in _codes(warnings):
        raise TargetRefusedError(f"The Edge Network did not forward the event to Target{_said(warnings)}.")
    return EdgeReceipt(printable(content["requestId"], 128), _location_hint(content), tuple(_codes(warnings)))


def _failed_attempt(response: Response, now: float) -> FailedAttempt | None:
    return attempt_from_response(response, now) if response.status in _RETRIED_STATUSES else None


_POLICY = RetryPolicy(max_tries=5, classify=_failed_attempt)


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
    """Return the codes of problems with their remedies, as a suffix for a message."""
    codes = _codes(problems)
    return "".join(f", EXEG-{code}{': ' + _HINTS[code].rstrip('.') if code in _HINTS else ''}" for code in codes)
