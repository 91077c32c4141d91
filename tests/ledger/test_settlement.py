"""When the ledger changes: confirmed, failed, unknown and unfinished batches."""

import pytest

from airflow_provider_adobe_target.ledger import settlement
from airflow_provider_adobe_target.ledger.claims import LEASE_SECONDS, Owner, open_claims
from airflow_provider_adobe_target.ledger.errors import LedgerBusyError, LedgerTakenOverError
from airflow_provider_adobe_target.ledger.settlement import Outcome
from airflow_provider_adobe_target.ledger.table import LedgerTable
from support.ledger_simulation import COMPLETE, batches_of, outgoing_rows

ROWS = {id: {"tier": "gold"} for id in "abcd"}
STUCK = Outcome(is_complete=False)
OTHER_MACHINE = Owner("dag.other", "elsewhere", "1 1")


def claims(account):
    table = account.ledger.table("acme", "thirdPartyId")
    return open_claims(table.location, table.snapshot())


def planned(account, tmp_path, rows=ROWS, name="work", **session):
    (tmp_path / name).mkdir()
    session = account.session(**session)
    return session, session.prepare(batches_of(rows), tmp_path / name)


def test_nothing_is_held_before_the_batch_is_complete(account, tmp_path):
    session, plan = planned(account, tmp_path)
    found = account.send(session, plan)
    assert account.held() == {}
    session.settle(found, account.now)
    assert account.held() == ROWS
    assert account.ledger.get("a")["batch_id"] == "acme-0"
    assert claims(account) == []
    assert not list((tmp_path / "ledger" / "_pending").iterdir())


def test_rows_that_target_names_as_failed_are_not_held(account):
    account.run(ROWS, outcomes=[Outcome(is_complete=True, failures=1, failed_ids={"b"})])
    assert account.held().keys() == {"a", "c", "d"}
    assert account.run(ROWS, as_of=1).because["new"] == 1
    assert account.held() == ROWS == account.target.profiles


def test_failures_without_names_leave_the_rows_as_they_were(account):
    account.run(ROWS)
    changed = {id: {"tier": "tin"} for id in "abcd"}
    account.run(changed, as_of=1, outcomes=[Outcome(is_complete=True, failures=1)])
    assert account.held() == ROWS
    assert account.run(ROWS, as_of=2).because["forced"] == 4
    assert account.target.profiles == ROWS


@pytest.mark.parametrize("outcome", [STUCK, Outcome(is_complete=True, failures=2, failed_ids={"a"})])
def test_new_rows_of_an_uncertain_batch_are_sent_again(account, outcome):
    account.run(ROWS, outcomes=[outcome])
    assert account.held() == {}
    assert account.ledger.get("a") is None
    assert account.run(ROWS, as_of=1).because["new"] == 4


def test_each_file_has_its_own_outcome(account):
    account.run(ROWS, outcomes=[COMPLETE, STUCK], file_rows=2)
    assert account.held().keys() == {"a", "b"}
    assert account.run(ROWS, as_of=1).report()["rows_unchanged"] == 2


def test_the_next_run_settles_what_a_task_did_not_wait_for(account):
    account.run(ROWS, settles=False)
    assert account.held() == {}
    counts = account.run(ROWS, "dag.b", as_of=1)
    assert (counts.rows_sent, counts.rows_unchanged) == (0, 4)
    assert claims(account) == []


def test_a_run_with_other_ids_does_not_wait(account):
    account.run(ROWS, outcomes=[None], settles=False)
    account.run({"x": {"tier": "tin"}}, "dag.b", as_of=1)
    assert account.held() == {"x": {"tier": "tin"}}
    assert len(claims(account)) == 1


def test_a_run_with_the_same_ids_waits_until_the_batch_is_final(account, tmp_path):
    account.run(ROWS, outcomes=[None], settles=False)
    session = account.session("dag.b", as_of=1)

    def finish(seconds):
        account.target.batches["acme-0"] = COMPLETE
        account.target.apply(list(ROWS.items()), COMPLETE)

    session._clock.sleep = finish
    (tmp_path / "work").mkdir()
    plan = session.prepare(batches_of({"a": {"city": "Rome"}}), tmp_path / "work")
    assert outgoing_rows(plan) == [("a", {"city": "Rome", "tier": "gold"})]


def test_waiting_for_other_batches_is_bounded(account):
    account.run(ROWS, outcomes=[None], settles=False)
    with pytest.raises(LedgerBusyError, match="unfinished"):
        account.run(ROWS, "dag.b", as_of=1)
    assert len(account.target.batches) == 1


def test_settling_twice_changes_nothing(account, tmp_path):
    session, plan = planned(account, tmp_path)
    claim = session.claim
    found = account.send(session, plan)
    session.settle(found, account.now)
    seq = account.ledger.table("acme", "thirdPartyId").snapshot().seq
    session.claim = claim
    session.settle(found, account.now)
    assert account.ledger.table("acme", "thirdPartyId").snapshot().seq == seq


