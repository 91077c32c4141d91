"""Write the record of one task run. An error of the sync log is a warning, never an error of the task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.concurrency.deadline import call_within
from airflow_provider_adobe_target.sync_log.no_recorder import NoRecorder
from airflow_provider_adobe_target.sync_log.record import (
    COMPLETE,
    DRY_RUN,
    NESTED_COLUMNS,
    PARTIAL,
    SENDING,
    SUBMITTED,
    RunRecord,
    utc_now,
)
from airflow_provider_adobe_target.sync_log.store import RunFilter

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.rate_limit.limiter import Usage
    from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics
    from airflow_provider_adobe_target.sync_log.store import SyncLog

WRITE_SECONDS = 10.0
_EARLIER_DAYS, _EARLIER_RECORDS, _EARLIER_RUNS = 400, 500, 7
_UNFINISHED_DAYS = 35  # Adobe Target deletes the status of a batch much earlier

T = TypeVar("T")
log = logging.getLogger(__name__)

_DETAILS = (
    "rejects_path",
    "values_replaced",
    "rows_extended",
    "rows_stale",
    "rows_suppressed",
    "rows_left",
    "rows_sent_because",
    "values_carried",
    "sampled",
    "landed",
    "not_found",
    "different",
    "days_left",
    "expires_at",
    "rotated_at",
)


class RunRecorder(NoRecorder):
    """Keeps the record of one task run and writes it to the sync log.

    :param name: What ``sync_log`` names, for warnings.
    :param sync_log: The store.
    :param record: The record as it is when the task starts.
    :param usage: Returns what the task used of the limit of calls per minute, if it made such calls.
    :param is_sender: Whether the task sends rows. The records of other tasks have no counts of rows: ``rows_sent`` is
        None, so that sums over the table count each row once.
    :param keep_days: Age in days from which records are deleted. None: they are kept.
    """

    is_active = True

    def __init__(
        self,
        name: str,
        sync_log: SyncLog,
        record: RunRecord,
        *,
        usage: Callable[[], Usage | None],
        is_sender: bool,
        keep_days: int | None = None,
    ) -> None:
        self.record = record
        self._name = name
        self._log = sync_log
        self._usage = usage
        self.is_sender = is_sender
        self._keep_days = keep_days
        self._statistics: AttributeStatistics | None = None
        self._observed: list[Batch] = []
        self._before = record

    def attribute_statistics(self) -> AttributeStatistics:
        """Return new, empty statistics, whose final state becomes part of the record."""
        from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics

        self._statistics = AttributeStatistics()
        return self._statistics

    def earlier_row_counts(self) -> Sequence[int]:
        """Return the number of rows that the last successful or partial runs of this task read, the latest first."""
        own = self.record
        selected = RunFilter(
            since=utc_now() - timedelta(days=_EARLIER_DAYS),
            dag_ids=[own.dag_id],
            task_id=own.task_id,
            map_index=own.map_index,
            client_code=own.client_code,
            outcomes=(COMPLETE, PARTIAL),
        )
        found = self._try(lambda: self._log.read(selected, _EARLIER_RECORDS)) or []
        by_run: dict[str, int] = {}
        for record in found:
            if record.rows_read is not None and record.run_id != own.run_id:
                by_run.setdefault(record.run_id, record.rows_read)  # of several tries, the last one
        return list(by_run.values())[:_EARLIER_RUNS]

    def sent_attributes(self) -> Collection[str] | None:
        """Return the names of the attributes that tasks have sent to this account. None without such a record."""
        return self._try(lambda: sent_attributes(self._log, self.record.client_code))

    def resume(self) -> None:
        """Continue the record of a task that was deferred."""
        record = self.record
        selected = RunFilter(
            dag_ids=[record.dag_id],
            run_id=record.run_id,
            task_id=record.task_id,
            map_index=record.map_index,
            outcomes=[SENDING, SUBMITTED],
            nested=NESTED_COLUMNS,
        )
        found = self._try(lambda: self._log.read(selected)) or []
        for earlier in found:
            if earlier.key == record.key:
                self.record = self._before = earlier

    def start(self) -> None:
        """Write that the task has started, and that it has sent no rows yet."""
        self.record = replace(self.record, outcome=SENDING, rows_sent=0)
        self._write(self.record)

    def accepted(self, batches: Sequence[Batch]) -> None:
        """Note the batches of this task. Without a report yet, their rows are the rows sent."""
        record = self.record.with_batches(batches)
        rows = sum(batch.rows or 0 for batch in batches)
        self.record = record if record.rows_read is not None else replace(record, rows_sent=rows)

    def note(self, report: Mapping[str, Any]) -> None:
        """Note the counts and details of a report, without writing them."""
        self.record = self._with_report(report)

    def note_ledger(self, ledger: Any) -> None:
        """Note the number of profiles that a ledger holds, without writing it.

        :param ledger: The ``ProfileLedger`` of the task.
        """
        try:
            summary = ledger.summary(self.record.client_code)
        except Exception as error:
            log.warning("The profiles of the ledger cannot be counted: %s: %s", type(error).__name__, error)
            return
        if summary:
            self.record = replace(self.record, details={**self.record.details, "ledger": summary})

    def sent(self, report: Mapping[str, Any]) -> None:
        """Write that all batches are sent. The report may lack keys that are not known yet."""
        record = self._with_statistics(self._with_report(report))
        self.record = replace(record, outcome=SUBMITTED, sent_at=utc_now())
        self._write(self._with_usage())

    def observed(self, batches: Sequence[Batch]) -> None:
        """Note batches of other tasks whose end this task has seen."""
        self._observed = list(batches)

    def deferred(self) -> None:
        """Write that the task continues later, if it sends rows or has noted details."""
        if self.is_sender or self.record.details != self._before.details:
            self.record = replace(self._with_usage(), outcome=SUBMITTED)
            self._write(self.record)

    def finished(self, result: Any, *, task_failed: bool, error: str | None = None) -> None:
        """Write the end.

        :param result: What the task returned; None if it failed.
        :param task_failed: Whether it failed.
        :param error: Class name of the error.
        """
        record = self._with_report(result) if isinstance(result, Mapping) else self.record
        if error:
            record = replace(record, details={**record.details, "error": error})
        record = self._with_statistics(record)
        if not self.is_sender and self._observed:
            record = _without_counts(record.with_batches(self._observed))
        is_submitted = not task_failed and self.is_sender and _has_unfinished(record)
        self.record = record if is_submitted else record.with_outcome(task_failed=task_failed)
        if is_submitted:
            self.record = replace(self.record, outcome=SUBMITTED, sent_at=record.sent_at or utc_now())
        elif isinstance(result, Mapping) and result.get("dry_run") is True:
            self.record = replace(self.record, outcome=DRY_RUN)
        self._write(self._with_usage())
        if self._observed:
            self._try(self._update_uploads)
        if self._keep_days is not None:
            oldest = utc_now() - timedelta(days=self._keep_days)
            self._try(lambda: self._log.purge(oldest))

    def _with_report(self, report: Mapping[str, Any]) -> RunRecord:
        record = self.record.with_report(report) if self.is_sender else self.record
        details = {name: report[name] for name in _DETAILS if report.get(name)}
        return replace(record, details={**record.details, **details})

    def _with_statistics(self, record: RunRecord) -> RunRecord:
        statistics = self._statistics
        return record if statistics is None else replace(record, attributes=statistics.to_dict())

    def _with_usage(self) -> RunRecord:
        """Return the record with the calls of this process added to those before a deferral."""
        usage = self._usage()
        if usage is None:
            return self.record
        return replace(
            self.record,
            calls=(self._before.calls or 0) + usage.calls,
            wait_seconds=(self._before.wait_seconds or 0.0) + usage.wait_seconds,
        )

    def _update_uploads(self) -> None:
        """Write the end of the batches to the records of the tasks that sent them."""
        seen = {batch.batch_id: batch for batch in self._observed if batch.final}
        since = utc_now() - timedelta(days=_UNFINISHED_DAYS)
        run = RunFilter(since=since, dag_ids=[self.record.dag_id], run_id=self.record.run_id, nested=NESTED_COLUMNS)
        anywhere = RunFilter(
            since=since, client_code=self.record.client_code, outcomes=[SUBMITTED], nested=NESTED_COLUMNS
        )
        missing = set(seen)
        for selected in (run, anywhere):
            for record in self._log.read(selected):
                known = {entry.get("batch_id") for entry in record.batches}
                if record.rows_sent is not None and known & missing:
                    self._log.write(_updated(record, seen))
                    missing -= known
            if not missing:
                return

    def _write(self, record: RunRecord) -> None:
        self._try(lambda: self._log.write(record))

    def _try(self, call: Callable[[], T]) -> T | None:
        try:
            return call_within(WRITE_SECONDS, call)
        except Exception as error:
            log.warning("The sync log %s cannot be used: %s: %s", self._name, type(error).__name__, error)
            return None


def sent_attributes(sync_log: SyncLog, client_code: str | None) -> set[str] | None:
    """Return the names of the attributes that tasks have sent to an account, from its latest records.

    :param client_code: Client code of the account. None for all accounts.
    :return: Names; None if no record has attributes.
    """
    selected = RunFilter(
        since=utc_now() - timedelta(days=_EARLIER_DAYS),
        client_code=client_code,
        outcomes=(COMPLETE, PARTIAL),
        nested=("attributes",),
    )
    names = {
        name
        for record in sync_log.read(selected, _EARLIER_RECORDS)
        for name, statistics in record.attributes.items()
        if statistics.get("filled")
    }
    return names or None


def _updated(record: RunRecord, seen: Mapping[str | None, Batch]) -> RunRecord:
    batches = [Batch.from_dict(entry) for entry in record.batches]
    batches = [
        replace(
            seen[batch.batch_id],
            rows=batch.rows,
            bytes=batch.bytes,
            submitted_at=batch.submitted_at,
            resubmitted_after=batch.resubmitted_after,
        )
        if batch.batch_id in seen
        else batch
        for batch in batches
    ]
    record = record.with_batches(batches)
    return record if _has_unfinished(record) else record.with_outcome(task_failed=False)


def _without_counts(record: RunRecord) -> RunRecord:
    """Return the record of a task that sends nothing: the counts are in the records of the uploads."""
    return replace(record, files=None, bytes=None, rows_updated=None, rows_not_found=None, rows_failed=None)


def _has_unfinished(record: RunRecord) -> bool:
    return any(not Batch.from_dict(entry).final for entry in record.batches)
