"""The Delivery API, as far as it links ids and writes profile attributes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_adobe_target.sandbox.answers import Answer, json_answer, method_not_allowed
from airflow_provider_adobe_target.sandbox.bulk import check_client, edge_base
from airflow_provider_adobe_target.sandbox.delivery_request import InvalidRequestError, read_request

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.answers import Call
    from airflow_provider_adobe_target.sandbox.profile_store import Key
    from airflow_provider_adobe_target.sandbox.state import State

LOCATION = ".45_0"
MAX_BODY_BYTES = 60_000_000
SESSION_SECONDS = 30 * 60
SESSION_ID = re.compile(r"[!-~]{1,128}")
# The customer id comes first: on a merge, its values win.
ID_TYPES = {
    "thirdPartyId": "thirdPartyId",
    "tntId": "pcId",
    "marketingCloudVisitorId": "marketingCloudVisitorId",
}


def deliver(state: State, call: Call) -> Answer:
    """Answer a Delivery call: check it, link the ids it names, write its profile parameters at once."""
    if call.method != "POST":
        return method_not_allowed("POST")
    refused = check_client(state, call.parameter("client"))
    if refused is not None:
        return refused
    if len(call.body) > MAX_BODY_BYTES:
        return _error(413, "The request is too large")
    session = call.parameter("sessionId") or ""
    if not SESSION_ID.fullmatch(session) or set(session) & set("?{}/"):
        return _error(400, "sessionId must be 1 to 128 printable characters without blank, ?, {, } and /")
    if state.open_deliveries[session] > state.settings.session_concurrency:
        return _error(420, "Too many requests with same session ID")
    try:
        request = read_request(call.body, state.settings)
    except InvalidRequestError as error:
        return _error(400, str(error))
    _note_session(state, session, request.ids)
    known_ids = _visit(state, request.ids, request.values)
    if request.is_beacon:
        return Answer(204, content_type="")
    content = {
        "status": 200,
        "requestId": request.request_id or state.random_id(),
        "client": state.settings.client_code,
        "id": known_ids,
        "edgeHost": urlsplit(edge_base(state, call)).netloc,
    }
    return json_answer(
        200, content if request.executed is None else {**content, "execute": {"mboxes": request.executed}}
    )


def _error(status: int, message: str) -> Answer:
    return json_answer(status, {"status": status, "message": message})


def _note_session(state: State, session: str, ids: dict[str, str]) -> None:
    """Warn of one id in two sessions, and of two ids in one session, within 30 minutes."""
    now = state.clock()
    for name, value in ids.items():
        mixtures = (
            ((name, value), session, f"One {name} came in two sessions"),
            ((session, name), value, f"One session came with two {name}"),
        )
        for subject, other, warning in mixtures:
            before, at = state.session_uses.get(subject, (other, now))
            if before != other and now - at < SESSION_SECONDS:
                state.warnings.append(f"{warning} within 30 minutes: Target's changes are then inconsistent.")
            state.session_uses[subject] = (other, now)


def _visit(state: State, ids: dict[str, str], values: dict[str, str]) -> dict[str, str]:
    """Link the ids, write the values, and return the ids, now with a Target id in any case."""
    origin = state.profiles.origin("delivery", state.settle())
    keys: list[Key] = [(kind, ids[name]) for name, kind in ID_TYPES.items() if name in ids]
    target_id = ids.get("tntId") or _known_target_id(state, keys, origin.at) or state.random_id()
    if "." not in target_id:
        target_id += LOCATION
    keys.append(("pcId", target_id))
    state.profiles.link(keys, origin.at)
    state.profiles.write(keys[0], values, origin, create=True)
    return {"tntId": target_id, **{name: value for name, value in ids.items() if name != "tntId"}}


def _known_target_id(state: State, keys: list[Key], at: float) -> str | None:
    profiles = (state.profiles.find(key, at) for key in keys)
    return next((known for profile in profiles if profile and (known := profile.id_of("pcId"))), None)
