"""Statistics of each attribute over the profiles of one upload, without any value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.profiles.conversion import attribute_names
from airflow_provider_adobe_target.profiles.deduplication import hash_strings
from airflow_provider_adobe_target.profiles.values.python_values import TextCells

_SKETCH = 1_024  # hashes that are kept for each attribute: an error of about 3 per cent

_NULL = pa.null()
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


class DistinctCount:
    """Approximate number of distinct texts, in constant memory.

    Algorithm: k minimum values. The k smallest 64-bit hashes are kept. The k-th smallest hash, as a share of the range
    of hashes, gives the density of the hashes. Up to k distinct texts, the count is exact.
    """

    def __init__(self) -> None:
        self._smallest: npt.NDArray[np.uint64] = np.zeros(0, np.uint64)

    def add(self, texts: pa.StringArray) -> None:
        """Add texts. Nulls are not counted."""
        hashes = hash_strings(texts.drop_null()).astype(np.uint64)
        if len(self._smallest) == _SKETCH:
            hashes = hashes[hashes < self._smallest[-1]]
        self._smallest = np.unique(np.concatenate([self._smallest, hashes]))[:_SKETCH]

    @property
    def estimate(self) -> int:
        """The estimate."""
        if len(self._smallest) < _SKETCH:
            return len(self._smallest)
        return round((_SKETCH - 1) / (float(self._smallest[-1]) / 2.0**64))


@dataclass
class AttributeCounts:
    """Statistics of one attribute.

    :param filled: Number of profiles with a value.
    :param max_length: Number of characters of the longest value.
    :param distinct: Number of distinct values, if it is counted.
    """

    filled: int = 0
    max_length: int = 0
    distinct: DistinctCount | None = None

    def add(self, texts: pa.StringArray) -> None:
        """Add the texts of one batch."""
        filled = len(texts) - texts.null_count
        if filled:
            self.filled += filled
            self.max_length = max(self.max_length, pc.max(pc.utf8_length(texts)).as_py())
            if self.distinct:
                self.distinct.add(texts)


class AttributeStatistics:
    """Statistics of the attributes, in the order in which they are added.

    :param count_distinct: Whether distinct values are counted, which needs a hash of each value.
    :ivar rows: Number of profiles.
    :ivar counts: Counts by attribute name.
    """

    def __init__(self, *, count_distinct: bool = False) -> None:
        self.rows = 0
        self._count_distinct = count_distinct
        self._sources: dict[str, tuple[str, pa.DataType | str]] = {}
        self.counts: dict[str, AttributeCounts] = {}

    def note_sources(self, sources: Mapping[str, tuple[str, pa.DataType | str]]) -> None:
        """Note the sources of attributes. The first type of a column that is not null is kept.

        :param sources: Column and its Arrow type, by attribute name. For an attribute that is not a column, its name
            and kind, such as ``stamp``.
        """
        for name, source in sources.items():
            if self._sources.get(name, ("", _NULL))[1] == _NULL:
                self._sources[name] = source

    def add(self, profiles: pa.RecordBatch) -> None:
        """Add profiles: ``row_number``, ``id``, and one column of texts for each attribute."""
        self.rows += len(profiles)
        for name, texts in zip(attribute_names(profiles), profiles.columns[2:], strict=True):
            if name not in self.counts:
                self.counts[name] = AttributeCounts(distinct=DistinctCount() if self._count_distinct else None)
            self.counts[name].add(texts)

    def source(self, name: str) -> tuple[str, pa.DataType | str]:
        """Return the column of an attribute and its Arrow type in the source, as noted.

        An attribute that is only carried over from a ledger has no column: its name and ``carried over`` are returned.
        """
        return self._sources.get(name, (name, "carried over"))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the statistics by attribute name: ``type``, ``filled``, ``rows`` and ``max_length``."""
        return {
            name: {
                "type": plain_type(self.source(name)[1]),
                "filled": counts.filled,
                "rows": self.rows,
                "max_length": counts.max_length,
            }
            for name, counts in self.counts.items()
        }


def plain_type(kind: pa.DataType | str) -> str:
    """Return a plain name of a type: ``text``, unless it is one of the others."""
    if isinstance(kind, str):
        return "text"
    if pa.types.is_null(kind):
        return "unknown"
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    return next((name for test, name in _TYPES if test(kind)), "text")


def source_type(kind: pa.DataType | str) -> str:
    """Return the name of a type in the source: that of the Arrow type, or ``python`` for Python objects."""
    return "python" if isinstance(kind, TextCells) else str(kind)
