"""Effects of a visit, through Delivery or the Edge Network, on profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adobe_target.sandbox.profile_store import Key
    from airflow_provider_adobe_target.sandbox.state import State

# The customer id comes first, because its values take precedence in a merge.
ID_TYPES = {
    "thirdPartyId": "thirdPartyId",
    "tntId": "pcId",
    "marketingCloudVisitorId": "marketingCloudVisitorId",
}


def target_id(state: State, ids: Mapping[str, str]) -> str:
    """Return the Target id of a visitor, with its suffix: from the call, from the profile, or a new one.

    :param state: State of the sandbox, with its profiles.
    :param ids: Ids of the visitor by their Delivery names.
    """
    found = ids.get("tntId") or _known_target_id(state, _keys(ids), state.apply_due_batches()) or state.random_id()
    return found if "." in found else f"{found}.{state.settings.cluster}_0"


def visit(
    state: State, ids: Mapping[str, str], values: Mapping[str, str], kind: Literal["delivery", "edge event"]
) -> None:
    """Link ids to each other and write values to their profile immediately.

    :param state: State of the sandbox, with its profiles.
    :param ids: Ids of the visitor by their Delivery names, at least one.
    :param values: Attribute names, without prefix, and values.
    :param kind: Kind of the origin of the values.
    """
    keys = _keys(ids)
    origin = state.profiles.origin(kind, state.apply_due_batches())
    state.profiles.link(keys, origin.at)
    state.profiles.write(keys[0], values, origin, create=True)


def _keys(ids: Mapping[str, str]) -> list[Key]:
    return [(kind, ids[name]) for name, kind in ID_TYPES.items() if name in ids]


def _known_target_id(state: State, keys: list[Key], at: float) -> str | None:
    profiles = (state.profiles.find(key, at) for key in keys)
    return next((known for profile in profiles if profile and (known := profile.id_of("pcId"))), None)
