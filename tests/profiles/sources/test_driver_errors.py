"""What the errors of real database drivers say while rows are read: no value of a row."""

import logging
import sqlite3
import traceback
from contextlib import closing

import pytest

from airflow_provider_adobe_target.exceptions import SourceReadError
from airflow_provider_adobe_target.inputs.database import read_sql
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from support.database import Hook

SECRET = "jo.smith.secret"


def failure(read, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(SourceReadError) as caught:
        read()
    error = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    assert SECRET not in "".join(traceback.format_exception(error)) + caplog.text
    return str(error)


@pytest.mark.parametrize("bad_row", [0, 1, 9_999, 10_000, 25_000])
def test_sqlite_text_that_is_not_utf_8_names_its_column_and_rows(caplog, bad_row):
    hexed = SECRET.encode().hex() + "ff"
    sql = f"""
        WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 30000)
        SELECT n AS id, CASE n WHEN {bad_row} THEN CAST(x'{hexed}' AS TEXT) ELSE 'x' END AS name FROM numbers
    """
    message = failure(lambda: list(read_sql(Hook(sqlite3.connect(":memory:")), sql, None).record_batches()), caplog)
    assert "sqlite3.OperationalError" in message
    if bad_row >= 10_000:
        assert f"at row {bad_row // 10_000 * 10_000:,} (counted from 0)" in message
        assert "column 'name'" in message


def test_the_driver_s_message_is_logged_at_debug(caplog):
    caplog.set_level(logging.DEBUG, logger="airflow_provider_adobe_target")
    sql = "SELECT v FROM nowhere"
    with pytest.raises(SourceReadError, match=r"to run the statement: sqlite3.OperationalError \(SQLITE_ERROR\)"):
        list(read_sql(Hook(sqlite3.connect(":memory:")), sql, None).record_batches())
    assert "no such table: nowhere" in caplog.text


CASTS = "SELECT i AS id, CAST(CASE i WHEN {row} THEN '{text}' ELSE '1' END AS INTEGER) AS v FROM range({rows}) AS t (i)"


@pytest.mark.parametrize("row", [0, 60_000])
@pytest.mark.parametrize("parameters", [None, []])
def test_duckdb_names_no_value(caplog, row, parameters):
    duckdb = pytest.importorskip("duckdb")
    sql = CASTS.format(row=row, text=SECRET, rows=row + 1)
    message = failure(lambda: list(read_sql(Hook(duckdb.connect()), sql, parameters).record_batches()), caplog)
    assert "failed" in message


def test_a_duckdb_relation_as_data_names_no_value(caplog):
    duckdb = pytest.importorskip("duckdb")
    with closing(duckdb.connect()) as connection:
        relation = connection.sql(CASTS.format(row=60_000, text=SECRET, rows=60_001))
        failure(lambda: list(read_data(relation).record_batches()), caplog)
