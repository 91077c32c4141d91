"""An Airflow with DAGs of the provider: samples of runs in the sync log, and one real run."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from airflow_provider_adobe_target.sandbox import Sandbox
from airflow_provider_adobe_target.sync_log.location import open_sync_log
from support.airflow_site import AirflowSite
from support.real_airflow import connection
from support.sample_runs import record

SAMPLE_RUN = "manual__2026-01-31"
DAGS = """
import datetime
from airflow.sdk import DAG
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.task_groups.adobe_target import profile_sync

rows = [{"thirdPartyId": f"U{number}", "tier": "gold"} for number in range(40)]
for dag_id in ("cdnow_daily", "loyalty", "real_daily"):
    with DAG(dag_id, schedule=None, start_date=datetime.datetime(2026, 1, 1)) as dag:
        BulkProfileUpdateOperator(task_id="upload", data=[*rows, *rows[:3]], poll_interval=0.1)
    globals()[dag_id] = dag

with DAG("syncs", schedule=None, start_date=datetime.datetime(2026, 1, 1)) as syncs:
    for group_id in ("approved", "rejected"):
        profile_sync(group_id, data=rows[:3], ask=True, sample_size=2, verify_interval=0.2, poll_interval=0.1)
"""


@contextmanager
def site_with_runs(home: Path) -> Iterator[AirflowSite]:
    """Run an Airflow whose page shows two sample runs and one real run, of ``real_daily``.

    Its attribute ``run_link`` is the operator link of that run. ``batch_id``, ``profiles`` and ``calls`` are those of
    the sandbox.

    :param home: An empty folder.
    """
    (home / "dags").mkdir()
    (home / "dags" / "dags.py").write_text(DAGS)
    database = json.dumps({"conn_type": "sqlite", "host": str(home / "log.db")})
    site: Any = AirflowSite(home, AIRFLOW_CONN_LOG_DB=database, AIRFLOW__ADOBE_TARGET__SYNC_LOG="log_db")
    for command in (["db", "migrate"], ["dags", "reserialize"]):
        subprocess.run([sys.executable, "-m", "airflow", *command], env=site.environment, check=True)
    with mock.patch.dict(os.environ, AIRFLOW_CONN_LOG_DB=database):
        log = open_sync_log("log_db")
    log.write(record(dag_id="cdnow_daily", run_id=SAMPLE_RUN))
    log.write(record(dag_id="loyalty", run_id=SAMPLE_RUN, rows_sent=1_000, rows_updated=993, client_code="globex"))
    with Sandbox(processing_seconds=0.2) as sandbox:
        target = {"AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": connection(sandbox, extra={"sync_log": "log_db"})}
        run_dag(site, "real_daily", **target).wait()
        site.profiles = sum(sandbox.profile(f"U{number}") is not None for number in range(50))
        site.calls = len(sandbox.calls)
        [site.batch_id] = [batch.batch_id for batch in sandbox.batches]
    [(link,)] = query(site, "SELECT value FROM xcom WHERE key = 'adobe_target_run_url'")
    site.run_link = json.loads(link)
    with site.started():
        yield site


def run_dag(site: AirflowSite, dag_id: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a run of a DAG in a process of its own."""
    command = [sys.executable, "-m", "airflow", "dags", "test", dag_id]
    return subprocess.Popen(command, env={**site.environment, **environment})


def query(site: AirflowSite, statement: str) -> list[tuple[Any, ...]]:
    """Query the metadata database."""
    with closing(sqlite3.connect(site.home / "airflow.db")) as database:
        return database.execute(statement).fetchall()
