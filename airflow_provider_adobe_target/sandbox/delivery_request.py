"""Reading of a Delivery request body, as far as it is about ids and profile parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_adobe_target.sandbox.settings import SandboxSettings

ID_LENGTHS = {"thirdPartyId": 256, "tntId": 128, "marketingCloudVisitorId": 128}
CUSTOMER_ID_LENGTHS = {"id": 128, "integrationCode": 50, "authenticatedState": 128}


class InvalidRequestError(Exception):
    """A request that Delivery refuses; the text is the answer's message."""


@dataclass(frozen=True)
class DeliveryRequest:
    """What a request says.

    :param request_id: the caller's, or None.
    :param ids: ids by their Delivery names; an authenticated ``customerIds`` entry is a ``thirdPartyId``.
    :param values: the profile parameters of all its parts that are not empty.
    :param is_beacon: whether no answer is wanted.
    :param executed: index and name of the mboxes to execute; None where the request has no ``execute``.
    """

    request_id: str | None
    ids: dict[str, str]
    values: dict[str, str]
    is_beacon: bool
    executed: list[dict[str, Any]] | None


def read_request(body: bytes, settings: SandboxSettings) -> DeliveryRequest:
    """Read and check a body.

    :param body: the HTTP body.
    :param settings: known property tokens and the length a value may have.
    :raises InvalidRequestError: if Delivery would refuse it.
    """
    try:
        request = json.loads(body)
    except ValueError:
        raise InvalidRequestError("The body is not JSON") from None
    _require(isinstance(request, dict), "The body is not a JSON object")
    for name in ("context", "id", "property", "execute", "prefetch"):
        _require(isinstance(request.get(name, {}), dict), f"{name} must be an object")
    context = request.get("context", {})
    _check_context(context)
    _check_property(request.get("property"), settings)
    values = _profile_parameters(request, settings.delivery_value_length)
    executed = None
    if "execute" in request:
        mboxes = request["execute"].get("mboxes", [])
        executed = [{"index": mbox["index"], "name": mbox["name"]} for mbox in mboxes]
    return DeliveryRequest(
        request.get("requestId"), _ids(request.get("id", {})), values, context.get("beacon") is True, executed
    )


def _require(condition: object, message: str) -> None:
    if not condition:
        raise InvalidRequestError(message)


def _check_context(context: dict[str, Any]) -> None:
    channel = context.get("channel")
    _require(channel in ("web", "mobile"), "context.channel must be web or mobile")
    if channel == "mobile":
        platform = context.get("mobilePlatform")
        _require(
            isinstance(platform, dict)
            and platform.get("deviceType") in ("phone", "tablet")
            and platform.get("platformType") in ("android", "ios"),
            "context.mobilePlatform needs deviceType and platformType",
        )
        _require("browser" not in context, "context.browser is for the channel web")


def _check_property(given: dict[str, Any] | None, settings: SandboxSettings) -> None:
    if given is not None:
        token, known = given.get("token"), settings.property_tokens
        is_known = isinstance(token, str) and token and (not known or token in known)
        _require(is_known, "Invalid property token")


def _ids(given: dict[str, Any]) -> dict[str, str]:
    ids = {name: given[name] for name in ID_LENGTHS if given.get(name) is not None}
    for name, value in ids.items():
        _require(_is_text(value, ID_LENGTHS[name]), f"id.{name} must be 1 to {ID_LENGTHS[name]} characters")
    is_dotted_once = ids.get("tntId", "").count(".") <= 1
    _require(is_dotted_once, "id.tntId may have a dot in front of the location suffix only")
    customer_ids = given.get("customerIds") or []
    _check_customer_ids(customer_ids, has_visitor_id="marketingCloudVisitorId" in ids)
    # Target keeps one customer id only, and honours authenticated ones only.
    customers = [entry["id"] for entry in customer_ids if entry["authenticatedState"] == "authenticated"]
    return {"thirdPartyId": customers[0], **ids} if customers else ids


def _check_customer_ids(customer_ids: object, *, has_visitor_id: bool) -> None:
    is_list = isinstance(customer_ids, list) and len(customer_ids) <= 50
    _require(is_list, "id.customerIds: size must be between 0 and 50")
    _require(not customer_ids or has_visitor_id, "id.customerIds needs id.marketingCloudVisitorId")
    for entry in customer_ids if isinstance(customer_ids, list) else []:
        is_whole = isinstance(entry, dict) and all(
            _is_text(entry.get(name), length) for name, length in CUSTOMER_ID_LENGTHS.items()
        )
        _require(is_whole, "id.customerIds needs id (to 128), integrationCode (to 50) and authenticatedState")


def _profile_parameters(request: dict[str, Any], value_length: int) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in _items(request):
        parameters = item.get("profileParameters", {})
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
    """Go through the objects that may hold profile parameters."""
    places: list[Any] = [request.get("notifications", [])]
    for part in (request.get("execute", {}), request.get("prefetch", {})):
        _check_mboxes(part.get("mboxes", []))
        places += [part.get("mboxes", []), part.get("views", []), [part.get("pageLoad", {})]]
    for place in places:
        is_list = isinstance(place, list) and all(isinstance(item, dict) for item in place)
        _require(is_list, "views and notifications are lists of objects, pageLoad is an object")
        yield from place


def _check_mboxes(mboxes: object) -> None:
    is_list = isinstance(mboxes, list) and len(mboxes) <= 50
    _require(is_list, "mboxes: size must be between 0 and 50")
    indexes = set()
    for mbox in mboxes if isinstance(mboxes, list) else []:
        is_mbox = isinstance(mbox, dict) and isinstance(mbox.get("index"), int) and _is_text(mbox.get("name"), 128)
        _require(is_mbox, "An mbox needs index and name")
        _require(mbox["index"] not in indexes, "The index of an mbox must be unique")
        indexes.add(mbox["index"])


def _is_text(value: object, length: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= length
