"""Rows of Snowflake, through Airflow's hook and Snowflake's connector, from an emulator that answers it over HTTP.

The emulator shows types, names and the Arrow format. It does not show the size of real result chunks, authentication,
the types ARRAY and OBJECT, nor the query tag in the query history: the test shows what the connector is given.
"""

from __future__ import annotations

import json
from functools import partial

import pytest

fakesnow = pytest.importorskip("fakesnow")
pytest.importorskip("airflow.providers.snowflake.hooks.snowflake")

from airflow_provider_adobe_target.inputs import row_source  # noqa: E402
from airflow_provider_adobe_target.inputs.database import database_hook, read_sql  # noqa: E402
from support.pipeline import run_pipeline  # noqa: E402
from support.warehouses import profile, statement, texts  # noqa: E402


@pytest.fixture(scope="module")
def server():
    with fakesnow.server() as address:
        yield address


@pytest.fixture
def hook(server, monkeypatch):
    import snowflake.connector

    place = {name: server[name] for name in ("host", "port", "protocol", "network_timeout", "session_parameters")}
    monkeypatch.setattr(snowflake.connector, "connect", partial(_connect, snowflake.connector.connect, place))
    extra = {"account": "fakesnow", "database": "db"}
    fields = {"conn_type": "snowflake", "login": "fake", "password": "snow", "schema": "s", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(fields))
    return database_hook("warehouse")


def _connect(connect, place, **given):
    return connect(
        **{
            **given,
            **place,
            "session_parameters": {**(given["session_parameters"] or {}), **place["session_parameters"]},
        }
    )


def test_every_type_has_the_text_of_the_table(hook):
    outcome = run_pipeline(read_sql(hook, statement("snowflake"), None), attribute_case="lower")
    assert outcome.reasons == {}
    assert profile(outcome) == texts("snowflake")


def test_unquoted_names_are_upper_case_and_the_id_column_is_found(hook):
    sql = "SELECT 'U1' AS third_party_id, 'gold' AS tier"
    assert profile(run_pipeline(read_sql(hook, sql, None))) == {"TIER": "gold"}


def test_rows_come_as_arrow(hook, monkeypatch):
    from snowflake.connector.cursor import SnowflakeCursor

    monkeypatch.setattr(SnowflakeCursor, "fetchmany", None)
    rows = "FROM TABLE(GENERATOR(ROWCOUNT => 25000))"
    outcome = run_pipeline(read_sql(hook, f"SELECT 'U' || SEQ4() AS third_party_id, SEQ4() AS v {rows}", None))
    assert outcome.sent == 25_000


def test_parameters_go_to_the_driver(hook):
    assert run_pipeline(read_sql(hook, "SELECT %s AS third_party_id, '100%%' AS share", ["Q'1"])).lines == [
        "Q%271,100%25"
    ]


def test_a_column_of_bytes_is_refused_by_name(hook):
    with pytest.raises(Exception, match="'V' is of type binary.*CAST"):
        run_pipeline(read_sql(hook, "SELECT 'U1' AS third_party_id, TO_BINARY('00ff', 'HEX') AS v", None))


def test_an_error_names_its_class_and_no_value(hook, caplog):
    with pytest.raises(Exception, match=r"snowflake\.\w*Error") as caught:
        run_pipeline(read_sql(hook, "SELECT 'U1' AS third_party_id, 'sec' || 'ret'::INT AS v", None))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("dag_id", ["loyalty", "x' */ ; DROP\nTABLE t -- \""])
def test_the_session_has_a_query_tag(hook, monkeypatch, dag_id):
    import snowflake.connector

    for name, value in {"DAG_ID": dag_id, "TASK_ID": "upload", "DAG_RUN_ID": "manual__1"}.items():
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
    monkeypatch.setattr(row_source, "database_hook", lambda conn_id: hook)
    connect, sessions = snowflake.connector.connect, []
    monkeypatch.setattr(
        snowflake.connector,
        "connect",
        lambda **given: sessions.append(given["session_parameters"]) or connect(**given),
    )
    rows = row_source.RowSource(sql="SELECT 'U1' AS third_party_id, 1 AS v", sql_conn_id="warehouse").read()
    assert run_pipeline(rows).lines == ["U1,1"]
    [session] = sessions
    tag = json.loads(session["QUERY_TAG"])
    assert (tag["task_id"], tag["run_id"]) == ("upload", "manual__1")
    assert tag["dag_id"][:1] == dag_id[:1]
    assert not set("'*/\n;\\") & set(session["QUERY_TAG"])
