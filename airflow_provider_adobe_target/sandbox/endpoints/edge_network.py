"""Experience Platform Edge Network: interact and collect, which pass ids and attributes to Target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.sandbox.endpoints.bulk_update import content_type
from airflow_provider_adobe_target.sandbox.endpoints.delivery_request import FORBIDDEN
from airflow_provider_adobe_target.sandbox.endpoints.edge_event import EdgeError, read_body, read_event, read_query
from airflow_provider_adobe_target.sandbox.endpoints.ims import token_fault
from airflow_provider_adobe_target.sandbox.endpoints.visits import target_id, visit
from airflow_provider_adobe_target.sandbox.messages import Answer, bearer, json_answer, method_not_allowed

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.endpoints.edge_event import EdgeEvent
    from airflow_provider_adobe_target.sandbox.messages import Call
    from airflow_provider_adobe_target.sandbox.rate_counter import RateCounter
    from airflow_provider_adobe_target.sandbox.state import State

MAX_BODY_BYTES = 64 * 1_024
UNIT_BYTES = 8 * 1_024
HINTS = ("or2", "va6", "irl1", "ind1", "jpn3", "sgp3", "aus3")
HINT_SECONDS = 1_800
BASES = ("/ee/v2", *(f"/ee/{hint}/v2" for hint in HINTS))
MEDIA_TYPES = ("application/json", "application/x-jackson-smile", "text/plain", "text/javascript")
TITLES = {
    "0000-429": "Too many requests",
    "0002-400": "Missing datastream parameter",
    "0003-400": "Invalid datastream ID",
    "0004-422": "Datastream disabled",
    "0013-422": "The referenced identity namespace code cannot be resolved",
    "0101-400": "Invalid JSON request",
    "0103-400": "Missing required value",
    "0104-422": "Unprocessable entity",
    "0109-408": "Empty request",
    "0111-415": "Invalid request",
    "0112-413": "Invalid request",
    "0201-503": "The 'com.adobe.target' service is temporarily unable to serve this request",
    "0202-502": "The 'com.adobe.target' service failed to process this request",
    "0301-200": "This request was ignored due to lack of user consent",
    "0306-400": "Event is missing primary identity",
    "0308-400": "Invalid identity format",
    "0500-401": "Invalid authorization token",
    "0502-401": "Invalid authorization token",
    "0503-401": "Invalid authorization token",
    "0504-401": "Required product context is missing",
    "0505-401": "Required authorization token scope is missing",
    "0506-401": "Sandbox not accessible for write",
}
FAULTS = {"missing": "0500-401", "unknown": "0502-401", "expired": "0503-401", "not of this x-api-key": "0502-401"}
REFUSALS = {"product-context": "0504-401", "scope": "0505-401", "sandbox": "0506-401"}


def interact(state: State, call: Call) -> Answer:
    """Answer an interact call, which contains one event."""
    if call.method != "POST":
        return method_not_allowed("POST")
    settings, request_id = state.settings, _request_id(state, call)
    try:
        _check(state, call, state.interact_units, settings.interact_units_per_second)
        given, query = read_body(call.body, "event")
        has_query = read_query(query)
        event = read_event(given, 0, settings)
    except EdgeError as error:
        return _problem(state, call, request_id, error)
    faults = _to_target(state, event, is_written=has_query or settings.edge_writes != "with-query")
    handle = [{"type": "personalization:decisions", "payload": []}] if has_query and not faults else []
    content: dict[str, Any] = {"requestId": request_id, "handle": [*handle, _location_hints(state, call)]}
    if faults:
        content["errors"] = [_described(code) for code in faults]
    return json_answer(207 if faults else 200, {**content, **_warnings(state)})


def collect(state: State, call: Call) -> Answer:
    """Answer a collect call, which contains events of one or several people."""
    if call.method != "POST":
        return method_not_allowed("POST")
    settings, request_id = state.settings, _request_id(state, call)
    try:
        _check(state, call, state.collect_units, settings.collect_units_per_second)
        given, _ = read_body(call.body, "events")
        if not isinstance(given, list):
            raise EdgeError("0104-422", "Invalid request", ["events must be a list"])
        events = [read_event(event, number, settings) for number, event in enumerate(given)]
    except EdgeError as error:
        return _problem(state, call, request_id, error)
    for event in events:
        _to_target(state, event, is_written=settings.edge_writes == "interact-and-collect")
    if call.parameter("silent") == "true":
        return Answer(204, content_type="")
    return json_answer(202, {"requestId": request_id, **_warnings(state)})


def _check(state: State, call: Call, units: RateCounter, units_per_second: int | None) -> None:
    """Check the authorization, rate, format and datastream of a call.

    :raises EdgeError: If the Edge Network would refuse the call.
    """
    settings = state.settings
    _check_rights(state, call)
    if not units.add(state.clock(), units_per_second, max(1, 1 + (len(call.body) - 1) // UNIT_BYTES)):
        raise EdgeError("0000-429", "The limit of request units per second is exceeded")
    if not call.body:
        raise EdgeError("0109-408", "The request body is empty")
    if content_type(call) not in MEDIA_TYPES:
        raise EdgeError("0111-415", f"The request content type is not one of {', '.join(MEDIA_TYPES)}")
    if len(call.body) > MAX_BODY_BYTES:
        raise EdgeError("0112-413", f"The maximum accepted size is {MAX_BODY_BYTES}")
    datastream_id = call.parameter("datastreamId")
    if not datastream_id:
        raise EdgeError("0002-400", "The required datastream parameter datastreamId is missing")
    if settings.datastream_id not in (None, datastream_id):
        raise EdgeError("0003-400", "The datastream does not exist")
    if not settings.datastream_enabled:
        raise EdgeError("0004-422", "The datastream is disabled")


def _check_rights(state: State, call: Call) -> None:
    settings = state.settings
    is_anonymous = settings.edge_authentication == "never" or (
        settings.edge_authentication == "by-port" and call.host.rpartition(":")[2] == str(state.edge_port)
    )
    if is_anonymous:
        return
    organization = call.headers.get("x-gw-ims-org-id")
    if not (bearer(call) and call.headers.get("x-api-key") and organization):
        raise EdgeError("0500-401", "Authorization, x-api-key and x-gw-ims-org-id are required")
    fault = token_fault(state, call)
    if fault is not None:
        raise EdgeError(FAULTS[fault], f"The token is {fault}")
    if settings.ims_org_id not in (None, organization):
        raise EdgeError("0504-401", "The token belongs to another x-gw-ims-org-id")
    if settings.edge_refusal != "none":
        raise EdgeError(REFUSALS[settings.edge_refusal], "The credential lacks a permission")


def _to_target(state: State, event: EdgeEvent, *, is_written: bool) -> list[str]:
    """Pass an event to Target. Return the codes of the errors that occurred there."""
    settings = state.settings
    if not settings.edge_consent:
        return []
    if settings.edge_target_fails:
        return ["0201-503"]
    is_too_long = any(len(value) > settings.delivery_value_length for value in event.values.values())
    if is_too_long or set(event.ids.get("thirdPartyId", "")) & FORBIDDEN:
        return ["0202-502"]
    if event.ids and is_written:
        visit(state, {"tntId": target_id(state, event.ids), **event.ids}, event.values, "edge event")
    return []


def _request_id(state: State, call: Call) -> str:
    """Return the caller's request id with a random suffix, or a new id."""
    given = call.parameter("requestId")
    return f"{given}-{state.random_id()[:8]}" if given else state.random_uuid()


