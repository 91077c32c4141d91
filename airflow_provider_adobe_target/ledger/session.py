"""One run with a ledger: settle unfinished claims of other runs, plan, claim, record each call, and settle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.concurrency.clock import Clock
from airflow_provider_adobe_target.ledger.as_of import Seen, numbers, seen_records
from airflow_provider_adobe_target.ledger.claims import (
    ACCEPTED,
    SENDING,
    Claim,
    Owner,
    SentFile,
    new_claim,
    open_claims,
    remove_leftovers,
)
from airflow_provider_adobe_target.ledger.columns import SCHEMA
from airflow_provider_adobe_target.ledger.errors import LedgerBusyError
from airflow_provider_adobe_target.ledger.hash_file import HashFile
from airflow_provider_adobe_target.ledger.hashing import Hashes
from airflow_provider_adobe_target.ledger.maintenance import compact_if_due
from airflow_provider_adobe_target.ledger.planner import Plan, Planner, PlanRules
from airflow_provider_adobe_target.ledger.settlement import UNKNOWN, Outcome, settle
from airflow_provider_adobe_target.ledger.table import LedgerTable, Snapshot
from airflow_provider_adobe_target.ledger.writers import writers
from airflow_provider_adobe_target.spill import SpillFile

log = logging.getLogger(__name__)

_MAX_PLANS = 20
_LEFTOVERS_SECONDS = 24 * 60 * 60.0


class LedgerSession:
    """One run of a task with a ledger.

    :param table: The ledger.
    :param rules: What is compared and sent.
    :param owner: This process.
    :param run: DAG run.
    :param outcome_of: Function that requests the status of an accepted file. It returns None if the batch is not final.
    :param clock: Clock whose waits end when the task is cancelled.
    :param poll_interval: Seconds between two requests.
    :param max_wait: Seconds to wait for batches of other runs with the same ids.
    """

    def __init__(
        self,
        table: LedgerTable,
        rules: PlanRules,
        *,
        owner: Owner,
        run: str,
        outcome_of: Callable[[SentFile], Outcome | None],
        clock: Clock = clocks.SYSTEM,
        poll_interval: float = 60,
        max_wait: float = 24 * 60 * 60,
    ) -> None:
        self._table = table
        self._rules = rules
        self._owner = owner
        self._run = run
        self._outcome_of = outcome_of
        self._clock = clock
        self._poll_interval = poll_interval
        self._max_wait = max_wait
        self.claim: Claim | None = None

    def prepare(
        self,
        batches: Iterable[pa.RecordBatch],
        folder: Path,
        *,
        present: Callable[[], Hashes] = lambda: np.zeros(0, np.int64),
        too_large: Callable[[pa.RecordBatch], None] = lambda _: None,
        dry_run: bool = False,
    ) -> Plan:
        """Plan the run, and claim the rows to send.

        :param batches: Checked rows; see :meth:`Planner.plan`. They are read once.
        :param folder: Existing private folder for spill files.
        :param present: Function that returns hashes of ids that are in the source, but not among the rows.
        :param too_large: Function that is called with rows that are too large with what is carried over.
        :param dry_run: Whether to change nothing and to request no status.
        :raises LedgerLimitError: If a limit is exceeded.
        :raises LedgerBusyError: If other runs have unfinished batches of the same ids for too long.
        """
        if not dry_run:
            self._settle_earlier()
            compact_if_due(self._table)
        incoming = SpillFile(folder / "incoming")
        rows: Iterable[pa.RecordBatch] = _copied(batches, incoming)
        for number in range(_MAX_PLANS):
            part = folder / f"plan-{number}"
            part.mkdir()
            refused: list[pa.RecordBatch] = []
            plan = Planner(self._table.snapshot(), self._rules, part, present=present, too_large=refused.append).plan(
                rows
            )
            rows = incoming.record_batches()
            if dry_run or self._claim(plan):
                for batch in refused:
                    too_large(batch)
                return plan
            log.info("The ledger changed while the rows were compared. They are compared again.")
        raise LedgerBusyError(f"Other runs changed profiles of this run {_MAX_PLANS} times in between.")

    def sending(self, number: int, start: int, rows: int) -> None:
        """Record that a file is about to be sent; see :meth:`Claim.sending`."""
        self._own.sending(number, start, rows)

    def accepted(self, number: int, start: int, rows: int, batch_id: str | None, status_url: str | None) -> None:
        """Record that a file was queued."""
        self._own.accepted(number, start, rows, batch_id, status_url)

    def refused(self, number: int, start: int, rows: int) -> None:
        """Record that a file was certainly not queued."""
        self._own.refused(number, start, rows)

    def stop(self) -> None:
        """Record that this run sends nothing more."""
        if self.claim is not None:
            self.claim.stop()

    def settle(self, outcomes: Mapping[int, Outcome], now: int) -> None:
        """Settle the claim of this run.

        :param outcomes: Final outcomes by number of the file.
        :param now: Time of confirmation in microseconds.
        """
        if self.claim is not None:
            settle(self._table, self.claim, outcomes, now=now, key=self._rules.key)
            self.claim = None

    @property
    def _own(self) -> Claim:
        if self.claim is None:
            raise LedgerBusyError("This run has no claim.")
        return self.claim

    def _settle_earlier(self) -> None:
        """Settle the claims of earlier runs whose batches are final, and wait for those of earlier tries."""
        snapshot = self._table.snapshot()
        for claim in open_claims(self._table.location, snapshot):
            if claim.owner.key == self._owner.key:
                self._wait_for(claim)
            else:
                self._try_to_settle(claim)
        remove_leftovers(self._table.location, self._table.snapshot(), _LEFTOVERS_SECONDS)

    def _try_to_settle(self, claim: Claim) -> bool:
        outcomes = final_outcomes(claim, self._owner, self._outcome_of)
        if outcomes is None:
            return False
        settle(self._table, claim, outcomes, now=self._rules.now, key=self._rules.key)
        log.info("Settled the batches of an earlier run of %s.", claim.content["writer"])
        return True

    def _wait_for(self, claim: Claim) -> None:
        """Wait until a claim is settled, and settle it if its owner does not.

        :raises LedgerBusyError: If that takes too long.
        """
        until = self._clock.monotonic() + self._max_wait
        while not self._table.snapshot().ended(claim.uid) and not self._try_to_settle(claim):
            if self._clock.monotonic() > until:
                raise LedgerBusyError(f"Batches of {claim.content['writer']} with the same ids are unfinished.")
            log.info("Waiting for batches of %s with the same ids.", claim.content["writer"])
            self._clock.sleep(self._poll_interval)

    def _claim(self, plan: Plan) -> bool:
        """Commit a plan with the claim of its rows.

        :return: Whether it was committed. If not, the rows must be compared again.
        """
        claim = None
        if plan.versions.rows:
            claim = new_claim(
                self._table.location,
                self._owner,
                writer=self._rules.writer,
                number=plan.writer.number,
                run=self._run,
                base=plan.seq,
                rows=plan.versions.rows,
            )
        controls = [*plan.controls, *([claim.to_control()] if claim else [])]

        def attempt(snapshot: Snapshot) -> bool:
            blocking = self._blocking(snapshot, plan)
            for other in blocking:
                self._wait_for(other)
            if blocking or is_outdated(plan, snapshot):
                return False
            if controls or plan.touched.rows:
                self._table.commit(snapshot, plan.touched.tables(), controls, schema=_schema(plan.touched))
            return True

        committed = False
        try:
            if claim is not None:
                claim.write_rows(plan.versions)
            committed = self._table.retry(attempt)
        finally:
            if claim is not None and not committed:
                claim.discard()
        self.claim = claim if committed else None
        return committed

    def _blocking(self, snapshot: Snapshot, plan: Plan) -> list[Claim]:
        """Return the open claims of ids of the plan."""
        claims = open_claims(self._table.location, snapshot)
        return [claim for claim in claims if plan.incoming.contains_any(claim.id_hashes())]


def final_outcomes(
    claim: Claim, owner: Owner, outcome_of: Callable[[SentFile], Outcome | None]
) -> dict[int, Outcome] | None:
    """Return the outcomes of all files of a claim; None if its owner may send more, or a batch is not final."""
    if not claim.sends_no_more(owner):
        return None
    outcomes = {}
    for file in claim.files():
        outcome = UNKNOWN if file.state == SENDING else outcome_of(file) if file.state == ACCEPTED else None
        if outcome is not None:
            outcomes[file.number] = outcome
        elif file.state == ACCEPTED:
            return None
    return outcomes


def is_outdated(plan: Plan, snapshot: Snapshot) -> bool:
    """Return whether commits after the plan concern its ids or its task's number."""
    if snapshot.seq == plan.seq:
        return False
    for name, writer in writers(snapshot.controls).items():
        if writer.number == plan.writer.number and name != plan.writer.name:
            return True
    for control in snapshot.controls:
        if control.seq > plan.seq and control.kind == "compacted":
            return True
    if any(seen.seq > plan.seq and _may_cover(seen, plan.incoming) for seen in seen_records(snapshot.controls)):
        return True
    return any(
        plan.incoming.contains_any(np.sort(numbers(batch.column("id_hash"))))
        for batch in snapshot.record_batches_since(plan.seq, ["id_hash"])
    )


def _may_cover(seen: Seen, incoming: HashFile) -> bool:
    return incoming.contains_other_than(seen.hashes) if seen.all_but else incoming.contains_any(seen.hashes)


def _copied(batches: Iterable[pa.RecordBatch], spill: SpillFile) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if len(batch):
            spill.write(batch)
            yield batch


def _schema(spill: SpillFile) -> pa.Schema:
    return pa.unify_schemas([SCHEMA, *spill.schemas])