@pytest.fixture
def ended_between_commits(account, tmp_path, monkeypatch):
    """Let a run end after the first of two commits. Return its session and the outcomes of its files."""
    monkeypatch.setattr(settlement, "_PART_ROWS", 3)
    commit = LedgerTable.commit

    def commit_once(table, *arguments, **options):
        if options.get("ends"):
            raise KeyboardInterrupt
        return commit(table, *arguments, **options)

    session, plan = planned(account, tmp_path)
    found = account.send(session, plan, file_rows=2)
    with monkeypatch.context() as patch:
        patch.setattr(LedgerTable, "commit", commit_once)
        with pytest.raises(KeyboardInterrupt):
            session.settle(found, account.now)
    session.stop()
    return session, found


@pytest.mark.usefixtures("ended_between_commits")
def test_the_next_run_completes_a_settlement_of_several_commits(account):
    assert account.held().keys() == {"a", "b", "c"}
    assert len(claims(account)) == 1
    counts = account.run(ROWS, "dag.b", as_of=1)
    assert (counts.rows_sent, counts.rows_unchanged) == (0, 4)
    assert account.held() == ROWS == account.target.profiles
    assert claims(account) == []


def test_a_person_who_is_forgotten_between_two_commits_stays_so(account, ended_between_commits):
    session, found = ended_between_commits
    account.ledger.forget(["a", "d"])
    session.settle(found, account.now)
    assert account.held().keys() == {"b", "c"}


def test_each_commit_has_the_rows_of_its_part(account, monkeypatch):
    monkeypatch.setattr(settlement, "_PART_ROWS", 2)
    before = account.ledger.table("acme", "thirdPartyId").snapshot().seq
    rows = {f"id-{number}": {"tier": str(number)} for number in range(5)}
    account.run(rows, outcomes=[COMPLETE, STUCK], file_rows=3)
    assert account.held() == {id: rows[id] for id in ("id-0", "id-1", "id-2")}
    assert account.ledger.table("acme", "thirdPartyId").snapshot().seq - before == 1 + 3
    counts = account.run(rows, as_of=1)
    assert (counts.rows_unchanged, counts.because["new"]) == (3, 2)


def test_files_that_were_refused_leave_the_rows_as_they_were(account, tmp_path):
    session, _ = planned(account, tmp_path)
    session.sending(0, 0, 4)
    session.refused(0, 0, 4)
    session.stop()
    counts = account.run(ROWS, "dag.b", as_of=1)
    assert counts.because == {"new": 4, "changed": 0, "refreshed": 0, "forced": 0}


def test_another_try_takes_over_what_it_sent_before(account, tmp_path):
    owner = Owner.current("dag.a run 1")
    session, plan = planned(account, tmp_path, owner=owner)
    account.send(session, plan)
    session, plan = planned(account, tmp_path, name="again", owner=owner)
    assert (plan.counts.rows_sent, plan.counts.rows_unchanged) == (0, 4)


def test_a_run_that_was_taken_over_sends_nothing_more(account, tmp_path):
    owner = Owner.current("dag.a run 1")
    session, _ = planned(account, tmp_path, owner=owner)
    planned(account, tmp_path, name="again", owner=owner)
    with pytest.raises(LedgerTakenOverError):
        session.sending(0, 0, 4)
    assert not account.target.batches


def test_a_run_of_another_machine_keeps_its_claim_for_a_while(account, tmp_path, monkeypatch):
    planned(account, tmp_path, owner=OTHER_MACHINE)
    with pytest.raises(LedgerBusyError):
        account.run(ROWS, "dag.b", as_of=1)
    import time

    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LEASE_SECONDS + 1)
    assert account.run(ROWS, "dag.b", as_of=1).because["new"] == 4


def test_a_call_of_another_machine_may_still_be_in_progress(account, tmp_path, monkeypatch):
    import time

    session, _ = planned(account, tmp_path, owner=OTHER_MACHINE)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LEASE_SECONDS - 1)
    session.sending(0, 0, 4)
    monkeypatch.setattr(time, "time", lambda: now + LEASE_SECONDS + 1)
    with pytest.raises(LedgerBusyError):
        account.run(ROWS, "dag.b", as_of=1)
    monkeypatch.setattr(time, "time", lambda: now + 3 * LEASE_SECONDS)
    account.run(ROWS, "dag.b", as_of=1)
    assert account.held() == ROWS


def test_pending_rows_of_a_forgotten_person_are_erased(account, tmp_path):
    rows = {"very-personal-id": {"tier": "very-personal-value"}, "b": {"tier": "tin"}}
    session, plan = planned(account, tmp_path, rows)
    found = account.send(session, plan)
    account.ledger.forget(["very-personal-id"])
    files = [path for path in (tmp_path / "ledger").rglob("*") if path.is_file()]
    assert not any(b"very-personal" in path.read_bytes() for path in files)
    session.settle(found, account.now)
    assert account.held() == {"b": {"tier": "tin"}}


def test_the_profiles_that_are_held_are_counted(account):
    assert account.ledger.summary("acme") is None
    account.run(ROWS, outcomes=[STUCK])
    assert account.ledger.summary("acme") == {"id_type": "thirdPartyId", "profiles": 0}
    account.run(ROWS, as_of=1)
    account.run({"a": {"tier": "tin"}, "e": {"tier": "tin"}}, as_of=2)
    assert account.ledger.summary("acme")["profiles"] == len(account.held()) == 5
    account.ledger.vacuum()
    account.run({"a": {"tier": "iron"}, "f": {"tier": "tin"}}, as_of=3)
    assert account.ledger.summary("acme")["profiles"] == len(account.held()) == 6
