"""Claims after SIGKILL at any moment, and runs that continue at the same time."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_provider_adobe_target.ledger.claims import Owner, open_claims
from airflow_provider_adobe_target.ledger.errors import LedgerBusyError
from support.ledger_simulation import COMPLETE, Account, batches_of

ROWS = {f"id-{number}": {"tier": "gold", "score": str(number)} for number in range(6)}
CHANGED = {id: {**row, "tier": "tin"} for id, row in ROWS.items()}

# Each moment is a call of this function, at which the process of the task kills itself.
MOMENTS = [
    ("storage.Location.write", 0),
    ("storage.Location.write", 1),
    ("storage.Location.write", 2),
    ("storage.Location.write", 3),
    ("storage.Location.open_output", 0),
    ("table.LedgerTable.commit", 0),
    ("table.LedgerTable.commit", 1),
    ("claims.Claim.sending", 0),
    ("claims.Claim.accepted", 0),
    ("claims.Claim.sending", 1),
    ("claims.Claim.accepted", 1),
    ("settlement.settle", 0),
    ("claims.Claim.discard", 0),
    ("storage.Location.remove_file", 0),
    ("storage.Location.remove", 0),
]
MOMENTS_AFTER = [moment for moment in MOMENTS if moment[0].startswith(("table.", "claims.Claim.s", "settlement."))]

TASK = """
import importlib, json, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[5])
from support.ledger_simulation import Account
folder, (name, number, after) = Path(sys.argv[1]), json.loads(sys.argv[2])
rows, sent = json.loads(sys.argv[3]), Path(sys.argv[4])
module, *path = name.split(".")
owner = module = importlib.import_module("airflow_provider_adobe_target.ledger." + module)
for part in path[:-1]:
    owner = getattr(owner, part)
real, calls = getattr(owner, path[-1]), []
def die(*arguments, **named):
    calls.append(None)
    if len(calls) == number + 1 and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*arguments, **named)
    if len(calls) == number + 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
account = Account(folder)
account.ledger.table("acme", "thirdPartyId")
submit = account.target.submit
def note(rows, outcome):
    batch = submit(rows, outcome)
    with sent.open("a") as stream:
        stream.write(json.dumps([batch, rows]) + "\\n")
    return batch
account.target.submit = note
setattr(owner, path[-1], die)
if name == "settlement.settle":
    importlib.import_module("airflow_provider_adobe_target.ledger.session").settle = die
