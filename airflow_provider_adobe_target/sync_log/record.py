"""The record of one task run, and its columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from airflow_provider_adobe_target.client.batch import Batch

SENDING = "sending"
SUBMITTED = "submitted"
COMPLETE = "complete"
PARTIAL = "partial"
FAILED = "failed"
DRY_RUN = "dry_run"

KEY = ("dag_id", "run_id", "task_id", "map_index", "try_number")
TIMES = ("started_at", "sent_at", "finished_at")
Decoder = Callable[[str], Any]
JSON_TEXTS = ("rejected_by_reason", "batches", "attributes", "details")

_BATCH_KEYS = (
    "batch_id",
    "status",
    "rows",
    "bytes",
    "submitted_at",
    "batch_size",
    "consumed_count",
    "successful_updates",
    "profiles_not_found",
    "failed_updates",
    "listed_failures",
    "resubmitted_after",
)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the sync log contains about one try of one task instance. The fields are the columns, in their order.

    Times are in UTC. None means that the value is unknown, or that the operator has no such value.

    :param dag_id: Id of the DAG.
    :param task_id: Id of the task.
    :param run_id: Id of the DAG run.
    :param map_index: Index of a mapped task, otherwise -1.
    :param try_number: Number of the try, counted from 1.
    :param operator: Class name of the operator or sensor.
    :param client_code: Client code of the account.
    :param id_type: ``thirdPartyId``, ``pcId``, or the namespace of the Edge Network.
    :param api_version: ``v1`` or ``v2`` of the bulk API.
    :param started_at: Start of the try.
    :param sent_at: When the last row was sent.
    :param finished_at: When the result was known.
    :param outcome: ``sending``, ``submitted``, ``complete``, ``partial``, ``failed`` or ``dry_run``.
    :param rows_updated: Rows that Adobe Target counted as updated.
    :param rows_not_found: Rows without a profile.
    :param rows_failed: Rows that Adobe Target counted or listed as failed.
    :param files: Number of batch files.
    :param bytes: Size of the batch files.
    :param calls: Calls to Adobe Target from the worker.
    :param wait_seconds: Time that these calls waited for the rate limiter.
    :param rejected_by_reason: Number of rejected rows by reason.
    :param batches: Batches with status and counters.
    :param attributes: Type, filled rows, rows and length of the longest value, by attribute name.
    :param details: Further values that only some operators have.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    try_number: int
    operator: str
    client_code: str | None = None
    id_type: str | None = None
    api_version: str | None = None
    started_at: datetime | None = None
    sent_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: str = SENDING
    rows_read: int | None = None
    rows_sent: int | None = None
    rows_rejected: int | None = None
    rows_empty: int | None = None
    rows_unchanged: int | None = None
    rows_updated: int | None = None
    rows_not_found: int | None = None
    rows_failed: int | None = None
    files: int | None = None
    bytes: int | None = None
    calls: int | None = None
    wait_seconds: float | None = None
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    batches: Sequence[Mapping[str, Any]] = ()
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """The values of the primary key, in the order of :data:`KEY`."""
        return tuple(getattr(self, name) for name in KEY)

    def with_report(self, report: Mapping[str, Any]) -> RunRecord:
        """Return the record with the counts of a report. Keys that the record does not have are ignored."""
        names = ("client_code", "id_type", "api_version", "rows_read", "rows_sent", "rows_rejected", "rows_empty")
        known = {name: report[name] for name in (*names, "rows_unchanged", "rejected_by_reason") if name in report}
        if "rows_linked" in report:  # the report of IdentityLinkOperator
            known["rows_sent"] = report["rows_linked"]
        record = replace(self, **known)
        return record.with_batches(report["batches"]) if "batches" in report else record

    def with_batches(self, batches: Sequence[Mapping[str, Any] | Batch]) -> RunRecord:
        """Return the record with batches, and with the counters that they add up to.

        The first time at which a batch was seen as final is kept.
        """
        known = [batch if isinstance(batch, Batch) else Batch.from_dict(batch) for batch in batches]
        finished = {entry.get("batch_id"): entry.get("finished_at") for entry in self.batches}
        return replace(
            self,
            batches=[_entry(batch, finished.get(batch.batch_id)) for batch in known],
            files=len(known),
            bytes=_total([batch.bytes for batch in known]),
            rows_updated=_total([batch.successful_updates for batch in known]),
            rows_not_found=_total([batch.profiles_not_found for batch in known]),
            rows_failed=_total([batch.failures for batch in known]),
        )

    def with_outcome(self, *, task_failed: bool) -> RunRecord:
        """Return the record with the outcome that the batches show, and the current time as the end.

        :param task_failed: Whether the task ended with an error.
        """
        statuses = [entry.get("status") for entry in self.batches]
        is_updated = bool(self.rows_updated) or (not statuses and bool(self.rows_sent))
        if task_failed:
            outcome = PARTIAL if is_updated else FAILED
        elif self.rows_failed or any(status not in (COMPLETE, DRY_RUN) for status in statuses):
            outcome = PARTIAL if is_updated or COMPLETE in statuses else FAILED
        else:
            outcome = COMPLETE
        return replace(self, outcome=outcome, finished_at=utc_now())

    def to_row(self, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the values of columns: times and nested values as text.

        :param columns: Default: all.
        """
        row = {column: getattr(self, column) for column in columns or COLUMNS}
        for name in row.keys() & TIMES:
            row[name] = time_text(row[name])
        for name in row.keys() & JSON_TEXTS:
            value = row[name]
            row[name] = json.dumps(list(value) if name == "batches" else dict(value), ensure_ascii=False)
        return row

    @classmethod
    def from_values(cls, values: Sequence[Any], nested: Mapping[str, Decoder] | None = None) -> RunRecord:
        """Read the values of :data:`SUMMARY_COLUMNS` and of some of :data:`NESTED_COLUMNS`, in this order.

        :param nested: Function that decodes the text of each nested column.
        """
        known = list(values[: len(SUMMARY_COLUMNS)])
        for index in _TIME_INDEXES:
            if known[index] is not None:
                known[index] = parse_time(known[index])
        reasons = known[-1]
        known[-1] = _parsed_reasons(reasons) if isinstance(reasons, str) else {}
        if not nested:
            return cls(*known)
        texts = zip(nested.items(), values[len(SUMMARY_COLUMNS) :], strict=True)
        return cls(*known, **{name: decode(text) for (name, decode), text in texts if text})

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> RunRecord:
        """Read the values of columns. Columns that are missing have their defaults, others are ignored."""
        known = {name: row[name] for name in COLUMNS if row.get(name) is not None}
        for name in TIMES:
            if name in known:
                known[name] = parse_time(known[name])
        for name in JSON_TEXTS:
            if isinstance(known.get(name), str):
                known[name] = json.loads(known[name])
        return cls(**known)


