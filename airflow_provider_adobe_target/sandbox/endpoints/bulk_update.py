"""Bulk profile update, and the checks and answers that it shares with other endpoints."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape  # nosec B406  # writes XML, does not parse it

from airflow_provider_adobe_target.sandbox.batch_file import BatchFile, CountedFile, RefusedFileError
from airflow_provider_adobe_target.sandbox.messages import Answer, Call, bearer, method_not_allowed, text_answer

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.state import Batch, State

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML 1.0 does not allow
FORM = "application/x-www-form-urlencoded"
UNKNOWN_CLIENT = "Unknown client"


def submit(state: State, call: Call) -> Answer:
    """Check and queue a bulk profile update, v1 or v2, and return its status URL."""
    settings = state.settings
    if call.method != "POST":
        return method_not_allowed("POST")
    refused = check_client(state, call.segments[1]) or check_token(state, call) or check_rate(state)
    if refused is not None:
        return refused
    if len(call.body) >= settings.max_body_bytes:
        return refusal(state, call, "The file is too large", settings.too_large_status)
    if settings.reject_content_type and content_type(call) != FORM:
        return refusal(state, call, f"The content type must be {FORM}")
    try:
        file = (BatchFile if settings.keep_profiles else CountedFile)(call.body, settings.decode_order)
    except RefusedFileError as error:
        return refusal(state, call, str(error))
    if len(file) > settings.max_rows:
        return refusal(state, call, "The file has too many rows")
    batch = state.add_batch("v2" if call.segments[2] == "v2" else "v1", call, file)
    if not settings.keep_profiles:
        batch.forget_body()
        call.body = b""
    fields = [
        ("success", "true"),
        ("batchStatus", _status_url(state, call, batch)),
        ("message", "Batch submitted for processing"),
    ]
    return response(state, fields)


def content_type(call: Call) -> str:
    """Return the media type of a call's body, without parameters."""
    return call.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_client(state: State, client_code: str) -> Answer | None:
    """Return an error answer for a wrong client code in the path, otherwise None."""
    return None if client_code == state.settings.client_code else text_answer(404, UNKNOWN_CLIENT)


def check_token(state: State, call: Call) -> Answer | None:
    """Return an error answer for a missing or wrong profile token, otherwise None."""
    requires_token = state.settings.require_token and state.settings.token is not None
    if not requires_token or state.tokens.is_valid_profile_token(bearer(call), state.clock()):
        return None
    message = "The profile authentication token is missing or not valid"
    return refusal(state, call, message, state.settings.missing_token_status)


def check_rate(state: State) -> Answer | None:
    """Return a 503 answer if the rate limit is exceeded, otherwise None."""
    if state.count_call():
        return None
    retry_after = state.settings.retry_after
    return text_answer(503, "Service Unavailable", {} if retry_after is None else {"Retry-After": str(retry_after)})


def refusal(state: State, call: Call, message: str, status: int | None = None) -> Answer:
    """Return an answer with ``success=false``, under ``refuse_status`` unless another status is given.

    Its elements are those of a successful answer: ``pcId`` for a single update, ``batchStatus`` for a batch.
    """
    place = "pcId" if call.route == "single" else "batchStatus"
    fields = [("success", "false"), (place, ""), ("message", message)]
    return response(state, fields, status or state.settings.refuse_status)


def edge_base(state: State, call: Call) -> str:
    """Return scheme, host and port of the edge: the setting, or the host name of the call with the edge port."""
    return state.settings.edge_base or f"http://{call.host.partition(':')[0]}:{state.edge_port}"


def _status_url(state: State, call: Call, batch: Batch) -> str:
    noise = "m2Node=00&" if state.settings.noise else ""
    path = f"/m2/{state.settings.client_code}/profile/batchStatus?{noise}batchId={batch.batch_id}"
    return edge_base(state, call) + path


def response(state: State, fields: list[tuple[str, Any]], status: int = 200) -> Answer:
    """Return a ``<response>`` element with fields, or the same as JSON.

    :param state: State of the sandbox, with its settings.
    :param fields: Names and values in order. A value is text, a number or a list of fields.
    :param status: HTTP status.
    """
    if state.settings.noise:
        fields = state.random.sample(fields, len(fields))
    if state.settings.answer_format == "json":
        content: dict[str, Any] = dict(fields)
        if "success" in content:
            content["success"] = content["success"] == "true"
        if "profile" in content:
            content["profile"] = [dict(value) for name, value in fields if name == "profile"]
        return Answer(status, json.dumps(content), content_type="application/json;charset=UTF-8")
    blank = " \n\t" if state.settings.noise else ""
    return Answer(status, f"<response>{_xml(fields, blank)}</response>")


def _xml(fields: list[tuple[str, Any]], blank: str) -> str:
    elements = [f"<{name}>{_xml_content(value, blank)}</{name}>" for name, value in fields]
    return blank + blank.join(elements) + blank


def _xml_content(value: object, blank: str) -> str:
    if isinstance(value, list):
        return _xml(value, blank)
    return escape(NOT_XML.sub("\ufffd", str(value)))
