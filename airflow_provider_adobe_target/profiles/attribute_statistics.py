"""Type, fill rate and longest value of each attribute that is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable

_TYPES = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_integer, "integer"),
    (pa.types.is_floating, "number"),
    (pa.types.is_decimal, "number"),
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "timestamp"),
    (pa.types.is_time, "time"),
    (pa.types.is_nested, "list"),
)


class AttributeStatistics:
    """Counts over the profiles of one upload, without any value."""

    def __init__(self) -> None:
        self._types: dict[str, str] = {}
        self._filled: dict[str, int] = {}
        self._longest: dict[str, int] = {}
        self._rows = 0

    def note_types(self, types: Mapping[str, pa.DataType]) -> None:
        """Note the column types of attributes.

        :param types: Arrow type of the source column, by attribute name.
        """
        for name, kind in types.items():
            if self._types.get(name) in (None, "unknown"):
                self._types[name] = type_name(kind)

    def add(self, names: Iterable[str], columns: Iterable[pa.Array], rows: int) -> None:
        """Count the values of profiles.

        :param names: Attribute names.
        :param columns: Their values as text; null for an attribute that is not sent.
        :param rows: Number of profiles.
        """
        self._rows += rows
        for name, column in zip(names, columns, strict=True):
            self._filled[name] = self._filled.get(name, 0) + len(column) - column.null_count
            longest = pc.max(pc.utf8_length(column)).as_py() if column.null_count < len(column) else 0
            self._longest[name] = max(self._longest.get(name, 0), longest)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the statistics by attribute name: ``type``, ``filled``, ``rows`` and ``max_length``."""
        return {
            name: {
                "type": self._types.get(name, "unknown"),
                "filled": filled,
                "rows": self._rows,
                "max_length": self._longest[name],
            }
            for name, filled in self._filled.items()
        }


def type_name(kind: pa.DataType) -> str:
    """Return the name that the sync log uses for an Arrow type: ``text`` unless it is one of the others."""
    if pa.types.is_null(kind):
        return "unknown"
    if pa.types.is_dictionary(kind):
        return type_name(kind.value_type)
    return next((name for test, name in _TYPES if test(kind)), "text")