COLUMNS = tuple(column.name for column in fields(RunRecord))
NESTED_COLUMNS = ("batches", "attributes", "details")
SUMMARY_COLUMNS = COLUMNS[: -len(NESTED_COLUMNS)]
_TIME_LENGTH = len("2026-01-31 00:00:00.000000")
_TIME_INDEXES = tuple(SUMMARY_COLUMNS.index(name) for name in TIMES)


@lru_cache(maxsize=1_000)
def _parsed_reasons(text: str) -> Mapping[str, int]:
    reasons: dict[str, int] = json.loads(text)
    return reasons


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(timezone.utc)


def time_text(moment: datetime | None) -> str | None:
    """Format a time as ``2026-01-31 00:00:00.000000``, in UTC."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(" ", "microseconds")


def parse_time(value: Any) -> datetime:
    """Read a time that a database driver returns, or the text of :func:`time_text`. Without a zone, it is in UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(f"{value}+00:00" if len(value) == _TIME_LENGTH else value.replace("Z", "+00:00"))
    moment: datetime = value
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _entry(batch: Batch, finished_at: Any) -> dict[str, Any]:
    known = batch.to_dict()
    entry = {name: known[name] for name in _BATCH_KEYS if name in known}
    if batch.final and not batch.is_planned:
        entry["finished_at"] = finished_at or utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return entry


def _total(counts: Sequence[int | None]) -> int | None:
    """Return the sum of the known counts; None if there is none."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