def _location_hints(state: State, call: Call) -> dict[str, Any]:
    hint = call.segments[1] if call.segments[1] in HINTS else HINTS[0]
    scopes = {"Target": state.settings.cluster, "EdgeNetwork": hint}
    payload = [{"scope": scope, "hint": name, "ttlSeconds": HINT_SECONDS} for scope, name in scopes.items()]
    return {"type": "locationHint:result", "payload": payload}


def _warnings(state: State) -> dict[str, Any]:
    return {} if state.settings.edge_consent else {"warnings": [_described("0301-200")]}


def _described(code: str) -> dict[str, Any]:
    type_ = f"https://ns.adobe.com/aep/errors/EXEG-{code}"
    return {"type": type_, "status": int(code[-3:]), "title": TITLES[code]}


def _problem(state: State, call: Call, request_id: str, error: EdgeError) -> Answer:
    organization = state.settings.ims_org_id or call.headers.get("x-gw-ims-org-id", "")
    report: dict[str, Any] = {"requestId": request_id, "orgId": organization}
    if error.errors:
        report["errors"] = error.errors
    described = _described(error.code)
    headers = {"Retry-After": "1"} if described["status"] == 429 else {}
    content = {**described, "detail": str(error), "report": report}
    return json_answer(described["status"], content, headers, "application/problem+json")
