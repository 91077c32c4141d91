"""The ledger in an upload: select the rows to send, record each call, and settle the batches."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.client.batch import COMPLETE, Batch
from airflow_provider_adobe_target.client.verdict import failure_reason
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.concurrency.worker_pool import CancellableClock
from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.ledger.errors import LedgerRefusedError
from airflow_provider_adobe_target.load.checkpoint import Checkpoint, Store

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.ledger import ProfileLedger
    from airflow_provider_adobe_target.ledger.claims import SentFile
    from airflow_provider_adobe_target.ledger.plan_counts import PlanCounts
    from airflow_provider_adobe_target.ledger.planner import Plan
    from airflow_provider_adobe_target.ledger.session import LedgerSession
    from airflow_provider_adobe_target.ledger.settlement import Outcome
    from airflow_provider_adobe_target.ledger.storage import Location
    from airflow_provider_adobe_target.profiles.batch_files import BatchFile
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline

log = logging.getLogger(__name__)


class LedgerCheckpoint(Checkpoint):
    """Checkpoint that records the calls in the ledger's claim. Methods may be called from several threads."""

    def __init__(self, batches: Iterable[Batch] | None = None, store: Store | None = None) -> None:
        super().__init__(store, "", batches)
        self._starts: list[int] = [0]
        self.ledger: LedgerSession | None = None

    def check(self, number: int, file: BatchFile) -> None:
        """Note which rows of the claim a file contains."""
        self._starts.append(self._starts[number] + file.rows)

    def check_count(self, files: int) -> None:
        """Do nothing: the claim records what was sent, not the number of files."""

    def start(self, number: int, file: BatchFile) -> Batch | None:
        """Record that a file is about to be sent.

        :raises LedgerTakenOverError: If another run has settled the claim.
        """
        super().start(number, file)
        self._claim.sending(number, *self._place(number))
        return None

    def accept(self, number: int, batch: Batch) -> Batch:
        """Record an accepted file."""
        self._claim.accepted(number, *self._place(number), batch.batch_id, batch.status_url)
        return super().accept(number, batch)

    def discard(self, number: int) -> None:
        """Record that a file did not arrive."""
        self._claim.refused(number, *self._place(number))
        super().discard(number)

    @property
    def _claim(self) -> LedgerSession:
        assert self.ledger is not None  # noqa: S101  # nosec B101  # for the type checker
        return self.ledger

    def _place(self, number: int) -> tuple[int, int]:
        return self._starts[number], self._starts[number + 1] - self._starts[number]


