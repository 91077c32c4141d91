from __future__ import annotations

import sqlite3

import pytest

from airflow_provider_adobe_target.inputs import row_source
from airflow_provider_adobe_target.inputs.row_source import RowSource
from airflow_provider_adobe_target.inputs.statement_comment import with_comment
from support.database import Hook

SQL = "SELECT 'U1' AS thirdPartyId, 1 AS v"
RUN = "scheduled__2026-01-01T00:00:00+00:00"


@pytest.fixture
def in_a_task(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "loyalty")
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "group.upload")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", RUN)


@pytest.fixture
def statements(monkeypatch):
    """Return the statements that the database receives."""
    received = []
    connection = sqlite3.connect(":memory:")
    connection.set_trace_callback(received.append)
    monkeypatch.setattr(row_source, "database_hook", lambda conn_id: Hook(connection))
    return received


def test_the_database_receives_dag_task_and_run(in_a_task, statements):
    [batch] = RowSource(sql=SQL, sql_conn_id="warehouse").read().record_batches()
    assert batch.num_rows == 1
    assert statements == [f"/* airflow dag_id=loyalty task_id=group.upload run_id={RUN} */ {SQL}"]


def test_parameters_are_found_after_the_comment(in_a_task, statements):
    sql = "SELECT 'U1' AS thirdPartyId, ? AS v"
    [batch] = RowSource(sql=sql, sql_conn_id="warehouse", parameters=["x"]).read().record_batches()
    assert batch.num_rows == 1


def test_outside_of_a_task_the_statement_is_unchanged(monkeypatch, statements):
    for name in ("DAG_ID", "TASK_ID", "DAG_RUN_ID"):
        monkeypatch.delenv(f"AIRFLOW_CTX_{name}", raising=False)
    list(RowSource(sql=SQL, sql_conn_id="warehouse").read().record_batches())
    assert statements == [SQL]


def test_airflow_s_configuration_switches_it_off(in_a_task, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ADOBE_TARGET__SQL_COMMENT", "False")
    assert with_comment(SQL) == SQL


@pytest.mark.parametrize("run_id", ["x */ DROP TABLE t; --", "100%s", "a\nb", "{{ 7*7 }}", "?", "'"])
def test_a_run_id_cannot_end_the_comment_or_be_a_placeholder(in_a_task, monkeypatch, run_id):
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", run_id)
    comment = with_comment(SQL).removesuffix(SQL)
    assert comment.startswith("/* ")
    assert comment.endswith(" */ ")
    assert not set("*/%?'\n{;") & set(comment[3:-4])
