"""What an attribute may be called in Adobe Target."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence

from airflow_provider_adobe_target.exceptions import ProfileDataError

log = logging.getLogger(__name__)

ID_TYPES = {  # what the column of ids may be called, and which id Adobe Target then takes it for
    "thirdPartyId": "thirdPartyId",
    "third_party_id": "thirdPartyId",
    "mbox3rdPartyId": "thirdPartyId",
    "pcId": "pcId",
    "pc_id": "pcId",
    "mboxPC": "pcId",
    "tntId": "pcId",
    "mbox.id": "pcId",
}
_ID_TYPES_IN_LOWER_CASE = {name.lower(): id_type for name, id_type in ID_TYPES.items()}

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")  # Adobe names no charset for bulk; 128 is the limit of page calls
# Adobe's "Profiles, variables, parameters and methods" page: what Target itself writes under these names
_BUILT_IN = frozenset(
    [
        "averageDaysBetweenVisits",
        "browserTime",
        "firstSessionStart",
        "geolocation",
        "mobile",
        "param",
        "parameter",
        "sessionCount",
        "user",
    ]
)
_BUILT_IN_PREFIXES = ("crs.", "entity.", "geolocation.", "mobile.", "param.", "parameter.", "user.")


def id_type_of(column: str) -> str | None:
    """Return the id type that a column's name stands for, in any letter case; None if it is not an id's name."""
    return _ID_TYPES_IN_LOWER_CASE.get(column.lower())


def check_attribute_names(names: Sequence[tuple[str, str]], id_type: str) -> None:
    """Refuse attribute names that Adobe Target would not take, or take for something else.

    :param names: for each attribute the column it comes from and the name it is to have
    :param id_type: first column of the batch file
    :raises ProfileDataError: naming the column and the way out
    """
    columns_of: dict[str, list[str]] = defaultdict(list)
    for column, name in names:
        if problem := _problem(name, id_type):
            raise ProfileDataError(
                f"Column {column!r} cannot be the attribute {name!r}: {problem}. Rename it with "
                f"attributes={{{column!r}: '…'}}, "
                "or leave it out of attributes."
            )
        columns_of[name].append(column)
    for name, columns in columns_of.items():
        if len(columns) > 1:
            raise ProfileDataError(
                f"The attribute name {name!r} comes up twice, from the columns {', '.join(map(repr, columns))}. "
                "Give each its own name in attributes."
            )


def _problem(name: str, id_type: str) -> str | None:
    if name.startswith("profile."):
        return "Adobe Target adds 'profile.' itself"
    if name in _BUILT_IN or name.startswith(_BUILT_IN_PREFIXES):
        return "it is built into Adobe Target, or belongs to its scripts, customer attributes or Recommendations"
    if name == id_type:
        return "it is the name of the id, and so comes up twice"
    if not _NAME.fullmatch(name):
        return "a name is a letter or underscore, then at most 127 letters, digits, '_', '.' or '-'"
    return None


def warn_of_case(names: Sequence[str]) -> None:
    """Log which attribute names differ only by case.

    :param names: all attribute names of a run, so far
    """
    by_case: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_case[name.lower()].append(name)
    for alike in by_case.values():
        if len(alike) > 1:
            log.warning("Attributes that differ only by case are different to Adobe Target: %s", ", ".join(alike))
