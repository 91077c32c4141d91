"""Single profile update and profile fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from airflow_provider_adobe_target.sandbox.endpoints.bulk_update import (
    FORM,
    UNKNOWN_CLIENT,
    check_client,
    check_token,
    content_type,
    refusal,
    response,
)
from airflow_provider_adobe_target.sandbox.messages import Answer, error_answer, json_answer, method_not_allowed
from airflow_provider_adobe_target.sandbox.snapshot import iso_time
from airflow_provider_adobe_target.sandbox.state import is_forbidden

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.messages import Call
    from airflow_provider_adobe_target.sandbox.state import State

ID_PARAMETERS = {"mbox3rdPartyId": "thirdPartyId", "mboxPC": "pcId"}
ID_WORDS = {"thirdPartyId": "third party id", "pcId": "mboxPC"}
PREFIX = "profile."


def update(state: State, call: Call) -> Answer:
    """Answer a single profile update. The answer does not reveal whether the profile exists."""
    if call.method not in ("GET", "POST"):
        return method_not_allowed("GET", "POST")
    # Adobe's documentation has the literal word "client" where other paths have the client code.
    is_literal = call.segments[1] == "client"
    refused = (None if is_literal else check_client(state, call.segments[1])) or check_token(state, call)
    if refused is not None:
        return refused
    limit = state.settings.single_get_bytes if call.method == "GET" else state.settings.single_post_bytes
    if len(call.raw_path) + 1 + len(call.query) + len(call.body) > limit:
        return refusal(state, call, "The update is too large", 413)
    parameters = _parameters(call)
    key = next(((kind, parameters[name]) for name, kind in ID_PARAMETERS.items() if parameters.get(name)), None)
    if key is None:
        return refusal(state, call, "mboxPC or mbox3rdPartyId is required")
    values = {
        name.removeprefix(PREFIX): value
        for name, value in parameters.items()
        if name.startswith(PREFIX) and name != PREFIX and value
    }
    if is_forbidden(*key):
        state.warnings.append("A single update names a customer id with '+' or '/': Target writes nothing.")
    elif values:
        origin = state.profiles.origin("single update", state.apply_due_batches())
        state.profiles.write(key, values, origin, create=False)
    return response(state, [("success", "true"), ("pcId", ""), ("message", "Request successfully submitted")])


def _parameters(call: Call) -> dict[str, str]:
    """Return the parameters of the query and of a form body. The query takes precedence."""
    pairs = parse_qsl(call.query, keep_blank_values=True)
    if call.method == "POST" and content_type(call) == FORM:
        pairs += parse_qsl(call.body.decode("utf-8", errors="replace"), keep_blank_values=True)
    return dict(reversed(pairs))


def fetch(state: State, call: Call) -> Answer:
    """Return a profile by Target id, customer id or Experience Cloud id."""
    if call.method != "GET":
        return method_not_allowed("GET")
    if call.parameter("client") != state.settings.client_code:
        return error_answer(404, UNKNOWN_CLIENT)
    if check_token(state, call) is not None:
        status = state.settings.missing_token_status
        return json_answer(status, {"status": 403 if status == 200 else status, "message": "Forbidden"})
    key = _key(call)
    if key is None:
        return error_answer(404, "Not found")
    now = state.apply_due_batches()
    profile = state.profiles.find(key, now)
    attributes = None if profile is None else profile.visible(now)
    client_code = state.settings.client_code
    if attributes is None:
        id_type, profile_id = key
        message = f"No profile found for client {client_code} with {ID_WORDS.get(id_type, id_type)}={profile_id}"
        return error_answer(404, message)
    times = [attribute.origin.at for attribute in attributes.values()]
    content = {
        "client": client_code,
        "visitorId": key[1],
        "modifiedAt": iso_time(max(times, default=now)),
        "profileAttributes": {
            name: {"value": attribute.value, "modifiedAt": iso_time(attribute.origin.at)}
            for name, attribute in attributes.items()
        },
    }
    return json_answer(200, content)


def _key(call: Call) -> tuple[str, str] | None:
    """Return the id type and id of a fetch path, in which the id is one segment, or None."""
    first, *more = call.segments[3:]
    if not more:
        return ("pcId", first)
    if first in ("thirdPartyId", "marketingCloudVisitorId") and len(more) == 1:
        return (first, more[0])
    return None
