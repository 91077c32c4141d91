"""Sums over records of the sync log: by day, by reason, by attribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from msgspec import Struct, json

from airflow_provider_adobe_target.sync_log.record import (
    DRY_RUN,
    FAILED,
    PARTIAL,
    Decoder,
    RunRecord,
    parse_time,
    utc_now,
)

RESULTS = ("updated", "not_found", "failed", "unconfirmed")
TOKEN_OPERATORS = ("ProfileTokenSensor", "RotateProfileTokenOperator")
TOKEN_WARNING_DAYS = 14


@dataclass(frozen=True)
class Totals:
    """Sums over runs that sent rows.

    :param runs: Number of runs.
    :param runs_failed: Runs of which no row is known to be updated, although they have ended.
    :param runs_partial: Runs of which a part failed.
    :param rows_sent: Rows sent.
    :param results: Rows by result; see :data:`RESULTS`. They add up to the rows sent.
    :param rows_rejected: Rows rejected.
    :param by_reason: Rejected rows by reason, the most frequent first.
    """

    runs: int
    runs_failed: int
    runs_partial: int
    rows_sent: int
    results: dict[str, int]
    rows_rejected: int
    by_reason: dict[str, int]


@dataclass
class Day:
    """The rows sent on one day.

    :param day: The day, in UTC.
    :param runs: Number of runs.
    :param results: Rows by result.
    :param rejected: Rows rejected.
    """

    day: date
    runs: int = 0
    results: Counter[str] = field(default_factory=Counter)
    rejected: int = 0

    @property
    def rows_sent(self) -> int:
        """Number of rows sent."""
        return sum(self.results.values())


class AttributeStatistics(Struct, gc=False):
    """What a record contains about one attribute. Values that are missing have their defaults."""

    type: str = "unknown"
    filled: int = 0
    rows: int = 0
    max_length: int = 0


DECODERS: dict[str, Decoder] = {
    "attributes": json.Decoder(dict[str, AttributeStatistics]).decode,
    "details": json.Decoder().decode,
}
"""Decoders of nested columns for pages that read all runs."""


@dataclass
class AttributeEntry:
    """What is known of one attribute.

    :param name: Name in Adobe Target.
    :param type: Type of the column it came from.
    :param filled: Rows with a value, of the last run of each task.
    :param rows: Rows, of the last run of each task.
    :param max_length: Characters of the longest value, over all runs.
    :param last_sent: When it was last sent.
    :param tasks: DAG and task of each task that sends it, with the time at which each sent it last.
    """

    name: str
    type: str
    filled: int = 0
    rows: int = 0
    max_length: int = 0
    last_sent: datetime | None = None
    tasks: dict[tuple[str, str], datetime | None] = field(default_factory=dict)

    @property
    def fill_rate(self) -> float:
        """Share of rows with a value, 0 to 1."""
        return self.filled / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class HeldProfiles:
    """How many profiles a ledger holds.

    :param client_code: Client code of the account.
    :param id_type: Type of the ids.
    :param profiles: Number of profiles.
    :param counted_at: When they were counted.
    """

    client_code: str
    id_type: str
    profiles: int
    counted_at: datetime | None


@dataclass(frozen=True)
class TokenEnd:
    """When a Profile API token expires.

    :param client_code: Client code of the account.
    :param expires_at: End of the token.
    :param seen_at: When this was read.
    """

    client_code: str
    expires_at: datetime
    seen_at: datetime | None

    @property
    def days_left(self) -> float:
        """Days until the end; negative after it."""
        return (self.expires_at - utc_now()).total_seconds() / 86_400


def is_sender(record: RunRecord) -> bool:
    """Return whether the run is one of a task that sends rows."""
    return record.rows_sent is not None


def results_of(record: RunRecord) -> dict[str, int]:
    """Return the rows sent by result. Rows that no counter of Adobe Target accounts for are unconfirmed."""
    if record.outcome == DRY_RUN:
        return {}
    updated, not_found, failed = record.rows_updated or 0, record.rows_not_found or 0, record.rows_failed or 0
    unconfirmed = max(0, (record.rows_sent or 0) - updated - not_found - failed)
    return {"updated": updated, "not_found": not_found, "failed": failed, "unconfirmed": unconfirmed}


def _add(counts: Mapping[str, int], sums: dict[str, int]) -> None:
    """Add counts to sums. ``Counter.update`` is several times as slow for few counts."""
    for name, count in counts.items():
        sums[name] += count


def total(records: Iterable[RunRecord]) -> Totals:
    """Return the sums."""
    runs = [record for record in records if is_sender(record)]
    results: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for record in runs:
        _add(results_of(record), results)
        _add(record.rejected_by_reason, reasons)
    return Totals(
        runs=len(runs),
        runs_failed=sum(record.outcome == FAILED for record in runs),
        runs_partial=sum(record.outcome == PARTIAL for record in runs),
        rows_sent=sum(record.rows_sent or 0 for record in runs if record.outcome != DRY_RUN),
        results={name: results[name] for name in RESULTS},
        rows_rejected=sum(record.rows_rejected or 0 for record in runs),
        by_reason=dict(reasons.most_common()),
    )


def ledger_totals(records: Iterable[RunRecord]) -> dict[str, int]:
    """Return the sums of runs with a ledger: rows sent by reason, rows unchanged and values carried over.

    :param records: Records with ``details``. Dry runs do not count.
    :return: Sums by label; empty if no run had a ledger.
    """
    sums: Counter[str] = Counter()
    for record in records:
        because = record.details.get("rows_sent_because")
        if because and record.outcome != DRY_RUN:
            sums.update({f"Sent: {reason}": count for reason, count in because.items()})
            sums["Unchanged"] += record.rows_unchanged or 0
            sums["Values carried over"] += record.details.get("values_carried") or 0
    return dict(sums)


def profiles_held(records: Iterable[RunRecord]) -> list[HeldProfiles]:
    """Return how many profiles each ledger held last, by account and id type.

    :param records: Records with ``details``, the latest first.
    """
    held: dict[tuple[str, str], HeldProfiles] = {}
    for record in records:
        ledger = record.details.get("ledger")
        if ledger:
            name = (record.client_code or "", ledger["id_type"])
            held.setdefault(name, HeldProfiles(*name, ledger["profiles"], record.finished_at))
    return [held[name] for name in sorted(held)]


def by_day(records: Iterable[RunRecord], first: date, last: date) -> list[Day]:
    """Return one entry for each day from the first to the last, including days without runs."""
    moments = (first + timedelta(days=number) for number in range((last - first).days + 1))
    days = {day: Day(day) for day in moments}
    for record in records:
        day = days.get(record.started_at.date()) if record.started_at and is_sender(record) else None
        if day is not None:
            day.runs += 1
            _add(results_of(record), day.results)
            day.rejected += record.rows_rejected or 0
    return list(days.values())


def attributes(records: Sequence[RunRecord]) -> list[AttributeEntry]:
    """Return the attributes that runs have sent, ordered by name.

    :param records: Records with ``attributes``, decoded by :data:`DECODERS`, the latest first.
    """
    entries: dict[str, AttributeEntry] = {}
    seen: dict[tuple[str, str, int], set[str]] = {}
    for record in records:
        if record.outcome == DRY_RUN:
            continue
        statistics: Mapping[str, AttributeStatistics] = record.attributes  # type: ignore[assignment]
        seen_of_task = seen.setdefault((record.dag_id, record.task_id, record.map_index), set())
        for name in statistics.keys() - seen_of_task:
            _add_last_run(entries, name, statistics[name], record)
        seen_of_task.update(statistics)
        for name, found in statistics.items():
            if found.max_length > entries[name].max_length:
                entries[name].max_length = found.max_length
    return [entries[name] for name in sorted(entries, key=str.lower)]


def _add_last_run(entries: dict[str, AttributeEntry], name: str, found: AttributeStatistics, record: RunRecord) -> None:
    """Add the last run in which a task sent an attribute."""
    moment = record.sent_at or record.finished_at or record.started_at
    entry = entries.setdefault(name, AttributeEntry(name, found.type, last_sent=moment))
    entry.filled += found.filled
    entry.rows += found.rows
    entry.tasks.setdefault((record.dag_id, record.task_id), moment)


def tokens(records: Iterable[RunRecord]) -> list[TokenEnd]:
    """Return the last known end of each account's token.

    :param records: Records with all columns, the latest first.
    """
    ends: dict[str, TokenEnd] = {}
    for record in records:
        expires_at = record.details.get("expires_at")
        if record.operator in TOKEN_OPERATORS and expires_at and record.client_code not in ends:
            code = record.client_code or ""
            ends[code] = TokenEnd(code, parse_time(expires_at), record.finished_at)
    return sorted(ends.values(), key=lambda end: end.expires_at)