account.run(rows, as_of=1, file_rows=3)
"""


def run_and_kill(tmp_path, moment, after, rows):
    """Run a task that kills itself, and apply to Adobe Target what it has sent."""
    sent = tmp_path / "sent"
    sent.touch()
    command = [sys.executable, "-c", TASK, str(tmp_path / "ledger"), json.dumps([*moment, after]), json.dumps(rows)]
    command += [str(sent), str(Path(__file__).parent.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, [json.loads(line) for line in sent.read_text().splitlines()]


@pytest.mark.parametrize(
    ("moment", "after"),
    [*((moment, False) for moment in MOMENTS), *((moment, True) for moment in MOMENTS_AFTER)],
    ids=lambda value: f"{value[0]}-{value[1]}" if isinstance(value, tuple) else ["before", "after"][value],
)
def test_a_killed_task_confirms_nothing_falsely_and_forgets_nothing(account, tmp_path, moment, after):
    account.run(ROWS)
    code, sent = run_and_kill(tmp_path, moment, after, CHANGED)
    assert code in (-signal.SIGKILL, 0)
    for batch, rows in sent:
        account.target.batches["dead-" + batch] = COMPLETE
        account.target.apply(rows, COMPLETE)
    account.target.batches |= {batch: COMPLETE for batch, _ in sent}
    before = account.held()
    for id, row in before.items():
        assert row in (ROWS[id], CHANGED[id])
    account.run({"other": {"city": "Rome"}}, "dag.b", as_of=1)
    # Of the rows that may differ, none is held as confirmed: the next run sends them.
    held = account.held()
    counts = account.run(CHANGED, as_of=2)
    wrong = {id for id in ROWS if account.target.profiles[id] != CHANGED[id]}
    assert not wrong
    assert account.held() == account.target.profiles
    assert counts.rows_sent == sum(held[id] != CHANGED[id] for id in ROWS) or counts.because["forced"]
    table = account.ledger.table("acme", "thirdPartyId")
    assert open_claims(table.location, table.snapshot()) == []
    # And back, so that a value that was thought confirmed would stay.
    account.run(ROWS, as_of=3)
    assert {id: account.target.profiles[id] for id in ROWS} == ROWS


@pytest.mark.parametrize("moment", [("claims.Claim.accepted", 0)])
def test_a_killed_call_makes_the_old_value_uncertain(account, tmp_path, moment):
    """The batch was queued, and its receipt was lost: the held value must be sent again, though it is the same."""
    account.run(ROWS)
    _, sent = run_and_kill(tmp_path, moment, False, CHANGED)
    for _, rows in sent:
        account.target.apply(rows, COMPLETE)
    counts = account.run(ROWS, as_of=2)
    assert counts.because["forced"] == 3
    assert account.target.profiles == ROWS == account.held()


def test_a_batch_is_settled_if_its_process_ends_before_the_commit(account, tmp_path):
    """Adobe Target holds the new values, so that a row with the old values differs."""
    account.run(ROWS)
    code, sent = run_and_kill(tmp_path, ("table.LedgerTable.commit", 1), False, CHANGED)
    assert code == -signal.SIGKILL
    account.target.batches |= {batch: COMPLETE for batch, _ in sent}
    for _, rows in sent:
        account.target.apply(rows, COMPLETE)
    assert account.run(ROWS, as_of=2).because["changed"] == 6
    assert account.target.profiles == ROWS == account.held()


def test_the_owner_of_a_claim_is_dead_if_its_process_has_ended():
    owner = Owner.current("a")
    code = "from airflow_provider_adobe_target.ledger.claims import *; print(json.dumps(vars(Owner.current('b'))))"
    command = [sys.executable, "-c", "import json;" + code]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    other = Owner(**json.loads(process.stdout))
    assert (other.is_dead(owner), owner.is_dead(other)) == (True, False)
    assert Owner("c", "elsewhere", other.process).is_dead(owner) is None
    # Another process with the same number, started at another time.
    assert Owner("c", owner.host, f"{os.getpid()} 1").is_dead(owner) is True


class TestConcurrentRuns:
    def test_mapped_tasks_with_other_ids(self, account):
        account.ledger.table("acme", "thirdPartyId")
        parts = [{f"id-{part}-{number}": {"x": str(part)} for number in range(20)} for part in range(6)]
        with ThreadPoolExecutor(6) as pool:
            counts = list(pool.map(account.run, parts))
        assert [count.rows_sent for count in counts] == [20] * 6
        assert account.held() == account.target.profiles
        with ThreadPoolExecutor(6) as pool:
            counts = list(pool.map(lambda part: account.run(part, as_of=1), parts))
        assert [count.rows_unchanged for count in counts] == [20] * 6

    def test_tasks_with_the_same_ids(self, account):
        """Tasks that write different attributes of the same ids at the same time lose none."""
        account.ledger.table("acme", "thirdPartyId")
        tasks = [{f"id-{number}": {f"attribute_{task}": str(task)} for number in range(10)} for task in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda task: account.run(tasks[task], f"dag.{task}"), range(4)))
        expected = {f"attribute_{task}": str(task) for task in range(4)}
        assert all(profile == expected for profile in account.target.profiles.values())
        assert account.held() == account.target.profiles

    def test_parallel_backfills_end_in_the_state_of_the_last_day(self, account):
        account.ledger.table("acme", "thirdPartyId")
        days = [{f"id-{number}": {"x": str(day)} for number in range(10)} for day in range(5)]
        with ThreadPoolExecutor(5) as pool:
            list(pool.map(lambda day: account.run(days[day], as_of=day), [3, 0, 4, 1, 2]))
        assert account.target.profiles == days[4] == account.held()

    def test_compaction_while_tasks_run(self, account):
        from airflow_provider_adobe_target.ledger.maintenance import compact

        table = account.ledger.table("acme", "thirdPartyId")
        days = [{f"id-{number}": {"x": str(number % (day + 1))} for number in range(30)} for day in range(4)]
        with ThreadPoolExecutor(2) as pool:
            compactions = [pool.submit(compact, table) for _ in range(2)]
            for number, rows in enumerate(days):
                account.run(rows, as_of=number)
            errors = [compaction.exception() for compaction in compactions]
        assert all(error is None or isinstance(error, LedgerBusyError) for error in errors)
        assert account.held() == account.target.profiles == days[3]


def test_waiting_runs_read_no_half_written_claim(account, tmp_path):
    """A folder without a committed record is not a claim."""
    account.run(ROWS)
    folder = tmp_path / "ledger" / "_pending" / "0123"
    folder.mkdir(parents=True)
    (folder / "rows.parquet").write_bytes(b"PAR1")
    account.run(CHANGED, as_of=1)
    assert account.held() == CHANGED


def test_a_claim_without_rows_is_settled(account, tmp_path):
    account.run(ROWS)
    (tmp_path / "work").mkdir()
    session = account.session(as_of=1)
    session.prepare(batches_of(CHANGED), tmp_path / "work")
    for file in (tmp_path / "ledger" / "_pending").glob("*/rows.parquet"):
        file.unlink()
    session.stop()
    assert Account(tmp_path / "ledger").run(CHANGED, as_of=1).rows_sent == 6
