"""The plan of a run: what would be sent, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_adobe_target.profiles.upload_plan import minutes_at

REASONS = ("new", "changed", "refreshed", "forced")


@dataclass
class PlanCounts:
    """Counts of a plan. Names as in the report of the operator, where they occur there.

    :param changed_by_attribute: Changed values of rows to send, by attribute.
    :param carried_by_attribute: Values that are sent along unchanged, by attribute.
    :param attributes_added: Attributes that the ledger does not contain yet.
    :param shared_attributes: Other tasks that write an attribute of this task, by attribute.
    """

    rows_unchanged: int = 0
    rows_stale: int = 0
    rows_suppressed: int = 0
    rows_left: int = 0
    rows_too_large: int = 0
    because: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(REASONS, 0)))
    values_not_cleared: int = 0
    changed_by_attribute: Counter[str] = field(default_factory=Counter)
    carried_by_attribute: Counter[str] = field(default_factory=Counter)
    attributes_added: list[str] = field(default_factory=list)
    shared_attributes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def rows_sent(self) -> int:
        """Number of rows to send that were read."""
        return self.because.total()

    @property
    def rows_to_send(self) -> int:
        """Number of rows of the batch files, including those of ids that are no longer in the rows."""
        return self.rows_sent + self.rows_left

    def report(self) -> dict[str, Any]:
        """Return the keys of the report that a ledger determines."""
        return {
            "rows_sent": self.rows_sent,
            "rows_unchanged": self.rows_unchanged,
            "rows_stale": self.rows_stale,
            "rows_suppressed": self.rows_suppressed,
            "rows_left": self.rows_left,
            "rows_sent_because": dict(self.because),
            "values_carried": self.carried_by_attribute.total(),
            "values_not_cleared": self.values_not_cleared,
        }


def markdown(
    counts: PlanCounts,
    *,
    rows_read: int,
    rows_empty: int,
    rejected_by_reason: Mapping[str, int],
    files: int,
    size: int,
    calls_per_minute: int,
) -> str:
    """Return the plan as Markdown. It contains counts and names of attributes, never an id or a value.

    :param files: Number of batch files.
    :param size: Bytes of the batch files.
    :param calls_per_minute: Rate limit of the task.
    """
    rows = [
        ("read", rows_read),
        *((f"sent: {reason}", counts.because[reason]) for reason in REASONS),
        ("sent: left (markers)", counts.rows_left),
        ("unchanged", counts.rows_unchanged),
        ("stale", counts.rows_stale),
        ("suppressed", counts.rows_suppressed),
        ("empty", rows_empty),
        *((f"rejected: {reason}", number) for reason, number in sorted(rejected_by_reason.items())),
    ]
    lines = ["## Plan", "", *_table(("rows", "number"), [(name, f"{number:,}") for name, number in rows]), ""]
    names = sorted(counts.changed_by_attribute.keys() | counts.carried_by_attribute.keys())
    if names:
        table = [
            (f"`{name}`", f"{counts.changed_by_attribute[name]:,}", f"{counts.carried_by_attribute[name]:,}")
            for name in names
        ]
        lines += [*_table(("attribute", "changed", "carried"), table), ""]
    if counts.attributes_added:
        lines.append(f"New attributes: {', '.join(f'`{name}`' for name in counts.attributes_added)}.")
    for name, tasks in sorted(counts.shared_attributes.items()):
        lines.append(f"`{name}` is also written by {', '.join(tasks)}.")
    if counts.values_not_cleared:
        lines.append(f"{counts.values_not_cleared:,} values are null, and Adobe Target keeps them (see null_values).")
    minutes = minutes_at(2 * files, calls_per_minute)  # one call sends a file, and at least one reads its status
    lines.append(
        f"Files: {files:,}. Bytes: {size:,}. Minimum duration: {minutes:g} min at {calls_per_minute} calls per minute."
    )
    return "\n".join(lines)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (header, tuple(ruler), *rows)]
