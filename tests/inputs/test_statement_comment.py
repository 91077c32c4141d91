from __future__ import annotations

import json
import re
import sqlite3
from types import SimpleNamespace

import pytest

from airflow_provider_adobe_target.inputs import row_source
from airflow_provider_adobe_target.inputs.row_source import RowSource
from airflow_provider_adobe_target.inputs.statement_comment import tag_statements, with_comment
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


HOSTILE = ["x */ DROP TABLE t; --", "a\nb", "{{ 7*7 }}", "'", '"', "Zürich" * 40]


def bigquery_hook(**attributes):
    return SimpleNamespace(**{"conn_type": "gcpbigquery", "labels": {}, "api_resource_configs": {}, **attributes})


def snowflake_hook(extra=None, **attributes):
    """Return the parts of Airflow's hook that hold the session's parameters."""
    connection = SimpleNamespace(extra_dejson=extra or {})
    return SimpleNamespace(
        **{
            "conn_type": "snowflake",
            "conn_name_attr": "snowflake_conn_id",
            "snowflake_conn_id": "warehouse",
            "session_parameters": None,
            "get_connection": {"warehouse": connection}.get,
            **attributes,
        }
    )


def test_bigquery_jobs_have_labels(in_a_task):
    hook = bigquery_hook(labels={"team": "crm", "airflow-task": "mine"})
    tag_statements(hook)
    assert hook.labels == {
        "airflow-dag": "loyalty",
        "airflow-task": "mine",
        "airflow-run": "scheduled__2026-01-01t00_00_00_00_00",
        "team": "crm",
    }


@pytest.mark.parametrize("run_id", HOSTILE)
def test_a_label_has_the_characters_and_the_length_that_bigquery_accepts(in_a_task, monkeypatch, run_id):
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", run_id)
    hook = bigquery_hook()
    tag_statements(hook)
    assert re.fullmatch("[a-z0-9_-]{1,63}", hook.labels["airflow-run"])


def test_labels_of_the_job_configuration_are_not_contradicted(in_a_task):
    hook = bigquery_hook(api_resource_configs={"labels": {"team": "crm"}})
    tag_statements(hook)
    assert hook.labels == {}


@pytest.mark.parametrize("extra", [{}, {"session_parameters": {"TIMEZONE": "UTC"}}])
def test_snowflake_sessions_have_a_query_tag(in_a_task, extra):
    hook = snowflake_hook(extra)
    tag_statements(hook)
    tag = json.loads(hook.session_parameters.pop("QUERY_TAG"))
    assert tag == {"dag_id": "loyalty", "task_id": "group.upload", "run_id": RUN}
    assert hook.session_parameters == extra.get("session_parameters", {})


def test_a_query_tag_of_the_connection_is_kept(in_a_task):
    hook = snowflake_hook({"session_parameters": {"query_tag": "crm"}})
    tag_statements(hook)
    assert hook.session_parameters is None


@pytest.mark.parametrize("run_id", HOSTILE)
def test_a_query_tag_has_plain_characters(in_a_task, monkeypatch, run_id):
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", run_id)
    hook = snowflake_hook()
    tag_statements(hook)
    assert re.fullmatch("[A-Za-z0-9_.:+-]+", json.loads(hook.session_parameters["QUERY_TAG"])["run_id"])


def test_the_configuration_switches_labels_and_tag_off(in_a_task, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ADOBE_TARGET__SQL_COMMENT", "False")
    hooks = bigquery_hook(), snowflake_hook()
    for hook in hooks:
        tag_statements(hook)
    assert (hooks[0].labels, hooks[1].session_parameters) == ({}, None)
