"""Describe what would be sent: files, bytes, minutes and statistics of each attribute, without any value."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.profiles.attribute_statistics import source_type

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics

_SENT_BEFORE = {True: "yes", False: "**no**", None: "unknown"}


@dataclass(frozen=True)
class UploadPlan:
    """A description of an upload. It contains names and numbers, never a value.

    :param rows: Number of rows that would be sent.
    :param files: Number of files.
    :param bytes: Size of all files in bytes.
    :param minutes: Minimum duration at the rate limit, with one status request for each file.
    :param attributes: Statistics of each attribute.
    """

    rows: int
    files: int
    bytes: int
    minutes: float
    attributes: Sequence[dict[str, Any]]

    def compared_with(self, sent_attributes: Collection[str] | None) -> UploadPlan:
        """Return the plan with ``sent_before`` for each attribute: ``True``, ``False``, or ``None`` for unknown.

        :param sent_attributes: Names of the attributes that earlier runs sent. None if they are unknown.
        """
        known = None if sent_attributes is None else set(sent_attributes)
        sent = {it["name"]: None if known is None else it["name"] in known for it in self.attributes}
        return replace(self, attributes=[{**it, "sent_before": sent[it["name"]]} for it in self.attributes])

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-compatible values."""
        return {**vars(self), "attributes": list(self.attributes)}

    def to_markdown(self) -> str:
        """Return the plan as Markdown."""
        lines = [
            f"Rows: {self.rows:,}. Files: {self.files:,}. Bytes: {self.bytes:,}. "
            f"Minimum duration: {self.minutes:g} min.",
            "",
            "| Attribute | Type | Filled | Distinct (about) | Longest | Sent before |",
            "|---|---|---:|---:|---:|---|",
        ]
        lines += [
            f"| {it['name']} | {it['type']} | {it['filled_pct']} % | {it['distinct']:,} | {it['longest']:,} | "
            f"{_SENT_BEFORE[it.get('sent_before')]} |"
            for it in self.attributes
        ]
        return "\n".join(lines)


def make_plan(statistics: AttributeStatistics, file_sizes: Iterable[int], calls_per_minute: int) -> UploadPlan:
    """Return the plan.

    :param statistics: Statistics of the rows that would be sent, with distinct values.
    :param file_sizes: Sizes of the files in bytes.
    :param calls_per_minute: Rate limit.
    """
    sizes = list(file_sizes)
    attributes = [_attribute(name, statistics) for name in statistics.counts]
    return UploadPlan(statistics.rows, len(sizes), sum(sizes), minutes_at(2 * len(sizes), calls_per_minute), attributes)


def _attribute(name: str, statistics: AttributeStatistics) -> dict[str, Any]:
    (column, kind), counts, rows = statistics.source(name), statistics.counts[name], statistics.rows
    return {
        "name": name,
        "column": column,
        "type": source_type(kind),
        "values": counts.filled,
        "filled_pct": round(100 * counts.filled / rows, 1) if rows else 0.0,
        "distinct": counts.distinct.estimate if counts.distinct else None,
        "longest": counts.max_length,
    }


def minutes_at(calls: int, calls_per_minute: int) -> float:
    """Return the minimum number of minutes that calls take: in the first minute, all of its calls start at once."""
    return float(max(0, math.ceil(calls / calls_per_minute) - 1))
