"""Parse and validate Edge Network events: ids and Target's profile attributes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox.settings import SandboxSettings

ECID = "ECID"
ECID_DIGITS = 38
DIGITS = re.compile("[0-9]+")
STATES = ("ambiguous", "authenticated", "loggedOut")
MAX_SCOPES = 30
SAVE_SWITCHES = ("__save", "_save")


class EdgeError(Exception):
    """The Edge Network refuses a request.

    :param code: Error number and HTTP status, such as ``0104-422``.
    :param detail: Description of the error.
    :param errors: List of errors for the report, if any.
    """

    def __init__(self, code: str, detail: str, errors: list[str] | None = None) -> None:
        super().__init__(detail)
        self.code, self.errors = code, errors


@dataclass(frozen=True)
class EdgeEvent:
    """The data of an event that is passed to Target.

    :param ids: Ids by their Delivery names. Empty if the event has only ids of namespaces that Target does not use.
    :param values: Profile attributes to store, by their stored names.
    """

    ids: dict[str, str]
    values: dict[str, str]


def read_body(body: bytes, root: str) -> tuple[Any, dict[str, Any]]:
    """Return a request's root element, ``event`` or ``events``, and its query.

    :raises EdgeError: If the body is not valid JSON or the root element is missing.
    """
    try:
        request = json.loads(body)
    except ValueError:
        raise EdgeError("0101-400", "The body is not JSON") from None
    if not isinstance(request, dict) or not request.get(root):
        raise EdgeError("0103-400", f"The '{root}' field is mandatory")
    query = request.get("query") or {}
    if not isinstance(query, dict):
        raise EdgeError("0104-422", "Invalid request", ["query must be an object"])
    return request[root], query


def read_query(query: dict[str, Any]) -> bool:
    """Return whether a query requests personalization.

    :raises EdgeError: If it has too many decision scopes.
    """
    personalization = query.get("personalization")
    if not isinstance(personalization, dict):
        return False
    if len(personalization.get("decisionScopes", [])) > MAX_SCOPES:
        raise EdgeError("0104-422", "Invalid request", [f"decisionScopes may name {MAX_SCOPES} scopes"])
    return True


def read_event(event: object, number: int, settings: SandboxSettings) -> EdgeEvent:
    """Parse and validate one event.

    :param event: Event from the request.
    :param number: Index of the event in the request, from 0.
    :param settings: Settings with namespaces and the configuration of the datastream.
    :raises EdgeError: If the Edge Network would refuse the request because of this event.
    """
    if not isinstance(event, dict):
        raise EdgeError("0104-422", "Invalid request", [f"event #{number} must be an object"])
    identity_map = _object(event, "xdm").get("identityMap", {})
    faults = _identity_faults(identity_map)
    if faults:
        raise EdgeError("0104-422", "Invalid request", faults)
    _check_namespaces(identity_map, settings)
    _check_ecids(identity_map, number, settings)
    primaries = sum(_is_primary(entry) for entries in identity_map.values() for entry in entries)
    if primaries > 1:
        raise EdgeError("0104-422", "Invalid request", [f"event #{number} has more than one primary identity"])
    if primaries == 0 and settings.edge_needs_primary:
        raise EdgeError("0306-400", f"There was no primary identity provided for event #{number}")
    namespaces = {ECID: "marketingCloudVisitorId", settings.third_party_namespace: "thirdPartyId"}
    ids = {namespaces[name]: entries[0]["id"] for name, entries in identity_map.items() if name in namespaces}
    return EdgeEvent(ids, _values(_target_data(event, settings)))


def _object(container: dict[str, Any], name: str) -> dict[str, Any]:
    value = container.get(name)
    return value if isinstance(value, dict) else {}


def _identity_faults(identity_map: object) -> list[str]:
    if not isinstance(identity_map, dict):
        return ["identityMap must be an object"]
    faults = []
    for name, entries in identity_map.items():
        if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
            faults.append(f"identityMap.{name} must be a list of objects")
            continue
        for entry in entries:
            if not isinstance(entry.get("id"), str) or not entry["id"]:
                faults.append(f"identityMap.{name} has an entry without id")
            if entry.get("authenticatedState", "ambiguous") not in STATES:
                faults.append(f"identityMap.{name}: authenticatedState must be one of {', '.join(STATES)}")
    return faults


def _check_namespaces(identity_map: dict[str, Any], settings: SandboxSettings) -> None:
    known = {ECID, settings.third_party_namespace, *settings.identity_namespaces}
    unknown = [name for name in identity_map if name not in known]
    if unknown:
        raise EdgeError("0013-422", f"The identity namespace code {unknown[0]} cannot be resolved")


def _check_ecids(identity_map: dict[str, Any], number: int, settings: SandboxSettings) -> None:
    for entry in identity_map.get(ECID, []):
        length = settings.ecid_digits or min(len(entry["id"]), ECID_DIGITS)
        if not DIGITS.fullmatch(entry["id"]) or len(entry["id"]) != length:
            raise EdgeError("0308-400", f"Event #{number} contains an ID in invalid format in the {ECID} namespace")


def _is_primary(entry: dict[str, Any]) -> bool:
    return entry.get("primary") in (True, "true")  # Adobe's own samples have both


def _target_data(event: dict[str, Any], settings: SandboxSettings) -> dict[str, Any]:
    data = _object(event, "data")
    nested = {} if settings.target_data == "flat" else _object(_object(data, "__adobe"), "target")
    flat = {} if settings.target_data == "nested" else _object(data, "__adobe.target")
    return {**flat, **nested}


def _values(target: dict[str, Any]) -> dict[str, str]:
    """Return profile attributes without their prefix and entity attributes with it. Others are mbox parameters."""
    if any(target.get(name) is False for name in SAVE_SWITCHES):
        return {}
    values = {}
    for name, value in target.items():
        if name.startswith(("profile.", "entity.")) and isinstance(value, (str, int, float)):
            text = value if isinstance(value, str) else json.dumps(value)
            values[name.removeprefix("profile.")] = text
    return {name: text for name, text in values.items() if name and text}
