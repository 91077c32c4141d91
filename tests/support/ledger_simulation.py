"""A row-by-row Adobe Target that overrides, and runs of tasks against it and a real ledger."""

import shutil
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa

from airflow_provider_adobe_target.concurrency.clock import SystemClock
from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.ledger.as_of import to_micros
from airflow_provider_adobe_target.ledger.claims import Owner
from airflow_provider_adobe_target.ledger.planner import PREFIX, PlanRules
from airflow_provider_adobe_target.ledger.session import LedgerSession
from airflow_provider_adobe_target.ledger.settlement import Outcome

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def day(number: float) -> int:
    """Return a time in microseconds."""
    return to_micros(START + number * DAY)


class ImpatientClock(SystemClock):
    """A clock whose waits take no time."""

    def sleep(self, seconds):
        """Return at once."""


class Target:
    """Adobe Target as the override caveat describes it: a row replaces all that an earlier row wrote."""

    def __init__(self):
        self.profiles = {}
        self.batches = {}
        self.rows_received = 0

    def submit(self, rows, outcome):
        batch_id = f"acme-{len(self.batches)}"
        self.batches[batch_id] = outcome
        self.rows_received += len(rows)
        if outcome is not None and outcome.is_complete:
            self.apply(rows, outcome)
        return batch_id

    def apply(self, rows, outcome):
        skipped = set(outcome.failed_ids)
        for id, attributes in rows[outcome.failures - len(outcome.failed_ids) :]:
            if id not in skipped:
                self.profiles[id] = {name: value for name, value in attributes.items() if value is not None}


COMPLETE = Outcome(is_complete=True)


def batches_of(rows, size=50):
    """Return record batches as the pipeline yields them."""
    names = sorted({name for attributes in rows.values() for name in attributes})
    ids = list(rows)
    for start in range(0, len(ids), size):
        some = ids[start : start + size]
        columns = [pa.array(range(start, start + len(some)), pa.int64()), pa.array(some, pa.string())]
        columns += [pa.array([rows[id].get(name) for id in some], pa.string()) for name in names]
        yield pa.record_batch(columns, ["row_number", "id", *(PREFIX + name for name in names)])


class Account:
    """A ledger folder with an Adobe Target behind it."""

    def __init__(self, folder: Path, **settings):
        self.target = Target()
        self.ledger = ProfileLedger(str(folder), **{"refresh_after_days": None, **settings})
        self.runs = 0
        self.now = day(100)

    def session(self, task="dag.a", *, as_of=0, owner=None, **rules):
        ledger = self.ledger
        table = ledger.table("acme", "thirdPartyId")
        settings = {
            "send": ledger.send,
            "refresh_after_days": ledger.refresh_after_days,
            "carry_over": ledger.carry_over,
            "on_missing": ledger.on_missing,
            "missing_values": ledger.missing_values or {},
            "null_values": ledger.null_values or {},
            "max_missing_pct": ledger.max_missing_pct,
            "max_rows_to_send": ledger.max_rows_to_send,
            "key": ledger.key(table),
        }
        self.runs += 1
        return LedgerSession(
            table,
            PlanRules(writer=task, as_of=day(as_of), now=self.now, **{**settings, **rules}),
            owner=owner or Owner.current(f"{task} {self.runs}"),
            run=f"run {self.runs}",
            outcome_of=lambda file: self.target.batches[file.batch_id],
            clock=ImpatientClock(),
            max_wait=2,
        )

    def run(self, rows, task="dag.a", *, as_of=0, outcomes=(), file_rows=1000, settles=True, dry_run=False, **rules):
        """Run one task to its end, and return the counts of its plan.

        :param outcomes: Outcomes of the files; None for a batch that is not final. Default: complete.
        """
        session = self.session(task, as_of=as_of, **rules)
        folder = Path(tempfile.mkdtemp())
        try:
            plan = session.prepare(batches_of(rows), folder, dry_run=dry_run)
            if not dry_run and plan.versions.rows:
                found = self.send(session, plan, outcomes, file_rows)
                if settles:
                    session.settle(found, self.now)
        finally:
            shutil.rmtree(folder)
        return plan.counts

    def send(self, session, plan, outcomes=(), file_rows=1000):
        rows = outgoing_rows(plan)
        found = {}
        for number, start in enumerate(range(0, len(rows), file_rows)):
            some = rows[start : start + file_rows]
            outcome = outcomes[number] if number < len(outcomes) else COMPLETE
            session.sending(number, start, len(some))
            batch_id = self.target.submit(some, outcome)
            session.accepted(number, start, len(some), batch_id, "https://example.test/" + batch_id)
            if outcome is not None:
                found[number] = outcome
        return found

    def held(self):
        """Return what the ledger holds."""
        return {row["id"]: dict(row["attributes"]) for row in self.ledger.read().read_all().to_pylist()}


def outgoing_rows(plan):
    """Return the rows to send."""
    return [
        (row["id"], {name[len(PREFIX) :]: value for name, value in row.items() if name.startswith(PREFIX)})
        for batch in plan.outgoing.record_batches()
        for row in batch.to_pylist()
    ]
