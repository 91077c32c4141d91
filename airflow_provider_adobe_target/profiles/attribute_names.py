"""Names of id columns and of attributes that Adobe Target accepts."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence

from airflow_provider_adobe_target.exceptions import ProfileDataError

log = logging.getLogger(__name__)

ID_TYPES = {  # recognised names of the id column, and their id types
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

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")  # bulk charset is undocumented; 128 is the page limit
# Names reserved by Target: Adobe's "Profiles, variables, parameters and methods" page.
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
    """Return the id type of a column name, ignoring case; None if it is not the name of an id."""
    return _ID_TYPES_IN_LOWER_CASE.get(column.lower())


def check_attribute_names(names: Sequence[tuple[str, str]], id_type: str) -> None:
    """Check attribute names.

    :param names: Column and attribute name of each attribute.
    :param id_type: Name of the first column of the batch file.
    :raises ProfileDataError: If a name is invalid, reserved by Adobe Target, or used twice.
    """
    columns_of: dict[str, list[str]] = defaultdict(list)
    for column, name in names:
        if problem := attribute_name_problem(name, id_type):
            raise ProfileDataError(
                f"Column {column!r} cannot be the attribute {name!r}: {problem}. Rename it with "
                f"attributes={{{column!r}: '…'}}, or remove it from attributes."
            )
        columns_of[name].append(column)
    for name, columns in columns_of.items():
        if len(columns) > 1:
            raise ProfileDataError(
                f"The attribute name {name!r} is used twice, by the columns {', '.join(map(repr, columns))}. "
                "Give each column its own name in attributes."
            )


def attribute_name_problem(name: str, id_type: str) -> str | None:
    """Return why Adobe Target does not accept an attribute name, or None.

    :param name: Name, without ``profile.``.
    :param id_type: Name of the first column of the batch file.
    """
    if name.startswith("profile."):
        return "Adobe Target adds 'profile.' itself"
    if name in _BUILT_IN or name.startswith(_BUILT_IN_PREFIXES):
        return "it is built into Adobe Target, or belongs to its scripts, customer attributes or Recommendations"
    if name == id_type:
        return "it is also the name of the id column"
    if not _NAME.fullmatch(name):
        return "a name must be a letter or underscore, then at most 127 letters, digits, '_', '.' or '-'"
    return None


def warn_of_case(names: Sequence[str]) -> None:
    """Log a warning for attribute names that differ only by case.

    :param names: All attribute names found so far.
    """
    by_case: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_case[name.lower()].append(name)
    for alike in by_case.values():
        if len(alike) > 1:
            log.warning("Attributes that differ only by case are different to Adobe Target: %s", ", ".join(alike))
