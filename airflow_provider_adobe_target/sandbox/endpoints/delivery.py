"""Delivery API: link ids and write profile attributes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_adobe_target.sandbox.endpoints.bulk_update import UNKNOWN_CLIENT, edge_base
from airflow_provider_adobe_target.sandbox.endpoints.delivery_request import InvalidRequestError, read_request
from airflow_provider_adobe_target.sandbox.endpoints.visits import target_id, visit
from airflow_provider_adobe_target.sandbox.messages import Answer, error_answer, json_answer, method_not_allowed

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.messages import Call
    from airflow_provider_adobe_target.sandbox.state import State

MAX_BODY_BYTES = 60_000_000
SESSION_SECONDS = 30 * 60
SESSION_ID = re.compile(r"[!-~]{1,128}")


def deliver(state: State, call: Call) -> Answer:
    """Check a Delivery call, link its ids and write its profile parameters immediately."""
    if call.method != "POST":
        return method_not_allowed("POST")
    refused = _check_account(state, call)
    if refused is not None:
        return refused
    if len(call.body) > MAX_BODY_BYTES:
        return error_answer(413, "The request is too large")
    session = call.parameter("sessionId") or ""
    if not SESSION_ID.fullmatch(session) or set(session) & set("?{}/"):
        return error_answer(400, "sessionId must be 1 to 128 printable characters without blank, ?, {, } and /")
    if not state.open_delivery(call, session):
        return error_answer(420, "Too many requests with same session ID")
    try:
        request = read_request(call.body, state.settings)
    except InvalidRequestError as error:
        return error_answer(400, str(error))
    _note_session(state, session, request.ids)
    if request.names_two_customers:
        state.warnings.append(
            "A Delivery request has a thirdPartyId and other customerIds: Target may merge profiles incorrectly."
        )
    ids = {"tntId": target_id(state, request.ids), **_without_target_id(request.ids)}
    if request.parts or state.settings.link_without_mbox:
        visit(state, ids, request.values, "delivery")
    if request.is_beacon:
        return Answer(204, content_type="")
    content = {
        "status": 200,
        "requestId": request.request_id or state.random_uuid(),
        "client": state.settings.client_code,
        "id": ids,
        "edgeHost": urlsplit(edge_base(state, call)).netloc,
    }
    return json_answer(200, {**content, **request.parts})


def _check_account(state: State, call: Call) -> Answer | None:
    """Return an error answer for a call without an account or for another account, otherwise None."""
    settings = state.settings
    client_code, organization = call.parameter("client"), call.parameter("imsOrgId")
    if client_code is not None:
        return None if client_code == settings.client_code else error_answer(404, UNKNOWN_CLIENT)
    if not organization or not settings.accept_ims_org:
        return error_answer(400, "client is required")
    is_known = settings.ims_org_id in (None, organization)
    return None if is_known else error_answer(404, "Unknown imsOrgId")


def _without_target_id(ids: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in ids.items() if name != "tntId"}


def _note_session(state: State, session: str, ids: dict[str, str]) -> None:
    """Warn if one id is used in two sessions, or two ids in one session, within 30 minutes."""
    now = state.clock()
    for name, value in ids.items():
        conflicts = (
            ((name, value), session, f"One {name} was used in two sessions"),
            ((session, name), value, f"One session was used with two {name}"),
        )
        for subject, other, warning in conflicts:
            before, at = state.session_uses.get(subject, (other, now))
            if before != other and now - at < SESSION_SECONDS:
                state.warnings.append(f"{warning} within 30 minutes: Target may apply the changes inconsistently.")
            state.session_uses[subject] = (other, now)
