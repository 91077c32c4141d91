"""Parse and validate a Delivery request body: ids and profile parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_adobe_target.sandbox.settings import SandboxSettings

ID_LENGTHS = {"thirdPartyId": 256, "tntId": 128, "marketingCloudVisitorId": 128}
CUSTOMER_ID_LENGTHS = {"id": 128, "integrationCode": 50}
STATES = ("unknown", "authenticated", "logged_out")
FORBIDDEN = {"+", "/"}  # in a thirdPartyId
OBJECTS = ("context", "id", "property", "execute", "prefetch", "experienceCloud")


class InvalidRequestError(Exception):
    """Delivery refuses a request. The text is the message of its answer."""


@dataclass(frozen=True)
class DeliveryRequest:
    """A parsed Delivery request.

    :param request_id: Request id from the caller, or None.
    :param ids: Ids by their Delivery names. An authenticated ``customerIds`` entry is a ``thirdPartyId``.
    :param names_two_customers: Whether ``thirdPartyId`` differs from the first of ``customerIds``.
    :param values: Non-empty profile parameters of all parts of the request.
    :param is_beacon: Whether the answer has no body.
    :param parts: Answers to ``execute``, ``prefetch`` and ``notifications``, for those that the request contains.
    """

    request_id: str | None
    ids: dict[str, str]
    names_two_customers: bool
    values: dict[str, str]
    is_beacon: bool
    parts: dict[str, Any]


def read_request(body: bytes, settings: SandboxSettings) -> DeliveryRequest:
    """Parse and validate a body.

    :param body: HTTP body.
    :param settings: Settings with property tokens, data sources and the maximum length of a value.
    :raises InvalidRequestError: If Delivery would refuse the request.
    """
    try:
        request = json.loads(body)
    except ValueError:
        raise InvalidRequestError("The body is not JSON") from None
    _require(isinstance(request, dict), "The body is not a JSON object")
    _check_objects(request, OBJECTS)
    context = request.get("context") or {}
    _check_texts(request, {"requestId": 128, "impressionId": 128})
    is_number = request.get("environmentId") is None or _is_number(request["environmentId"])
    _require(is_number, "environmentId must be an integer")
    _check_context(context)
    _check_property(request.get("property"), settings)
    _check_experience_cloud(request.get("experienceCloud") or {})
    values = _profile_parameters(request, settings.delivery_value_length)
    given_ids = request.get("id") or {}
    ids, customers = _ids(given_ids), _customer_ids(given_ids, settings.integration_codes)
    return DeliveryRequest(
        request.get("requestId"),
        {"thirdPartyId": customers[0], **ids} if customers else ids,
        bool(customers) and ids.get("thirdPartyId", customers[0]) != customers[0],
        values,
        context.get("beacon") is True,
        _parts(request),
    )


def _require(condition: object, message: str) -> None:
    if not condition:
        raise InvalidRequestError(message)


def _check_objects(container: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        _require(isinstance(container.get(name) or {}, dict), f"{name} must be an object")


def _check_texts(container: dict[str, Any], lengths: dict[str, int]) -> None:
    for name, length in lengths.items():
        is_text = container.get(name) is None or _is_text(container[name], length)
        _require(is_text, f"{name} must be 1 to {length} characters")


def _check_context(context: dict[str, Any]) -> None:
    channel = context.get("channel")
    _require(channel in ("web", "mobile"), "context.channel must be web or mobile")
    _check_objects(context, ("address", "mobilePlatform", "browser"))
    _check_texts(context.get("address") or {}, {"url": 4_096, "referringUrl": 4_096})
    if channel == "mobile":
        platform = context.get("mobilePlatform") or {}
        is_whole = platform.get("deviceType") in ("phone", "tablet") and platform.get("platformType") in (
            "android",
            "ios",
        )
        _require(is_whole, "context.mobilePlatform needs deviceType and platformType")
        _require(context.get("browser") is None, "context.browser is for the channel web")


def _check_property(given: dict[str, Any] | None, settings: SandboxSettings) -> None:
    if given is not None:
        token, known = given.get("token"), settings.property_tokens
        is_known = isinstance(token, str) and token and (not known or token in known)
        _require(is_known, "Invalid property token")


def _check_experience_cloud(given: dict[str, Any]) -> None:
    _check_objects(given, ("audienceManager", "analytics"))
    manager, analytics = given.get("audienceManager") or {}, given.get("analytics") or {}
    hint = manager.get("locationHint", 1)
    _require(_is_number(hint) and hint >= 1, "audienceManager.locationHint must be 1 or more")
    _check_texts(manager, {"blob": 1_024})
    data_id = analytics.get("supplementalDataId")
    _require(data_id is None or len(str(data_id)) == 33, "analytics.supplementalDataId must be 33 characters")
    is_known = analytics.get("logging") in (None, "server_side", "client_side")
    _require(is_known, "analytics.logging must be server_side or client_side")


def _ids(given: dict[str, Any]) -> dict[str, str]:
    ids = {name: given[name] for name in ID_LENGTHS if given.get(name) is not None}
    for name, value in ids.items():
        _require(_is_text(value, ID_LENGTHS[name]), f"id.{name} must be 1 to {ID_LENGTHS[name]} characters")
    is_allowed = not set(ids.get("thirdPartyId", "")) & FORBIDDEN
    _require(is_allowed, "id.thirdPartyId must have neither + nor /")
    is_dotted_once = ids.get("tntId", "").count(".") <= 1
    _require(is_dotted_once, "id.tntId may have a dot in front of the location suffix only")
    return ids


def _customer_ids(given: dict[str, Any], known_codes: tuple[str, ...]) -> list[str]:
    """Return the authenticated customer ids of known data sources."""
    customer_ids = given.get("customerIds") or []
    is_list = isinstance(customer_ids, list) and len(customer_ids) <= 50
    _require(is_list, "id.customerIds: size must be between 0 and 50")
    has_visitor_id = given.get("marketingCloudVisitorId") is not None
    _require(not customer_ids or has_visitor_id, "id.customerIds needs id.marketingCloudVisitorId")
    for entry in customer_ids:
        is_whole = isinstance(entry, dict) and all(
            _is_text(entry.get(name), length) for name, length in CUSTOMER_ID_LENGTHS.items()
        )
        _require(is_whole, "id.customerIds needs id (to 128) and integrationCode (to 50)")
        _require(entry.get("authenticatedState") in STATES, f"authenticatedState must be one of {', '.join(STATES)}")
    return [
        entry["id"]
        for entry in customer_ids
        if entry["authenticatedState"] == "authenticated"
        and (not known_codes or entry["integrationCode"] in known_codes)
    ]


def _profile_parameters(request: dict[str, Any], value_length: int) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in _items(request):
        parameters = item.get("profileParameters") or {}
        is_object = isinstance(parameters, dict) and len(parameters) <= 50
        _require(is_object, "profileParameters: size must be between 0 and 50")
        for name, value in parameters.items():
            is_name = name.strip() and len(name) <= 128 and not name.startswith("profile.")
            _require(is_name, "A profile parameter's name is 1 to 128 characters, without profile.")
            is_value = value == "" or _is_text(value, value_length)
            _require(is_value, f"A profile parameter's value is a string of up to {value_length} characters")
        values.update(parameters)
    return {name: value for name, value in values.items() if value}


def _items(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects that may contain profile parameters."""
    notifications = request.get("notifications", [])
    places: list[Any] = [notifications]
    for part in (request.get("execute") or {}, request.get("prefetch") or {}):
        _check_mboxes(part.get("mboxes", []))
        places += [part.get("mboxes", []), part.get("views", []), [part.get("pageLoad", {})]]
    for place in places:
        is_list = isinstance(place, list) and all(isinstance(item, dict) for item in place)
        _require(is_list, "views and notifications are lists of objects, pageLoad is an object")
        yield from place
    for notification in notifications:
        is_whole = _is_text(notification.get("id"), 200) and _is_number(notification.get("timestamp"))
        _require(is_whole, "A notification needs id (to 200) and timestamp (milliseconds)")
        _require(notification.get("type") in ("click", "display"), "A notification's type is click or display")


