"""The connection of a command: Airflow's own look-up, and the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory):
    """The home of an Airflow with a database."""
    home = tmp_path_factory.mktemp("airflow")
    environment = os.environ | {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    return home


@pytest.fixture
def airflow(airflow_home, environment, sandbox):
    """Add connections to Airflow's database, and remove those of the environment."""
    for name in ("ADOBE_TARGET_CLIENT_CODE", "ADOBE_TARGET_TOKEN", "ADOBE_TARGET_HOST"):
        environment.delenv(name)
    environment.setenv("AIRFLOW_HOME", str(airflow_home))

    def add(name, **fields):
        command = [sys.executable, "-m", "airflow", "connections", "add", name, "--conn-json", json.dumps(fields)]
        subprocess.run(command, check=True, capture_output=True)

    return add


def target(sandbox):
    return {"conn_type": "adobe_target", "login": "acme", "password": "secret-token", "host": sandbox.url}


def test_a_connection_of_airflows_database_is_found(run, airflow, sandbox, tmp_path):
    (tmp_path / "rows.csv").write_text("thirdPartyId,tier\nDB1,gold\n")
    airflow("in_database", **target(sandbox))
    assert run("conn", "test", "--conn-id", "in_database", "--json", code=0).json["works"] is True
    report = run("send", "rows.csv", "--conn-id", "in_database", "--json", cwd=tmp_path, code=0).json
    assert report["rows_sent"] == 1
    assert sandbox.profile("DB1") == {"tier": "gold"}


def test_a_database_connection_of_airflow_reads_sql(run, airflow, environment, sandbox, tmp_path):
    airflow("warehouse", conn_type="sqlite", host=str(tmp_path / "warehouse.db"))
    environment.setenv("AIRFLOW_CONN_TARGET", json.dumps(target(sandbox)))
    import sqlite3

    with sqlite3.connect(tmp_path / "warehouse.db") as database:
        database.execute("CREATE TABLE rows AS SELECT 'SQL1' AS thirdPartyId, 'gold' AS tier")
    arguments = ["--sql", "SELECT * FROM rows", "--sql-conn-id", "warehouse", "--conn-id", "target", "--json"]
    assert run("send", *arguments, code=0).json["rows_sent"] == 1
    assert sandbox.profile("SQL1") == {"tier": "gold"}


@pytest.mark.parametrize(
    "arguments", [["conn", "test", "--conn-id", "nothing"], ["plan", "--sql", "SELECT 1", "--sql-conn-id", "nothing"]]
)
def test_an_unknown_connection_ends_with_exit_code_2(run, airflow, arguments):
    outcome = run(*arguments, "--json", code=2)
    assert "'nothing'" in outcome.json["error"]


def test_a_connection_of_another_type_ends_with_exit_code_2(run, airflow, environment):
    environment.setenv("AIRFLOW_CONN_OTHER", "http://127.0.0.1:1")
    outcome = run("conn", "test", "--conn-id", "other", "--json", code=2)
    assert "login" in outcome.json["error"]
