"""Describe what would be sent: files, bytes, minutes and statistics of each attribute, without any value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.profiles.deduplication import hash_strings

_SKETCH = 1_024  # hashes that are kept for each attribute: an error of about 3 per cent


class DistinctCount:
    """Approximate number of distinct texts, in constant memory.

    Algorithm: k minimum values. The k smallest 64-bit hashes are kept. The k-th smallest hash, as a share of the range
    of hashes, tells how densely the hashes are spread. Up to k distinct texts, the count is exact.
    """

    def __init__(self) -> None:
        self._smallest: npt.NDArray[np.uint64] = np.zeros(0, np.uint64)

    def add(self, texts: pa.StringArray) -> None:
        """Add texts. Nulls are not counted."""
        hashes = hash_strings(texts.drop_null()).astype(np.uint64)
        self._smallest = np.unique(np.concatenate([self._smallest, hashes]))[:_SKETCH]

    @property
    def estimate(self) -> int:
        """The estimate."""
        if len(self._smallest) < _SKETCH:
            return len(self._smallest)
        return round((_SKETCH - 1) / (float(self._smallest[-1]) / 2.0**64))


@dataclass
class AttributePlan:
    """Statistics of one attribute over the rows that would be sent.

    :param name: Name of the attribute.
    :param column: Name of its column.
    :param type: Type of the column in the source.
    :param values: Number of rows with a value.
    :param longest: Number of characters of the longest value.
    """

    name: str
    column: str
    type: str
    values: int = 0
    longest: int = 0
    distinct: DistinctCount = field(default_factory=DistinctCount)

    def add(self, texts: pa.StringArray) -> None:
        """Add the texts of one batch."""
        self.values += len(texts) - texts.null_count
        self.longest = max(self.longest, pc.max(pc.utf8_length(texts)).as_py() or 0)
        self.distinct.add(texts)

    def to_dict(self, rows: int) -> dict[str, Any]:
        """Return the statistics as JSON-compatible values.

        :param rows: Number of rows that would be sent.
        """
        return {
            "name": self.name,
            "column": self.column,
            "type": self.type,
            "values": self.values,
            "filled_pct": round(100 * self.values / rows, 1) if rows else 0.0,
            "distinct": self.distinct.estimate,
            "longest": self.longest,
        }


@dataclass(frozen=True)
class Plan:
    """A description of an upload. It contains names and numbers, never a value.

    :param rows: Number of rows that would be sent.
    :param files: Number of files.
    :param bytes: Size of all files in bytes.
    :param minutes: Minimum duration at the call budget, with one status request for each file.
    :param attributes: Statistics of each attribute.
    """

    rows: int
    files: int
    bytes: int
    minutes: float
    attributes: Sequence[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-compatible values."""
        return {**vars(self), "attributes": list(self.attributes)}

    def to_markdown(self) -> str:
        """Return the plan as Markdown."""
        lines = [
            f"{self.rows:,} rows in {self.files:,} files of {self.bytes:,} bytes together, "
            f"{self.minutes:g} minutes at least.",
            "",
            "| Attribute | Type | Filled | Distinct (about) | Longest |",
            "|---|---|---:|---:|---:|",
        ]
        lines += [
            f"| {it['name']} | {it['type']} | {it['filled_pct']} % | {it['distinct']:,} | {it['longest']:,} |"
            for it in self.attributes
        ]
        return "\n".join(lines)


class PlanBuilder:
    """Collect the statistics of a run."""

    def __init__(self) -> None:
        self._attributes: dict[str, AttributePlan] = {}
        self._rows = 0

    def add(self, profiles: pa.RecordBatch, types: Mapping[str, tuple[str, str]]) -> None:
        """Add the profiles of one batch.

        :param profiles: ``row_number``, ``id``, and one column of texts for each attribute.
        :param types: Column and type in the source, by attribute name.
        """
        self._rows += len(profiles)
        for column_name, texts in zip(profiles.schema.names[2:], profiles.columns[2:], strict=True):
            name = column_name.removeprefix("profile.")
            column, kind = types[name]
            attribute = self._attributes.setdefault(name, AttributePlan(name, column, kind))
            attribute.type = kind
            attribute.add(texts)

    def plan(self, file_sizes: Iterable[int], calls_per_minute: int) -> Plan:
        """Return the plan.

        :param file_sizes: Sizes of the files in bytes.
        :param calls_per_minute: Call budget.
        """
        sizes = list(file_sizes)
        attributes = [attribute.to_dict(self._rows) for attribute in self._attributes.values()]
        return Plan(self._rows, len(sizes), sum(sizes), minutes_at(2 * len(sizes), calls_per_minute), attributes)


def minutes_at(calls: int, calls_per_minute: int) -> float:
    """Return the minimum number of minutes that calls take: the first minute has the whole budget."""
    return float(max(0, math.ceil(calls / calls_per_minute) - 1))
