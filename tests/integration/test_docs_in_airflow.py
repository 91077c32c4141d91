"""Run the DAGs of the README and the docs in Airflow, against the sandbox."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.real_airflow import IS_AIRFLOW_3_0, connection

ROOT = Path(__file__).parents[2]
IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
AIRFLOW_2 = re.compile(r"^from airflow\.sdk import .*# in Airflow 2\.11: (.*)$", re.M)
DAY = "2026-01-05"
ECID = "12345678901234567890123456789012345678"
ONLY_POSTGRESQL = "hashtext("


def dags():
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for source in BLOCK.findall(page.read_text()):
            for dag_id in re.findall(r'DAG\(\s*"(\w+)"', source):
                if ONLY_POSTGRESQL not in source:
                    yield pytest.param(source, id=f"{page.name}:{dag_id}")


@pytest.fixture
def surroundings(tmp_path):
    """Create the files, buckets (here folders) and tables that the docs assume."""
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse, warehouse:
        warehouse.execute("CREATE TABLE loyalty (customer_id TEXT, tier TEXT, points INTEGER)")
        warehouse.execute("INSERT INTO loyalty VALUES ('U1', 'gold', 5)")
        warehouse.execute("CREATE TABLE logins (customer_id TEXT, ecid TEXT, tier TEXT, day TEXT)")
        # The interval of a run ends at its logical date in Airflow 3, and a day later in Airflow 2.
        for day in ("2026-01-04", "2026-01-05"):
            warehouse.execute("INSERT INTO logins VALUES ('U1', ?, 'gold', ?)", (ECID, day))
        warehouse.execute("CREATE TABLE returns (customer_id TEXT, last_return_on TEXT, returned_at TEXT)")
        for hour in ("2026-01-04 23:30:00+00:00", "2026-01-05 00:30:00+00:00"):
            warehouse.execute("INSERT INTO returns VALUES ('U1', '2026-01-04', ?)", (hour,))
    for name in ("tiers", f"crm/export/{DAY}", "exports", "bucket"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tiers" / "a.csv").write_text("customer_id,tier\nU1,gold\n")
    (tmp_path / "batch.txt").write_text("batch=thirdPartyId,tier\nU1,gold")
    rows = [{"customer_number": "U1", "loyalty_tier": "gold", "address": {"city": "Bonn"}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"crm/export/{DAY}/part.parquet")
    return {"AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")})}


@pytest.mark.parametrize("source", list(dags()))
def test_a_dag_of_the_docs_runs_and_writes_its_profile(source, airflow, open_sandbox, surroundings, tmp_path):
    if IS_AIRFLOW_3_0 and "outlets=" in source:
        pytest.skip("before 3.1 dag.test() refuses outlets that no scheduler has activated")
    sandbox = open_sandbox(processing_seconds=0)
    sandbox.put_profile("U1", {"seen": "before"})
    if IS_AIRFLOW_2:
        source = AIRFLOW_2.sub(lambda match: match[1].replace("; ", "\n"), source)
    source = source.replace("< 100_000", "< 1")  # expects a large table
    source = re.sub(r"s3://(?:aws_default@)?|/data/", f"{tmp_path}/", source)
    environment = {"AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": connection(sandbox), **surroundings}
    run = airflow.run_file(source, DAY, **environment)
    assert set(run.states.values()) == {"success"}, run.output[-3000:]
    assert (len(sandbox.profile("U1")) > 1) != ("dry_run=True" in source)


def test_most_dags_of_the_docs_are_run():
    assert len(list(dags())) >= 8
