"""Uploads by a real scheduler, triggerer and workers, some of which are killed; ``make test-matrix`` runs this.

What the sandbox counted is the witness of what was sent.
"""

# ruff: noqa: T201 - it takes minutes, and says how far it is

from __future__ import annotations

import inspect
import json
import os
import signal
import time
from collections import Counter
from contextlib import ExitStack

import psutil
import pytest
from airflow import __version__ as airflow_version

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from support.airflow_processes import IS_AIRFLOW_2, AirflowProcesses

TOKEN = "t0ken-of-the-tests"
FILES, ACCEPTED_BEFORE_THE_KILL = 8, 3
INCOMPLETE = Answer(200, "<response><status>incomplete</status></response>")
HEARTBEAT_SECONDS = "30"  # without a heartbeat, after which a task counts as dead; a day's worth of load fits in

DAGS = f"""
import os
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor

ROWS = [{{"thirdPartyId": f"U{{number}}", "tier": "gold"}} for number in range({FILES})]
started = {{"start_date": datetime(1998, 1, 1), "catchup": False}}

for dag_id, schedule, way in (
    ("scheduled", "@daily", {{"mode": "reschedule"}}), ("by_hand", None, {{"deferrable": True}})
):
    with DAG(dag_id, schedule=schedule, **started):
        upload = BulkProfileUpdateOperator(
            task_id="upload", adobe_target_conn_id=dag_id, data=ROWS, wait_for_completion=False
        )
        BatchStatusSensor(
            task_id="landed", adobe_target_conn_id=dag_id, batches=upload.output, poke_interval=1, **way
        )

with DAG("backfilled", schedule="@daily", end_date=datetime(1998, 12, 31), max_active_runs=1, **started):
    BulkProfileUpdateOperator(
        task_id="upload",
        adobe_target_conn_id="backfilled",
        sql="SELECT 'U1' AS \\"thirdPartyId\\", '{{{{ ds }}}}' AS day",
        sql_conn_id="warehouse",
        poll_interval=0.2,
    )

with DAG("deferred", schedule=None, **started):
    BulkProfileUpdateOperator(
        task_id="upload", adobe_target_conn_id="deferred", data=ROWS, deferrable=True, poll_interval=1
    )

with DAG("killed", schedule=None, **started):
    BulkProfileUpdateOperator(
        task_id="upload",
        adobe_target_conn_id="killed",
        data=ROWS,
        max_rows_per_file=1,
        max_concurrent_uploads=1,
        wait_for_completion=False,
        retries=2,
        retry_delay=timedelta(seconds=1),
        **RESUMING,
    )
"""
KEEPS_RECEIPTS = "checkpoint_path" in inspect.signature(BulkProfileUpdateOperator.__init__).parameters
DAG_IDS = ("scheduled", "by_hand", "backfilled", "deferred", "killed")


@pytest.fixture(scope="module")
def sandboxes():
    with ExitStack() as opened:
        yield {
            dag_id: opened.enter_context(Sandbox(token=TOKEN, processing_seconds=0, calls_per_minute=None))
            for dag_id in DAG_IDS
        }


@pytest.fixture(scope="module")
def airflow(sandboxes, tmp_path_factory):
    began = time.monotonic()
    airflow = AirflowProcesses(tmp_path_factory.mktemp("processes") / "home")
    # Before Airflow 3.3 there is no task state store to keep receipts in.
    in_files = KEEPS_RECEIPTS and airflow_version < "3.3"
    resuming = {"checkpoint_path": str(airflow.home / "receipts" / "{{ run_id }}")} if in_files else {}
    (airflow.dags / "uploads.py").write_text(DAGS.replace("RESUMING", repr(resuming)))
    connections = {
        f"AIRFLOW_CONN_{dag_id.upper()}": json.dumps(
            {"conn_type": "adobe_target", "login": "acme", "password": TOKEN, "host": sandbox.url}
        )
        for dag_id, sandbox in sandboxes.items()
    }
    with airflow.started(
        **connections,
        AIRFLOW_CONN_WAREHOUSE=json.dumps({"conn_type": "sqlite", "host": str(airflow.home / "warehouse.db")}),
        AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD="15",
        AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT=HEARTBEAT_SECONDS,
        AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD=HEARTBEAT_SECONDS,  # as Airflow 2 calls it
    ):
        airflow.wait_for_dags(*DAG_IDS)
        print(f"\nAirflow {airflow_version} is up after {time.monotonic() - began:.0f} seconds.")
        yield airflow


def runs(airflow, dag_id):
    date = "execution_date" if IS_AIRFLOW_2 else "logical_date"
    return airflow.query(f"SELECT state, run_type, {date} FROM dag_run WHERE dag_id = %s ORDER BY id", dag_id)


def wait_for_run(airflow, dag_id, state="success", count=1):
    airflow.wait_for_states(state, count, "SELECT state FROM dag_run WHERE dag_id = %s", dag_id)


def submits(sandbox):
    return [call for call in sandbox.calls if call.route == "submit"]


def test_the_scheduler_runs_an_upload_by_itself(airflow, sandboxes):
    wait_for_run(airflow, "scheduled")
    [(_, run_type, _)] = runs(airflow, "scheduled")
    assert run_type == "scheduled"
    [batch] = sandboxes["scheduled"].batches
    assert (batch.status, batch.row_count, len(submits(sandboxes["scheduled"]))) == ("complete", FILES, 1)


def test_a_run_by_hand_needs_no_logical_date(airflow, sandboxes):
    airflow.trigger("by_hand")
    wait_for_run(airflow, "by_hand")
    [(_, run_type, logical_date)] = runs(airflow, "by_hand")
    assert run_type == "manual"
    assert IS_AIRFLOW_2 or logical_date is None
    [batch] = sandboxes["by_hand"].batches
    assert (batch.status, batch.row_count) == ("complete", FILES)


