"""Adobe Identity Management System (IMS): issue OAuth server-to-server tokens and check them for other endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl

from airflow_provider_adobe_target.sandbox.endpoints.bulk_update import FORM, content_type
from airflow_provider_adobe_target.sandbox.issued_tokens import AccessToken
from airflow_provider_adobe_target.sandbox.messages import bearer, json_answer, method_not_allowed

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.messages import Answer, Call
    from airflow_provider_adobe_target.sandbox.state import State

Fault = Literal["missing", "unknown", "expired", "not of this x-api-key"]


def token(state: State, call: Call) -> Answer:
    """Issue an access token for client credentials."""
    settings = state.settings
    if call.method != "POST":
        return method_not_allowed("POST")
    if not state.ims_tokens.add(state.clock(), settings.ims_tokens_per_minute):
        throttled = {"error": "too_many_requests", "error_description": "Reuse tokens until they expire"}
        return json_answer(429, throttled, {"Retry-After": "60"})
    if content_type(call) != FORM:
        return _refusal(400, "invalid_request", f"The content type must be {FORM}")
    form = dict(parse_qsl(call.body.decode("utf-8", errors="replace")))
    if form.get("grant_type") != "client_credentials":
        return _refusal(400, "unsupported_grant_type", "grant_type must be client_credentials")
    for name, known in (("client_id", settings.client_id), ("client_secret", settings.client_secret)):
        if not form.get(name) or known not in (None, form[name]):
            return _refusal(settings.ims_refuse_status, "invalid_client", f"invalid {name} parameter")
    if not form.get("scope"):
        return _refusal(400, "invalid_scope", "scope must be a comma-separated list of scopes")
    value = f"eyJ{state.random_id()}"
    state.tokens.access_tokens[value] = AccessToken(form["client_id"], state.clock() + settings.ims_token_seconds)
    content = {"access_token": value, "token_type": "bearer", "expires_in": settings.ims_token_seconds}  # nosec B105
    return json_answer(200, content)


def _refusal(status: int, error: str, description: str) -> Answer:
    return json_answer(status, {"error": error, "error_description": description})


def token_fault(state: State, call: Call) -> Fault | None:
    """Return what is wrong with the IMS token of a call, or None if it is valid."""
    value = bearer(call)
    if not value:
        return "missing"
    given = state.tokens.access_tokens.get(value)
    if given is None:
        return "unknown"
    if state.clock() >= given.expires_at:
        return "expired"
    return None if call.headers.get("x-api-key") == given.client_id else "not of this x-api-key"
