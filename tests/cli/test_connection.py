"""The connection of a command: Airflow's own look-up, and the environment."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory):
    """The home of an Airflow with a database."""
    home = tmp_path_factory.mktemp("airflow")
    environment = os.environ | {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    return home


@pytest.fixture
def airflow(airflow_home, environment):
    """Return a function that adds a connection to Airflow's database. The environment has no connection."""
    for name in ("ADOBE_TARGET_CLIENT_CODE", "ADOBE_TARGET_TOKEN", "ADOBE_TARGET_HOST"):
        environment.delenv(name)
    environment.setenv("AIRFLOW_HOME", str(airflow_home))

    def add(name, **fields):
        row = {"conn_id": name, "is_encrypted": False, "is_extra_encrypted": False, **fields}
        statement = f"INSERT INTO connection ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        with closing(sqlite3.connect(airflow_home / "airflow.db")) as database, database:
            database.execute(statement, list(row.values()))

    return add


def target(sandbox):
    return {"conn_type": "adobe_target", "login": "acme", "password": "secret-token", "host": sandbox.url}


def test_a_connection_of_the_environment_is_found(run, airflow, environment, sandbox):
    environment.setenv("AIRFLOW_CONN_TARGET", json.dumps(target(sandbox)))
    assert run("conn", "test", "--conn-id", "target", "--json", code=0).json["works"] is True


def test_connections_of_airflows_database_are_found(run, airflow, sandbox, tmp_path):
    airflow("in_database", **target(sandbox))
    airflow("warehouse", conn_type="sqlite", host=str(tmp_path / "warehouse.db"))
    with sqlite3.connect(tmp_path / "warehouse.db") as database:
        database.execute("CREATE TABLE rows AS SELECT 'SQL1' AS thirdPartyId, 'gold' AS tier")
    arguments = ["--sql", "SELECT * FROM rows", "--sql-conn-id", "warehouse", "--conn-id", "in_database", "--json"]
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
