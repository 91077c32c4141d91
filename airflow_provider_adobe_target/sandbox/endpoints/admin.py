"""Admin API: read and generate tokens, and read whether the profile APIs require one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.sandbox.endpoints.bulk_update import check_rate
from airflow_provider_adobe_target.sandbox.endpoints.ims import token_fault
from airflow_provider_adobe_target.sandbox.issued_tokens import DEBUGGER_SCOPE, PROFILE_SCOPE
from airflow_provider_adobe_target.sandbox.messages import json_answer, method_not_allowed
from airflow_provider_adobe_target.sandbox.snapshot import iso_time

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.messages import Answer, Call
    from airflow_provider_adobe_target.sandbox.state import State

MEDIA_TYPE = "application/vnd.adobe.target.v1+json"
ANY_VERSION = "application/vnd.adobe.target."


def authentication_token(state: State, call: Call) -> Answer:
    """Return the token of a scope: the current one (GET) or a new one (POST)."""
    if call.method not in ("GET", "POST"):
        return method_not_allowed("GET", "POST")
    refused = _check(state, call)
    if refused is not None:
        return refused
    settings, now = state.settings, state.clock()
    scope = call.parameter(settings.token_scope_parameter)
    if scope not in (PROFILE_SCOPE, DEBUGGER_SCOPE):
        names = f"{PROFILE_SCOPE} or {DEBUGGER_SCOPE}"
        return _error(state, 400, f"{settings.token_scope_parameter} must be {names}")
    if call.method == "POST":
        token = state.tokens.issue(scope, state.random_uuid(), now)
    else:
        known = state.tokens.current(scope)
        if known is None or known.expires_at <= now:
            return _no_token(state, scope)
        token = known
    since = now if settings.expires_in == "remaining" else token.made_at
    content = {
        "accessToken": token.value,
        "tokenType": "bearer",
        "scope": scope,
        "expiresIn": int(token.expires_at - since),
    }
    return _answer(201 if call.method == "POST" else 200, content)


def client_settings(state: State, call: Call) -> Answer:
    """Return whether the profile APIs require a token."""
    if call.method != "GET":
        return method_not_allowed("GET")
    requires_token = state.settings.require_token and state.settings.token is not None
    return _check(state, call) or _answer(200, {"enableProfileApiAuthentication": requires_token})


def _check(state: State, call: Call) -> Answer | None:
    """Return an error answer for a wrong tenant, token or version or an exceeded rate limit, otherwise None."""
    if call.segments[0] != state.settings.tenant_id:
        return _error(state, 404, "Unknown tenant")
    fault = token_fault(state, call)
    if fault is not None:
        return _error(state, 401, f"The access token is {fault}")
    version = call.headers.get("accept" if call.method == "GET" else "content-type", "")
    if ANY_VERSION in version and MEDIA_TYPE not in version:
        return _error(state, 406, f"Only {MEDIA_TYPE} is supported")
    return check_rate(state)


def _no_token(state: State, scope: str) -> Answer:
    if state.settings.no_token_status == 404:
        return _error(state, 404, f"There is no token of the scope {scope}")
    return _answer(200, {"accessToken": "", "tokenType": "bearer", "scope": scope, "expiresIn": 0})


def _error(state: State, status: int, message: str) -> Answer:
    content = {
        "httpStatus": status,
        "requestId": state.random_uuid(),
        "requestTime": iso_time(state.clock()),
        "errors": [{"errorCode": f"Sandbox.{status}", "message": message, "meta": {}}],
    }
    return _answer(status, content)


def _answer(status: int, content: dict[str, Any]) -> Answer:
    return json_answer(status, content, content_type=MEDIA_TYPE)
