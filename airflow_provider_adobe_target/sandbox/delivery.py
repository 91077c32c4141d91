"""The Delivery API, as far as it links ids and writes profile attributes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_adobe_target.sandbox.answers import Answer, json_answer, method_not_allowed
from airflow_provider_adobe_target.sandbox.bulk import check_client, edge_base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_adobe_target.sandbox.answers import Call
    from airflow_provider_adobe_target.sandbox.profile_store import Key
    from airflow_provider_adobe_target.sandbox.state import State

LOCATION = ".45_0"
MAX_BODY_BYTES = 60_000_000
SESSION_SECONDS = 30 * 60
SESSION_ID = re.compile(r"[!-~]{1,128}")
ID_TYPES = {
    "thirdPartyId": "thirdPartyId",
    "tntId": "pcId",
    "marketingCloudVisitorId": "marketingCloudVisitorId",
}
ID_LENGTHS = {"thirdPartyId": 256, "tntId": 128, "marketingCloudVisitorId": 128}


class _InvalidError(Exception):
    """A request that Delivery refuses; the text is the answer's message."""


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
        request = _parsed(call.body)
        _check_context(request)
        _check_property(state, request)
        ids = _ids(request)
        values = _profile_parameters(state, request)
    except _InvalidError as error:
        return _error(400, str(error))
    _note_session(state, session, ids)
    known = _visit(state, ids, values)
    if request["context"].get("beacon") is True:
        return Answer(204, content_type="")
    content = {
        "status": 200,
        "requestId": request.get("requestId") or f"{state.random.getrandbits(128):032x}",
        "client": state.settings.client_code,
        "id": known,
        "edgeHost": urlsplit(edge_base(state, call)).netloc,
    }
    if "execute" in request:
        mboxes = request["execute"].get("mboxes", [])
        content["execute"] = {"mboxes": [{"index": mbox["index"], "name": mbox["name"]} for mbox in mboxes]}
    return json_answer(200, content)


def _error(status: int, message: str) -> Answer:
    return json_answer(status, {"status": status, "message": message})


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except ValueError:
        raise _InvalidError("The body is not JSON") from None
    if not isinstance(request, dict):
        raise _InvalidError("The body is not a JSON object")
    for name in ("context", "id", "property", "execute", "prefetch"):
        if not isinstance(request.get(name, {}), dict):
            raise _InvalidError(f"{name} must be an object")
    return request


def _check_context(request: dict[str, Any]) -> None:
    context = request.get("context", {})
    channel = context.get("channel")
    if channel not in ("web", "mobile"):
        raise _InvalidError("context.channel must be web or mobile")
    if channel == "mobile":
        platform = context.get("mobilePlatform") or {}
        if platform.get("deviceType") not in ("phone", "tablet") or platform.get("platformType") not in (
            "android",
            "ios",
        ):
            raise _InvalidError("context.mobilePlatform needs deviceType and platformType")
        if "browser" in context:
            raise _InvalidError("context.browser is for the channel web")


def _check_property(state: State, request: dict[str, Any]) -> None:
    known = state.settings.property_tokens
    if "property" not in request:
        return
    token = request["property"].get("token")
    if not token or (known and token not in known):
        raise _InvalidError("Invalid property token")


def _ids(request: dict[str, Any]) -> dict[str, str]:
    """Return the ids by their Delivery names, an authenticated ``customerIds`` entry as ``thirdPartyId``."""
    given = request.get("id", {})
    ids = {name: given[name] for name in ID_TYPES if given.get(name) is not None}
    for name, value in ids.items():
        if not isinstance(value, str) or not 0 < len(value) <= ID_LENGTHS[name]:
            raise _InvalidError(f"id.{name} must be 1 to {ID_LENGTHS[name]} characters")
    if ids.get("tntId", "").count(".") > 1:
        raise _InvalidError("id.tntId may have a dot in front of the location suffix only")
    customer_id = _customer_id(given)
    if customer_id is not None:
        ids = {"thirdPartyId": customer_id, **ids}
    return ids


def _customer_id(given: dict[str, Any]) -> str | None:
    customer_ids = given.get("customerIds", [])
    if not customer_ids:
        return None
    if not isinstance(customer_ids, list) or len(customer_ids) > 50:
        raise _InvalidError("id.customerIds: size must be between 0 and 50")
    if "marketingCloudVisitorId" not in given:
        raise _InvalidError("id.customerIds needs id.marketingCloudVisitorId")
    for entry in customer_ids:
        is_object = isinstance(entry, dict)
        if not is_object or not all(entry.get(name) for name in ("id", "integrationCode", "authenticatedState")):
            raise _InvalidError("id.customerIds needs id, integrationCode and authenticatedState")
        if len(entry["id"]) > 128 or len(entry["integrationCode"]) > 50:
            raise _InvalidError("id.customerIds: id has at most 128 characters, integrationCode 50")
    return next((entry["id"] for entry in customer_ids if entry["authenticatedState"] == "authenticated"), None)


def _profile_parameters(state: State, request: dict[str, Any]) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in _items(request):
        parameters = item.get("profileParameters") or {}
        if not isinstance(parameters, dict) or len(parameters) > 50:
            raise _InvalidError("profileParameters: size must be between 0 and 50")
        for name, value in parameters.items():
            if not name.strip() or len(name) > 128 or name.startswith("profile."):
                raise _InvalidError("A profile parameter's name is 1 to 128 characters, without profile.")
            if not isinstance(value, str) or len(value) > state.settings.delivery_value_length:
                raise _InvalidError("A profile parameter's value is a string within the length limit")
        values.update(parameters)
    return {name: value for name, value in values.items() if value}


def _items(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through the objects that may hold profile parameters, checking the lists they are in."""
    places: list[Any] = [request.get("notifications", [])]
    for part in (request.get("execute", {}), request.get("prefetch", {})):
        places += [part.get("mboxes", []), part.get("views", []), [part.get("pageLoad", {})]]
        mboxes = part.get("mboxes", [])
        if not isinstance(mboxes, list) or len(mboxes) > 50:
            raise _InvalidError("mboxes: size must be between 0 and 50")
        if any(not isinstance(mbox, dict) or "index" not in mbox or not mbox.get("name") for mbox in mboxes):
            raise _InvalidError("An mbox needs index and name")
        if len({mbox["index"] for mbox in mboxes}) < len(mboxes):
            raise _InvalidError("The index of an mbox must be unique")
    for place in places:
        if not isinstance(place, list) or not all(isinstance(item, dict) for item in place):
            raise _InvalidError("mboxes, views and notifications are lists of objects, pageLoad is an object")
        yield from place


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
    target_id = ids.get("tntId") or _known_target_id(state, keys, origin.at) or f"{state.random.getrandbits(128):032x}"
    if "." not in target_id:
        target_id += LOCATION
    keys.append(("pcId", target_id))
    state.profiles.link(keys, origin.at)
    state.profiles.write(keys[0], values, origin, create=True)
    return {"tntId": target_id, **{name: value for name, value in ids.items() if name != "tntId"}}


def _known_target_id(state: State, keys: list[Key], at: float) -> str | None:
    profiles = (state.profiles.find(key, at) for key in keys)
    return next((known for profile in profiles if profile and (known := profile.id_of("pcId"))), None)