@pytest.mark.parametrize(("month", "backwards"), [("01", False), ("02", True)])
def test_a_backfill_sends_the_days_in_the_requested_order(airflow, sandboxes, month, backwards):
    sandbox = sandboxes["backfilled"]
    before = len(sandbox.batches)
    days = [f"1998-{month}-{day:02}" for day in (1, 2, 3)]
    direction = ["--run-backwards"] if backwards else []
    if IS_AIRFLOW_2:
        airflow.command(
            *("dags", "backfill", "backfilled", "--start-date", days[0], "--end-date", days[-1], *direction)
        )
    else:
        airflow.command(
            *("backfill", "create", "--dag-id", "backfilled", "--from-date", days[0], "--to-date", days[-1]),
            *("--max-active-runs", "1", *direction),
        )
    wait_for_run(airflow, "backfilled", count=before + len(days))
    if not IS_AIRFLOW_2:  # where the scheduler ends a backfill somewhat later than its runs
        unfinished = "SELECT 1 FROM backfill WHERE completed_at IS NULL"
        airflow.wait_for("the end of the backfill", 120, lambda: not airflow.query(unfinished))
    assert {run_type for _, run_type, _ in runs(airflow, "backfilled")} == {"backfill"}
    sent = [batch.rows[0]["day"] for batch in sandbox.batches[before:]]
    assert sent == (days[::-1] if backwards else days)


def test_a_wait_survives_a_restart_of_the_triggerer(airflow, sandboxes):
    sandbox = sandboxes["deferred"]
    sandbox.script("status", INCOMPLETE, forever=True)
    airflow.trigger("deferred")
    airflow.wait_for_states("deferred", 1, "SELECT state FROM task_instance WHERE dag_id = 'deferred'")
    airflow.wait_for("a poll of the triggerer", 60, lambda: any(call.route == "status" for call in sandbox.calls))
    airflow.kill("triggerer")
    polls = len(sandbox.calls)
    sandbox.script("status")
    airflow.run_airflow("triggerer", "--skip-serve-logs")
    wait_for_run(airflow, "deferred")
    assert len(sandbox.calls) > polls
    assert [batch.status for batch in sandbox.batches] == ["complete"]
    assert len(submits(sandbox)) == 1


@pytest.mark.skipif(not KEEPS_RECEIPTS, reason="uploads keep no receipts yet")
@pytest.mark.parametrize("is_accepted", [True, False], ids=["accepted", "not accepted"])
@pytest.mark.parametrize("victim", ["task", "worker"])
def test_a_retry_after_a_kill_sends_files_without_a_checkpoint(airflow, sandboxes, victim, is_accepted):
    sandbox = sandboxes["killed"]
    sandbox.reset(token=TOKEN, processing_seconds=0, calls_per_minute=None)
    # Long enough to be killed in; Target has got the file by then, or has not read it.
    under_way = Answer.real(delay=600) if is_accepted else Answer(delay=600, reset="before")
    sandbox.script("submit", *[Answer.real()] * ACCEPTED_BEFORE_THE_KILL, under_way)
    run_id = f"{victim}-{is_accepted}"
    airflow.trigger("killed", "--run-id", run_id)
    airflow.wait_for("the file to kill in", 300, lambda: len(submits(sandbox)) > ACCEPTED_BEFORE_THE_KILL)
    kill_task(airflow, run_id, whole_worker=victim == "worker")
    airflow.wait_for_states("success", 1, "SELECT state FROM dag_run WHERE run_id = %s", run_id)

    accepted = Counter(batch.sha256 for batch in sandbox.batches)
    assert len(accepted) == FILES
    extra = accepted - Counter(accepted.keys())
    assert extra == ({submitted(sandbox, ACCEPTED_BEFORE_THE_KILL): 1} if is_accepted else {})
    assert len(submits(sandbox)) == FILES + 1
    print(f"{FILES} files, a {victim} killed: {len(submits(sandbox))} calls, {accepted.total()} accepted.")
    [(tries,)] = airflow.query("SELECT try_number FROM task_instance WHERE run_id = %s", run_id)
    assert tries == 2
    report = result(airflow, run_id)
    assert (report["rows_sent"], len(report["batches"])) == (FILES, FILES)
    assert {batch["sha256"] for batch in report["batches"]} == set(accepted)


def kill_task(airflow, run_id, *, whole_worker):
    """Kill the process in which the operator runs, or all of what the scheduler started for it."""
    [(pid,)] = airflow.query("SELECT pid FROM task_instance WHERE run_id = %s AND state = 'running'", run_id)
    task = psutil.Process(pid)
    scheduler = airflow.pid("scheduler")
    family = [process.pid for process in task.parents()]
    assert scheduler in family, "the task's process is not one of the scheduler's"
    worker = family[: family.index(scheduler)]
    for each in [pid, *(worker if whole_worker else [])]:
        os.kill(each, signal.SIGKILL)


def submitted(sandbox, number):
    """Return the hash of a file that the sandbox accepted."""
    return sandbox.batches[number].sha256


def result(airflow, run_id):
    [(value,)] = airflow.query("SELECT value FROM xcom WHERE run_id = %s AND key = 'return_value'", run_id)
    for _ in range(2):  # Airflow 2 stores bytes, Airflow 3 JSON within JSON
        value = value if isinstance(value, dict) else json.loads(value)
    return value


def test_no_process_logs_a_deprecation_warning_of_the_package(airflow):
    lines = [line for log in airflow.home.rglob("*.log") for line in log.read_text(errors="replace").splitlines()]
    assert len(lines) > 100
    assert not [line for line in lines if "airflow_provider_adobe_target" in line and "Warning" in line]