class LedgerStage:
    """One run of a task with a ledger.

    :param ledger: Settings of the ledger.
    :param session: Client session.
    :param writer: DAG and task.
    :param run: DAG run.
    :param key: Name of the task instance, the same for all its tries.
    :param as_of: Time of the rows in microseconds since 1970.
    :param suppressed: Function that returns the ids that must not be sent.
    :param is_mapped: Whether the task is one of several mapped ones.
    :param poll_interval: Seconds between two requests of the status of another run's batches.
    :param timeout: Seconds to wait for another run's batches.
    :param dry_run: Whether nothing is sent and the ledger is not changed.
    :param store: Store that is notified of each call. It must be empty, because the ledger's claim records the calls.
    :raises LedgerRefusedError: If a mapped task would write markers.
    """

    def __init__(
        self,
        ledger: ProfileLedger,
        session: Session,
        *,
        writer: str,
        run: str,
        key: str,
        as_of: int,
        suppressed: Callable[[], pa.StringArray | None] = lambda: None,
        is_mapped: bool = False,
        poll_interval: float = 60,
        timeout: float = 24 * 60 * 60,
        dry_run: bool = False,
        store: Store | None = None,
    ) -> None:
        ledger.check()
        if is_mapped and ledger.on_missing == "marker":
            raise LedgerRefusedError(
                "on_missing='marker' cannot be used in a mapped task, because none of the mapped tasks reads all rows. "
                "Read all rows in one task that is not mapped, or set on_missing='ignore'."
            )
        self._ledger = ledger
        self._session = session
        self._writer = writer
        self._run = run
        self._key = key
        self._as_of = as_of
        self._suppressed = suppressed
        self._poll_interval = poll_interval
        self._timeout = timeout
        self._dry_run = dry_run
        self._location: Location | None = None
        self._suppress: pa.StringArray | None = None
        self._ledger_session: LedgerSession | None = None
        self._plan: Plan | None = None
        self.counts: PlanCounts | None = None
        self.checkpoint = LedgerCheckpoint(store=store)

    def connect(self) -> None:
        """Fetch the connection of the folder, and read the suppressed ids. Call it in the main thread of the task.

        :raises LedgerRefusedError: If a package is missing.
        """
        from airflow_provider_adobe_target.ledger.storage import Location
        from airflow_provider_adobe_target.ledger.table import require_extra

        require_extra()
        self._location = Location(self._ledger.path)
        self._suppress = self._suppressed()

    def select(
        self, pipeline: ProfilePipeline, profiles: Iterable[pa.RecordBatch], folder: Path, stop: threading.Event
    ) -> Iterator[pa.RecordBatch]:
        """Read all profiles, plan and claim, and yield the rows to send, merged with what is held.

        :param pipeline: Pipeline that yields ``profiles``. Rows that become too large are added to its rejects.
        :param folder: Existing private folder for spill files.
        :param stop: Event that cancels waits.
        :raises LedgerLimitError: If a limit of the ledger is exceeded.
        :raises LedgerBusyError: If other runs have unfinished batches of the same ids for too long.
        """
        import numpy as np

        from airflow_provider_adobe_target.ledger.hashing import hash_ids
        from airflow_provider_adobe_target.ledger.plan_counts import PlanCounts

        skipped = [np.zeros(0, np.int64)]
        pipeline.on_skipped = lambda ids: skipped.append(hash_ids(ids.drop_null()))
        plan = self._prepare(pipeline, profiles, folder, stop, lambda: np.concatenate(skipped))
        if plan is None:
            self.counts = PlanCounts()
            return
        self.counts = plan.counts
        for attribute, tasks in plan.counts.shared_attributes.items():
            log.warning("Attribute %s is also written by %s.", attribute, ", ".join(tasks))
        if plan.counts.attributes_added and plan.seq:
            log.info("New attributes: %s.", ", ".join(plan.counts.attributes_added))
        self._plan = plan
        for batch in plan.outgoing.record_batches():
            yield batch.select(batch.schema.names[:-1])

    def settle(self, batches: Sequence[Batch]) -> None:
        """Settle this run's claim.

        :param batches: All batches, final, in the order of the files.
        """
        ledger_session = self._ledger_session or self._resumed()
        if ledger_session is None or ledger_session.claim is None:
            return
        outcomes = {
            number: ledger_outcome(self._session, batch) for number, batch in enumerate(batches) if not batch.is_planned
        }
        ledger_session.settle(outcomes, _now())

    @contextmanager
    def updates(self, rows: int) -> Iterator[set[str]]:
        """Record single updates in the claim, as one file, and settle it afterwards.

        :param rows: Number of rows.
        :return: Set to which the caller adds the ids that Adobe Target does not have or refuses. If the block ends by
            an error, all rows are sent again by the next run.
        """
        from airflow_provider_adobe_target.ledger.settlement import UNKNOWN, Outcome

        failed_ids: set[str] = set()
        session = self._ledger_session
        if session is None or session.claim is None:
            yield failed_ids
            return
        session.sending(0, 0, rows)
        outcome = UNKNOWN
        try:
            yield failed_ids
            outcome = Outcome(True, len(failed_ids), frozenset(failed_ids))
        finally:
            session.accepted(0, 0, rows, None, None)
            session.settle({0: outcome}, _now())
        self._subtract(failed_ids)

    def _subtract(self, failed_ids: set[str]) -> None:
        """Subtract rows that were not sent from the counts of the plan."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not failed_ids or self._plan is None or self.counts is None:
            return
        for batch in self._plan.outgoing.record_batches():
            failed = batch.filter(pc.is_in(batch.column("id"), value_set=pa.array(sorted(failed_ids), pa.string())))
            for reason, number in Counter(failed.column("because").to_pylist()).items():
                self.counts.because[reason] -= number

    def stop(self) -> None:
        """Record that this run sends nothing more. The next run settles what was sent.

        An error is only logged, so that it does not hide the first one.
        """
        try:
            if self._ledger_session is not None:
                self._ledger_session.stop()
        except Exception as error:
            log.warning("The end of the run cannot be recorded in the ledger: %s", error)

    @property
    def new_attributes(self) -> Collection[str] | None:
        """Names of the attributes that the ledger does not have yet; None if it was empty before this run."""
        return self.counts.attributes_added if self.counts and self._plan and self._plan.seq else None

    def report(self) -> dict[str, Any]:
        """Return the fields of the report that the ledger determines."""
        return self.counts.report() if self.counts else {}

    def markdown(self, pipeline: ProfilePipeline, batches: Sequence[Batch]) -> str:
        """Return the plan as Markdown."""
        from airflow_provider_adobe_target.ledger.plan_counts import PlanCounts, markdown

        return markdown(
            self.counts or PlanCounts(),
            rows_read=pipeline.rows_read,
            rows_empty=pipeline.rows_empty,
            rejected_by_reason=pipeline.rejects.by_reason,
            files=len(batches),
            size=sum(batch.bytes or 0 for batch in batches),
            calls_per_minute=self._session.settings.calls_per_minute,
        )

    def _prepare(
        self,
        pipeline: ProfilePipeline,
        profiles: Iterable[pa.RecordBatch],
        folder: Path,
        stop: threading.Event,
        present: Callable[[], Any],
    ) -> Plan | None:
        """Return the plan; None if the source has neither rows nor columns, and there is no ledger yet."""
        from airflow_provider_adobe_target.ledger.claims import Owner
        from airflow_provider_adobe_target.ledger.planner import PlanRules
        from airflow_provider_adobe_target.ledger.session import LedgerSession

        profiles = iter(profiles)
        first = next(profiles, None)  # the id type depends on the columns
        client_code, id_type = self._session.settings.client_code, pipeline.known_id_type
        table = (
            self._ledger.table(client_code, id_type, self._location)
            if id_type
            else self._ledger.opened_if_exists(client_code, self._location)
        )
        if table is None:
            return None
        settings = self._ledger
        rules = PlanRules(
            writer=self._writer,
            as_of=self._as_of,
            now=_now(),
            send=settings.send,
            refresh_after_days=settings.refresh_after_days,
            carry_over=settings.carry_over,
            on_missing=settings.on_missing,
            missing_values=dict(settings.missing_values or {}),
            null_values=dict(settings.null_values or {}),
            max_missing_pct=settings.max_missing_pct,
            max_rows_to_send=settings.max_rows_to_send,
            suppress=self._suppress,
            key=settings.key(table),
            check_size=lambda ids, texts: ~pipeline.fits(ids, texts),
        )

        self._ledger_session = self.checkpoint.ledger = LedgerSession(
            table,
            rules,
            owner=Owner.current(self._key),
            run=self._run,
            outcome_of=lambda file: _requested_outcome(self._session, file),
            clock=CancellableClock(stop),
            poll_interval=self._poll_interval,
            max_wait=self._timeout,
        )
        work = folder / "ledger"
        work.mkdir()
        return self._ledger_session.prepare(
            profiles if first is None else chain([first], profiles),
            work,
            present=present,
            too_large=lambda rows: pipeline.refuse(
                rows, "profile_too_large", "too large with attributes of other tasks"
            ),
            dry_run=self._dry_run,
        )

    def _resumed(self) -> LedgerSession | None:
        """Return the session of this task instance before its deferral."""
        from airflow_provider_adobe_target.ledger.claims import Owner, open_claims
        from airflow_provider_adobe_target.ledger.planner import PlanRules
        from airflow_provider_adobe_target.ledger.session import LedgerSession

        table = self._ledger.opened_if_exists(self._session.settings.client_code)
        if table is None:
            return None  # the source was empty
        rules = PlanRules(writer=self._writer, as_of=self._as_of, now=_now(), key=self._ledger.key(table))
        session = LedgerSession(
            table, rules, owner=Owner.current(self._key), run=self._run, outcome_of=lambda file: None
        )
        claims = open_claims(table.location, table.snapshot())
        session.claim = next((claim for claim in claims if claim.owner.key == self._key), None)
        return session


def settle_batches(ledger: ProfileLedger, session: Session, batches: Sequence[Batch]) -> None:
    """Settle the claims whose batches are all among some final batches.

    :param ledger: Settings of the ledger.
    :param session: Client session.
    :param batches: Final batches.
    """
    from airflow_provider_adobe_target.ledger.claims import Owner, open_claims
    from airflow_provider_adobe_target.ledger.session import final_outcomes
    from airflow_provider_adobe_target.ledger.settlement import settle

    table = ledger.opened_if_exists(session.settings.client_code)
    if table is None:
        return  # the source was empty
    known = {batch.batch_id: batch for batch in batches if batch.final}
    for claim in open_claims(table.location, table.snapshot()):
        if not any(file.batch_id in known for file in claim.files()):
            continue

        def outcome(file: SentFile) -> Outcome | None:
            batch = known.get(file.batch_id)
            return None if batch is None else ledger_outcome(session, batch)

        outcomes = final_outcomes(claim, Owner.current("sensor"), outcome)
        if outcomes is not None:
            settle(table, claim, outcomes, now=_now(), key=ledger.key(table))


def ledger_outcome(session: Session, batch: Batch) -> Outcome:
    """Return the outcome of a final batch. Ids of failed rows are requested from Adobe Target, if it lists any."""
    from airflow_provider_adobe_target.ledger.settlement import Outcome

    if batch.status != COMPLETE or failure_reason(batch):
        return Outcome(is_complete=False)
    failures = (batch.failures or 0) + (batch.profiles_not_found or 0)
    if batch.rows is not None and batch.successful_updates is not None:
        failures = max(failures, batch.rows - batch.successful_updates)
    failed_ids: set[str] = set()
    if batch.listed_failures:
        try:
            failed_ids = session.failed_ids([batch])
        except AdobeTargetError as error:
            log.warning("The ids of failed rows of batch %s cannot be read: %s", batch.batch_id, error)
    return Outcome(True, failures, frozenset(failed_ids))


def _requested_outcome(session: Session, file: SentFile) -> Outcome | None:
    """Request the status of an accepted file, and return its outcome; None if the batch is not final."""
    from airflow_provider_adobe_target.ledger.settlement import UNKNOWN

    if file.status_url is None:
        return UNKNOWN
    [batch] = session.poll([Batch(batch_id=file.batch_id, status_url=file.status_url, rows=file.rows)])
    return ledger_outcome(session, batch) if batch.final else None


def _now() -> int:
    from airflow_provider_adobe_target.ledger.as_of import to_micros

    return to_micros(datetime.fromtimestamp(clocks.SYSTEM.now(), timezone.utc))