def _check_mboxes(mboxes: object) -> None:
    is_list = isinstance(mboxes, list) and len(mboxes) <= 50
    _require(is_list, "mboxes: size must be between 0 and 50")
    indexes = set()
    for mbox in mboxes if isinstance(mboxes, list) else []:
        is_mbox = isinstance(mbox, dict) and _is_number(mbox.get("index")) and _is_text(mbox.get("name"), 128)
        _require(is_mbox, "An mbox needs index and name")
        _require(mbox["index"] not in indexes, "The index of an mbox must be unique")
        indexes.add(mbox["index"])


def _parts(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answers to execute, prefetch and notifications. They are empty, because there are no activities."""
    parts: dict[str, Any] = {}
    for name in ("execute", "prefetch"):
        asked = request.get(name) or {}
        answered: dict[str, Any] = {}
        if asked.get("mboxes"):
            answered["mboxes"] = [{"index": mbox["index"], "name": mbox["name"]} for mbox in asked["mboxes"]]
        if "pageLoad" in asked:
            answered["pageLoad"] = {}
        if asked.get("views"):
            answered["views"] = []
        if answered:
            parts[name] = answered
    if request.get("notifications"):
        parts["notifications"] = [{"id": notification["id"]} for notification in request["notifications"]]
    return parts


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object, length: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= length
