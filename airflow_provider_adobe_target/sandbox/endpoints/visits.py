"""What a call of a visitor, through Delivery or the Edge Network, does to profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adobe_target.sandbox.profile_store import Key
    from airflow_provider_adobe_target.sandbox.state import State

# The customer id comes first: on a merge, its values win.
ID_TYPES = {
    "thirdPartyId": "thirdPartyId",
    "tntId": "pcId",
    "marketingCloudVisitorId": "marketingCloudVisitorId",
}


def target_id(state: State, ids: Mapping[str, str]) -> str:
    """Return the Target id of a visitor, with its suffix: the one given, the one known, or a new one.

    :param state: has the profiles.
    :param ids: the visitor's ids by their Delivery names.
    """
    found = ids.get("tntId") or _known_target_id(state, _keys(ids), state.settle()) or state.random_id()
    return found if "." in found else f"{found}.{state.settings.cluster}_0"


def visit(
    state: State, ids: Mapping[str, str], values: Mapping[str, str], kind: Literal["delivery", "edge event"]
) -> None:
    """Link ids with each other, and write values to their profile at once.

    :param state: has the profiles.
    :param ids: the visitor's ids by their Delivery names, at least one.
    :param values: attribute names, without prefix, and values.
    :param kind: the origin that the values get.
    """
    keys = _keys(ids)
    origin = state.profiles.origin(kind, state.settle())
    state.profiles.link(keys, origin.at)
    state.profiles.write(keys[0], values, origin, create=True)


def _keys(ids: Mapping[str, str]) -> list[Key]:
    return [(kind, ids[name]) for name, kind in ID_TYPES.items() if name in ids]


def _known_target_id(state: State, keys: list[Key], at: float) -> str | None:
    profiles = (state.profiles.find(key, at) for key in keys)
    return next((known for profile in profiles if profile and (known := profile.id_of("pcId"))), None)
