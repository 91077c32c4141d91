"""Random sequences of runs, failures, kills, retries and maintenance against a model written row by row."""

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_adobe_target.ledger import misses, settlement
from airflow_provider_adobe_target.ledger.claims import Owner
from airflow_provider_adobe_target.ledger.maintenance import compact
from airflow_provider_adobe_target.ledger.settlement import Outcome
from support.ledger_simulation import COMPLETE, Account, batches_of, day, outgoing_rows

IDS = [f"id-{number}" for number in range(6)]
VALUES = st.sampled_from(["1", "2", "3", None])
ATTRIBUTES = {"dag.a": ["x", "y"], "dag.b": ["z", "Y"], "dag.c": ["x", "w"]}
STUCK = Outcome(is_complete=False)


def rows_of(task):
    row = st.fixed_dictionaries(dict.fromkeys(ATTRIBUTES[task], VALUES))
    row = row.filter(lambda attributes: any(attributes.values()))
    return st.dictionaries(st.sampled_from(IDS), row, min_size=1, max_size=6)


RUNS = st.sampled_from(sorted(ATTRIBUTES)).flatmap(lambda task: st.tuples(st.just(task), rows_of(task)))


class Model:
    """For each id and attribute, the value with the latest time."""

    def __init__(self):
        self.values = {}
        self.uncertain = set()

    def is_sent(self, id, attributes, as_of):
        held = self.values.get(id, {})
        if id in self.uncertain or not held:
            return True
        given = {name: value for name, value in attributes.items() if value is not None}
        before = {name: held.get(name, (None, -1)) for name in given}
        return any(before[name][1] <= as_of and before[name][0] != value for name, value in given.items())

    def apply(self, id, attributes, as_of):
        held = self.values.setdefault(id, {})
        for name, value in attributes.items():
            if value is not None and as_of >= held.get(name, (None, -1))[1]:
                held[name] = (value, as_of)

    def profiles(self):
        return {id: {name: value for name, (value, _) in held.items()} for id, held in self.values.items() if held}


class Sequences(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(misses, "_PART_ROWS", 2)
        self.patches.setattr(settlement, "_PART_ROWS", 4)
        self.folder = Path(tempfile.mkdtemp())
        self.account = Account(self.folder / "ledger")
        self.table = self.account.ledger.table("acme", "thirdPartyId")
        self.model = Model()
        self.failed = []

    def teardown(self):
        self.patches.undo()
        shutil.rmtree(self.folder)

    def note(self, run, rows_applied, unknown=()):
        """Apply to the model what a run has confirmed, and the rows that it did not have to send."""
        (_, rows), as_of = run
        for id, attributes in rows.items():
            if id in rows_applied or not self.model.is_sent(id, attributes, as_of):
                self.model.apply(id, attributes, as_of)
        self.model.uncertain = (self.model.uncertain - set(rows_applied)) | set(unknown)

    def plan(self, run, **session):
        (task, rows), as_of = run
        self.settle_pending()
        session = self.account.session(task, as_of=as_of, **session)
        plan = session.prepare(batches_of(rows, 2), Path(tempfile.mkdtemp(dir=self.folder)))
        sent = outgoing_rows(plan)
        expected = {id for id, attributes in rows.items() if self.model.is_sent(id, attributes, as_of)}
        assert {id for id, _ in sent} == expected
        counts = plan.counts
        assert len(rows) == counts.rows_sent + counts.rows_unchanged + counts.rows_stale
        return session, plan, sent

    pending = None

    def settle_pending(self):
        """The next run settles what an earlier one left: the model applies it at the same moment."""
        if self.pending:
            run, sent, unknown = self.pending
            self.pending = None
            self.note(run, sent, unknown)
            if unknown:
                self.failed.append(run)

    @rule(run=st.tuples(RUNS, st.integers(0, 6)))
    def succeed(self, run):
        session, plan, sent = self.plan(run)
        if sent:
            session.settle(self.account.send(session, plan, file_rows=2), self.account.now)
        self.note(run, {id for id, _ in sent})

    @rule(run=st.tuples(RUNS, st.integers(0, 6)), named=st.integers(0, 2), unnamed=st.integers(0, 1))
    def fail_some_rows(self, run, named, unnamed):
        session, plan, sent = self.plan(run)
        if sent:
            names = [id for id, _ in sent[:named]]
            outcome = Outcome(is_complete=True, failures=len(names) + unnamed, failed_ids=frozenset(names))
            session.settle(self.account.send(session, plan, [outcome]), self.account.now)
        if not unnamed:
            self.note(run, {id for id, _ in sent[named:]})
        else:
            self.note(run, set(), {id for id, _ in sent})
        self.failed.append(run)

    @rule(run=st.tuples(RUNS, st.integers(0, 6)), is_applied=st.booleans())
    def get_stuck(self, run, is_applied):
        session, plan, sent = self.plan(run)
        if sent:
            found = self.account.send(session, plan, [STUCK])
            if is_applied:
                self.account.target.apply(sent, COMPLETE)
            session.settle(found, self.account.now)
        self.note(run, set(), {id for id, _ in sent})
        self.failed.append(run)

    @rule(run=st.tuples(RUNS, st.integers(0, 6)), events=st.integers(0, 3), is_applied=st.booleans())
    def die(self, run, events, is_applied):
        """Die before the first call, in a call, or after it."""
        session, _, sent = self.plan(run, owner=Owner("dead", Owner.current("").host, "4194399 0"))
        if not sent:
            self.note(run, set())
            return
        self.note(run, set())
        half = sent[: max(1, len(sent) // 2)]
        if events > 0:
            session.sending(0, 0, len(half))
            if is_applied or events > 1:
                self.account.target.apply(half, COMPLETE)
        if events > 1:
            batch_id = "acme-dead" + str(len(self.account.target.batches))
            self.account.target.batches[batch_id] = COMPLETE
            session.accepted(0, 0, len(half), batch_id, "https://example.test/")
        ids = {id for id, _ in half}
        if events > 2:
            session.stop()
        if events == 0:
            self.pending = (run, set(), set())
        elif events == 1:
            self.pending = (run, set(), ids)
        else:
            self.pending = (run, ids, set())
        self.failed.append(run)

    @precondition(lambda self: self.failed)
    @rule()
    def retry(self):
        run = self.failed.pop(0)
        self.succeed(run)

    @rule()
    def compact(self):
        compact(self.table)

    @rule(id=st.sampled_from(IDS))
    def forget(self, id):
        self.settle_pending_now()
        self.account.ledger.forget([id])
        self.account.target.profiles.pop(id, None)
        self.model.values.pop(id, None)
        self.model.uncertain.discard(id)
        assert self.account.ledger.get(id) is None

    def settle_pending_now(self):
        if self.pending:
            session = self.account.session("dag.idle")
            session._settle_earlier()
            self.settle_pending()

    @invariant()
    def ledger_holds_only_what_target_holds(self):
        held = self.account.held()
        assert held == self.model.profiles()
        pending = self.pending[1] | self.pending[2] if self.pending else set()
        for id, attributes in held.items():
            if id not in self.model.uncertain | pending:
                assert self.account.target.profiles[id] == attributes

    @invariant()
    def times_are_those_of_the_model(self):
        for id, held in self.model.values.items():
            times = (self.account.ledger.get(id) or {}).get("as_of_by_attribute", {})
            expected = {name: day(time) for name, (_, time) in held.items()}
            assert {name: int(time.timestamp() * 1_000_000) for name, time in times.items()} == expected


Sequences.TestCase.settings = settings(
    max_examples=settings.default.max_examples // 25,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_sequences = Sequences.TestCase
