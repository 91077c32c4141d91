"""The report of a task as plain text and as Markdown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_adobe_target.client.batch import Batch

MAX_BATCHES = 20  # further batches are only counted

_COUNTS = {
    "rows_read": "Rows read",
    "rows_sent": "Rows sent",
    "rows_linked": "Rows linked",
    "rows_rejected": "Rows rejected",
    "rows_empty": "Rows without a value",
    "rows_unchanged": "Rows unchanged",
    "rows_stale": "Rows with older values",
    "rows_suppressed": "Rows suppressed",
    "rows_left": "Ids written with missing_values",
    "rows_extended": "Rows for linked ids",
    "values_replaced": "Values with commas or line breaks replaced",
}
_ALWAYS = ("rows_read", "rows_sent", "rows_linked", "rows_rejected")
_BATCH_COLUMNS = ("Batch", "Status", "Rows", "Updated", "Not found", "Failed")
_MARKDOWN_CHARACTERS = re.compile(r"([\\`*_{}\[\]<>()#+!|~])")

Table = Sequence[Sequence[str]]


def report_counts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return labels and values of the counts in a report, each followed by its parts.

    Counts that are 0 and not essential are omitted.
    """
    because = report.get("rows_sent_because") or {}
    parts = {
        "rows_sent": [(f"  sent because {reason}", count) for reason, count in because.items() if count],
        "rows_rejected": [
            (f"  {reason}", count) for reason, count in sorted((report.get("rejected_by_reason") or {}).items())
        ],
    }
    counts: list[tuple[str, int]] = []
    for name, label in _COUNTS.items():
        if name in report and (report[name] or name in _ALWAYS):
            counts += [(label, report[name]), *parts.get(name, ())]
    return [(label, f"{count:,}") for label, count in counts]


def batch_table(batches: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return a header and one row of text per batch, at most :data:`MAX_BATCHES`. Unknown counters are ``?``."""
    known = [Batch.from_dict(entry) for entry in batches[:MAX_BATCHES]]
    rows = [
        [
            batch.batch_id or "-",
            batch.status,
            *map(_count, (batch.rows, batch.successful_updates, batch.profiles_not_found, batch.failures)),
        ]
        for batch in known
    ]
    return [list(_BATCH_COLUMNS), *rows]


def report_text(report: Mapping[str, Any]) -> str:
    """Return the report as lines of plain text, with aligned columns."""
    return "\n".join([*count_lines(report), *batch_lines(report.get("batches") or ()), *_places(report)])


def count_lines(report: Mapping[str, Any]) -> list[str]:
    """Return a summary, and one line per count."""
    return [_summary(report), *_aligned(report_counts(report), indent="  ")]


def batch_lines(batches: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a summary, a header and one line per batch; nothing if there are no batches."""
    if not batches:
        return []
    return [_batch_summary(batches), *_aligned(batch_table(batches), indent="  "), *_further(batches)]


def report_markdown(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown with tables, as GitHub, Slack canvases, Teams and Airflow display them."""
    counts = [("", "Count"), *((label.strip(), value) for label, value in report_counts(report))]
    parts = [f"**{_escape(_summary(report))}**", _markdown_table(counts)]
    batches = report.get("batches") or []
    if batches:
        parts += [_escape(_batch_summary(batches)), _markdown_table(batch_table(batches)), *_further(batches)]
    return "\n\n".join([*parts, *map(_escape, _places(report))])


def _summary(report: Mapping[str, Any]) -> str:
    sent = report.get("rows_sent", report.get("rows_linked", 0))
    verb = "would be sent to" if report.get("dry_run") else "sent to"
    parts = [report.get("client_code"), report.get("id_type"), report.get("api_version")]
    account = ", ".join(str(part) for part in parts if part)
    return f"{sent:,} of {report.get('rows_read', 0):,} rows {verb} Adobe Target{f' ({account})' if account else ''}"


def _batch_summary(batches: Sequence[Mapping[str, Any]]) -> str:
    statuses = Counter(str(entry.get("status")) for entry in batches)
    return f"Batches: {len(batches):,} ({', '.join(f'{count:,} {status}' for status, count in statuses.items())})"


def _further(batches: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"… and {len(batches) - MAX_BATCHES:,} more batches"] if len(batches) > MAX_BATCHES else []


def _places(report: Mapping[str, Any]) -> list[str]:
    path = report.get("rejects_path")
    return [f"Rejected rows: {path}"] if path else []


def _count(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _aligned(table: Table, indent: str) -> Iterator[str]:
    """Pad the cells of each column to one width: numbers to the right, text to the left."""
    columns = [_padded(column) for column in zip(*table, strict=True)]
    for row in zip(*columns, strict=True):
        yield f"{indent}{'  '.join(row)}".rstrip()


def _padded(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    is_number = all(cell[:1].isdigit() or cell == "?" for cell in column[1:])
    return [cell.rjust(width) if is_number else cell.ljust(width) for cell in column]


def _markdown_table(table: Table) -> str:
    head, *rows = [[_escape(cell) for cell in row] for row in table]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape(text: str) -> str:
    """Escape the characters that Markdown would interpret."""
    return _MARKDOWN_CHARACTERS.sub(r"\\\1", " ".join(text.split()))
