"""Rows of BigQuery, through Airflow's hook and Google's client, from an emulator that answers their REST API.

The emulator shows types, names and the Arrow conversion of REST pages. It does not show the Storage Read API, real
page sizes, quotas or authentication. It drops the labels of jobs: the test shows the configuration that Airflow sends.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("bqemulator")
bigquery_hook = pytest.importorskip("airflow.providers.google.cloud.hooks.bigquery")

from airflow_provider_adobe_target.inputs import row_source  # noqa: E402
from airflow_provider_adobe_target.inputs.database import database_hook, read_sql  # noqa: E402
from support.pipeline import run_pipeline  # noqa: E402
from support.warehouses import profile, statement, texts  # noqa: E402


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _spatial_extension(home):
    """Put DuckDB's extension where the emulator looks for it, so that it does not download it."""
    import duckdb
    import duckdb_extension_spatial

    [file] = Path(duckdb_extension_spatial.__file__).parent.rglob("*.duckdb_extension")
    [(platform,)] = duckdb.sql("PRAGMA platform").fetchall()
    folder = home / ".duckdb" / "extensions" / f"v{duckdb.__version__}" / platform
    folder.mkdir(parents=True)
    shutil.copy(file, folder)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    home = tmp_path_factory.mktemp("bigquery")
    _spatial_extension(home)
    port = _free_port()
    command = [sys.executable, "-m", "bqemulator", "start", "--project", "project"]
    command += ["--rest-port", str(port), "--grpc-port", str(_free_port())]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, "HOME": str(home)}, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                is_starting = process.poll() is None and time.monotonic() < deadline
                assert is_starting, (home / "log").read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def hook(emulator, monkeypatch):
    from google.api_core.client_options import ClientOptions

    # The hook uses two clients: one of the discovery API, whose endpoint has a path, and Google's own.
    build, path = bigquery_hook.build, ClientOptions(api_endpoint=f"{emulator}/bigquery/v2/")
    monkeypatch.setattr(
        bigquery_hook, "build", lambda *names, **given: build(*names, **{**given, "client_options": path})
    )
    options = ClientOptions(api_endpoint=emulator)
    monkeypatch.setattr(bigquery_hook.BigQueryHook, "get_client_options", lambda self: options)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", emulator)
    extra = {"is_anonymous": True, "project": "project", "use_legacy_sql": False}
    fields = {"conn_type": "gcpbigquery", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(fields))
    return database_hook("warehouse")


def test_every_type_has_the_text_of_the_table(hook):
    outcome = run_pipeline(read_sql(hook, statement("bigquery"), None))
    assert outcome.reasons == {}
    assert profile(outcome) == texts("bigquery")


def test_arrays_and_structs_are_joined_and_flattened(hook):
    sql = "SELECT 'U1' AS third_party_id, ['a', 'b'] AS tags, STRUCT('x' AS city, 1 AS n) AS home"
    assert profile(run_pipeline(read_sql(hook, sql, None))) == {"tags": "a|b", "home.city": "x", "home.n": "1"}


def test_upper_case_names_are_sent_in_lower_case_on_request(hook):
    sql = "SELECT 'U1' AS THIRD_PARTY_ID, 'gold' AS TIER"
    assert profile(run_pipeline(read_sql(hook, sql, None), attribute_case="lower")) == {"tier": "gold"}


def test_many_rows_come_in_order(hook):
    sql = "SELECT CONCAT('U', CAST(i AS STRING)) AS third_party_id, i AS v FROM UNNEST(GENERATE_ARRAY(1, 25000)) AS i"
    outcome = run_pipeline(read_sql(hook, sql, None))
    assert outcome.sent == 25_000
    assert outcome.lines[-1] == "U25000,25000"


def test_an_infinite_float_rejects_its_row(hook):
    sql = "SELECT 'U1' AS third_party_id, CAST('inf' AS FLOAT64) AS v"
    assert run_pipeline(read_sql(hook, sql, None)).reasons == {"unsupported_value": 1}


def test_an_error_names_its_class_and_no_value(hook):
    with pytest.raises(Exception, match=r"google\.\w+") as caught:
        run_pipeline(read_sql(hook, "SELECT 'U1' AS third_party_id, CAST(CONCAT('sec', 'ret') AS INT64) AS v", None))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("dag_id", ["loyalty", "x' */ ; DROP\nTABLE t -- \"", "Zürich." * 30])
def test_the_job_has_labels_that_bigquery_accepts(hook, monkeypatch, dag_id):
    for name, value in {"DAG_ID": dag_id, "TASK_ID": "group.upload", "DAG_RUN_ID": "manual__2026-01-01T00:00"}.items():
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
    monkeypatch.setattr(row_source, "database_hook", lambda conn_id: hook)
    jobs = []
    insert_job = hook.insert_job
    monkeypatch.setattr(hook, "insert_job", lambda **given: jobs.append(given["configuration"]) or insert_job(**given))
    rows = row_source.RowSource(sql="SELECT 'U1' AS third_party_id, 1 AS v", sql_conn_id="warehouse").read()
    assert run_pipeline(rows).lines == ["U1,1"]
    labels = jobs[0]["labels"]
    assert (labels["airflow-task"], labels["airflow-run"]) == ("group_upload", "manual__2026-01-01t00_00")
    assert labels["airflow-dag"].startswith(dag_id[:1].lower())
    assert all(re.fullmatch("[a-z0-9_-]{1,63}", text) for text in labels.values())
