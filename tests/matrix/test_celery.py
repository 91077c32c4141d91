"""Mapped tasks on two Celery workers, with a real clock: the worker of each task, and the calls per minute.

Everything runs once, in a fixture; the tests look at what is left. ``make test-matrix`` runs this.
"""

# ruff: noqa: T201 - it takes minutes, and says how far it is

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_adobe_target.sandbox import Sandbox
from support.airflow_processes import WORKERS, AirflowProcesses

EXAMPLES = Path(__file__).parents[2] / "example_dags"
TOKEN = "t0ken-of-the-tests"
PARTITIONS, CUSTOMERS, POOL_SLOTS = 4, 23_570, 2
ACCOUNT = "SELECT value FROM xcom WHERE dag_id = %s AND task_id = 'account' AND key = 'return_value'"

# Three tasks on two workers, and the sensor after them, want to make twice as many calls as a minute has.
CALLS_PER_MINUTE = 12
UPLOADS, FILES = 3, 4
SHARES = f"""
from datetime import datetime

from airflow.sdk import DAG
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor

with DAG("shares", schedule=None, start_date=datetime(1997, 1, 2)):
    upload = BulkProfileUpdateOperator.partial(
        task_id="upload", adobe_target_conn_id="narrow", max_rows_per_file=1, wait_for_completion=False
    ).expand(
        data=[
            [{{"thirdPartyId": f"{{task}}-{{row}}", "tier": "gold"}} for row in range({FILES})]
            for task in range({UPLOADS})
        ]
    )
    BatchStatusSensor(task_id="landed", batches=upload.output, adobe_target_conn_id="narrow", deferrable=False)
"""


@dataclass(frozen=True)
class TaskInstance:
    """One row of Airflow's table of that name, and the Celery worker it ran on."""

    task_id: str
    state: str
    start: Any
    end: Any
    worker: str


@dataclass(frozen=True)
class Outcome:
    """What is left of a DAG run."""

    tasks: list[TaskInstance]
    account: dict[str, int]
    sandbox: Sandbox

    def uploads(self) -> list[TaskInstance]:
        return [task for task in self.tasks if task.task_id == "upload"]

    def most_calls_in_a_minute(self) -> int:
        times = sorted(call.at for call in self.sandbox.calls if call.route in ("submit", "status"))
        return max(sum(begin <= at < begin + 60 for at in times) for begin in times)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    began = time.monotonic()
    airflow = AirflowProcesses(tmp_path_factory.mktemp("celery") / "home", os.environ["REDIS_SERVER"])
    shutil.copytree(EXAMPLES, airflow.dags, dirs_exist_ok=True)
    for example in airflow.dags.glob("*.py"):  # the others would begin with their backlog of days
        if example.stem != "cdnow_partitions":
            example.unlink()
    (airflow.dags / "shares.py").write_text(SHARES)
    with (
        Sandbox(token=TOKEN, processing_seconds=60) as target,
        Sandbox(token=TOKEN, processing_seconds=0, calls_per_minute=CALLS_PER_MINUTE) as narrow,
        airflow.started(
            AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(target, 50),
            AIRFLOW_CONN_NARROW=connection(narrow, CALLS_PER_MINUTE),
            ADOBE_TARGET_SHARED_FOLDER=str(airflow.home / "shared"),
            AIRFLOW_CONN_WAREHOUSE=json.dumps({"conn_type": "sqlite", "host": str(airflow.home / "warehouse.db")}),
        ),
    ):
        print(f"\nAirflow with two Celery workers is up after {time.monotonic() - began:.0f} seconds.")
        airflow.command("pools", "set", "adobe_target", str(POOL_SLOTS), "Uploads at a time")
        airflow.wait_for_dags("cdnow_partitions", "shares")
        airflow.trigger("cdnow_partitions", "--logical-date", "1998-01-01T00:00:00+00:00")
        # Alone, so that the workers are free for both of the pool's slots.
        uploads = "SELECT state FROM task_instance WHERE task_id = 'upload'"
        airflow.wait_for_states("success", PARTITIONS, uploads)
        airflow.trigger("shares")
        for dag_id in ("cdnow_partitions", "shares"):
            airflow.wait_for_states("success", 1, "SELECT state FROM dag_run WHERE dag_id = %s", dag_id)
            print(f"{dag_id} has succeeded after {time.monotonic() - began:.0f} seconds.")
        outcomes = {
            "cdnow_partitions": outcome(airflow, "cdnow_partitions", target),
            "shares": outcome(airflow, "shares", narrow),
        }
    print(f"All of it took {time.monotonic() - began:.0f} seconds, and nothing is left running.")
    return outcomes


def connection(sandbox, calls_per_minute):
    return json.dumps(
        {
            "conn_type": "adobe_target",
            "login": "acme",
            "password": TOKEN,
            "host": sandbox.url,
            "extra": {"calls_per_minute": calls_per_minute},
        }
    )


def outcome(airflow, dag_id, sandbox):
    rows = airflow.query(
        "SELECT task_id, state, start_date, end_date, external_executor_id FROM task_instance WHERE dag_id = %s", dag_id
    )
    tasks = [TaskInstance(*row, worker=airflow.worker_of(celery_task_id)) for *row, celery_task_id in rows]
    accounts = airflow.query(ACCOUNT, dag_id)
    return Outcome(tasks, accounts[0][0] if accounts else {}, sandbox)


def test_both_workers_share_the_uploads_of_a_run_within_the_pool(outcomes):
    uploads = outcomes["cdnow_partitions"].uploads()
    assert [task.state for task in uploads] == ["success"] * PARTITIONS
    assert {task.worker for task in uploads} == set(WORKERS)
    at_once = [sum(other.start <= task.start < other.end for other in uploads) for task in uploads]
    assert max(at_once) <= POOL_SLOTS


def test_one_account_holds_every_customer_and_so_does_target(outcomes):
    run = outcomes["cdnow_partitions"]
    assert (run.account["rows_read"], run.account["rows_sent"], run.account["files"]) == (CUSTOMERS, CUSTOMERS, 4)
    assert [batch.status for batch in run.sandbox.batches] == ["complete"] * PARTITIONS
    ids = [row["thirdPartyId"] for batch in run.sandbox.batches for row in batch.rows]
    assert len(ids) == len(set(ids)) == CUSTOMERS


def test_the_sensor_waited_in_the_triggerer(outcomes):
    polls = [call.at for call in outcomes["cdnow_partitions"].sandbox.calls if call.route == "status"]
    assert len(polls) > PARTITIONS
    assert max(later - sooner for sooner, later in pairwise(polls)) >= 60


@pytest.mark.parametrize(("dag_id", "limit"), [("cdnow_partitions", 50), ("shares", CALLS_PER_MINUTE)])
def test_all_tasks_together_stay_within_the_calls_of_a_minute(outcomes, dag_id, limit):
    run = outcomes[dag_id]
    assert {call.status for call in run.sandbox.calls} == {200}
    assert run.most_calls_in_a_minute() <= limit


def test_tasks_over_the_rate_limit_wait(outcomes):
    run = outcomes["shares"]
    assert len(run.sandbox.batches) == UPLOADS * FILES
    assert len(run.sandbox.calls) == 2 * UPLOADS * FILES
    assert run.most_calls_in_a_minute() > CALLS_PER_MINUTE / 2  # else it would show nothing
    assert {task.state for task in run.tasks} == {"success"}
