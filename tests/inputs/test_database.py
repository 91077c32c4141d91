"""Cursors that hand out Arrow: DuckDB's own, and stand-ins for those of services that cannot be had here."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.inputs.database import _streaming_cursor, read_sql
from support.database import Hook
from support.pipeline import run_pipeline

TYPES = """
    SELECT 'U' || i AS "thirdPartyId", i AS whole, 12.340::DECIMAL(10, 3) AS amount, 0.1::DOUBLE AS ratio,
           170141183460469231731687303715884105727::HUGEINT AS huge, true AS flag,
           DATE '2026-01-31' AS day, TIMESTAMP '2026-01-31 23:59:59.12' AS moment, TIME '10:00:00.5' AS clock,
           'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID AS reference, MAP {'city': 'Zürich'} AS home,
           {'lat': 47.5, 'name': 'x'} AS geo, ['a', NULL, 'b'] AS tags, 'b'::ENUM ('a', 'b') AS choice,
           CASE WHEN i % 2 = 0 THEN 'even' END AS sometimes
    FROM range(5) AS numbers (i) ORDER BY i
"""


class RowsOnly:
    """A connection whose cursors hand out rows, and no Arrow."""

    def __init__(self, connection):
        self._connection = connection

    def cursor(self):
        return RowsOnly(self._connection.cursor())

    def execute(self, *arguments):
        self._connection.execute(*arguments)

    def fetchmany(self, size):
        return self._connection.fetchmany(size)

    @property
    def description(self):
        return self._connection.description

    def close(self):
        self._connection.close()


class ArrowOnly:
    """A connection whose cursor hands out Arrow under one service's names, and no rows."""

    def __init__(self, **methods):
        self.__dict__.update(methods)
        self.closed = 0

    def cursor(self):
        return self

    def execute(self, sql, parameters=None):
        pass

    def close(self):
        self.closed += 1


@pytest.fixture
def duckdb():
    return pytest.importorskip("duckdb")


def pipeline_counts_of_sql(connection, sql, parameters=None, **rules):
    return run_pipeline(read_sql(Hook(connection), sql, parameters), **rules)


def test_duckdb_s_arrow_is_the_same_text_as_its_rows(duckdb):
    arrow = pipeline_counts_of_sql(duckdb.connect(), TYPES)
    assert arrow.bodies == pipeline_counts_of_sql(RowsOnly(duckdb.connect()), TYPES).bodies
    assert arrow.sent == 5


def test_floats_of_32_bits_are_shortest_for_their_width(duckdb):
    assert pipeline_counts_of_sql(duckdb.connect(), """SELECT 'U1' AS "thirdPartyId", 0.1::FLOAT AS v""").lines == [
        "U1,0.1"
    ]


def test_duckdb_takes_parameters(duckdb):
    sql = """SELECT 'U1' AS "thirdPartyId", ? AS v"""
    assert pipeline_counts_of_sql(duckdb.connect(), sql, ["x"]).lines == ["U1,x"]


def test_columns_of_one_name_are_refused_in_arrow_too(duckdb):
    with pytest.raises(ProfileDataError, match="2 columns named 'v'"):
        pipeline_counts_of_sql(duckdb.connect(), """SELECT 'U1' AS "thirdPartyId", 1 AS v, 2 AS v""")


def test_only_requested_columns_are_sent(duckdb):
    assert pipeline_counts_of_sql(duckdb.connect(), TYPES, attributes=["whole"]).lines[0] == "U0,0"


PARTS = [pa.table({"thirdPartyId": ["U1", "U2"], "v": [1, 2]}), pa.table({"thirdPartyId": ["U3"], "v": [3]})]


def tables_of(parts):
    left = [*parts, parts[0].slice(0, 0)]
    return lambda size: left.pop(0)


@pytest.mark.parametrize(
    "methods",
    [
        {"fetch_arrow_batches": lambda: iter(PARTS)},  # Snowflake
        {"fetchmany_arrow": tables_of(PARTS)},  # Databricks
        {"fetch_record_batch": lambda: pa.concat_tables(PARTS).to_reader()},  # ADBC
    ],
    ids=lambda methods: next(iter(methods)),
)
def test_a_cursor_with_arrow_is_read_as_arrow_and_closed(methods):
    connection = ArrowOnly(**methods)
    assert pipeline_counts_of_sql(connection, "SELECT").lines == ["U1,1", "U2,2", "U3,3"]
    assert connection.closed == 2  # the cursor and the connection, here one


class BigQueryJob:
    """A finished job."""

    def result(self):
        return self

    def to_arrow_iterable(self):
        amounts = pa.array([Decimal("12.5"), Decimal("100"), None], pa.decimal128(38, 9))
        moments = pa.array([0, None, 1_500_000], pa.timestamp("us", "UTC"))
        table = pa.table({"thirdPartyId": ["U1", "U2", "U3"], "amount": amounts, "moment": moments})
        return iter(table.to_batches(max_chunksize=2))


class BigQueryHook:
    """What of Airflow's hook a cursor of its own leads to."""

    def get_client(self, project_id, location):
        assert (project_id, location) == ("shop", "EU")
        return SimpleNamespace(get_job={"job_1": BigQueryJob()}.get)


@pytest.mark.parametrize(
    "methods",
    [
        {"query_job": BigQueryJob()},  # Google's cursor
        {"hook": BigQueryHook(), "project_id": "shop", "location": "EU", "job_id": "job_1"},  # Airflow's
    ],
    ids=["Google", "Airflow"],
)
def test_the_result_of_a_bigquery_job_is_read_as_arrow(methods):
    assert pipeline_counts_of_sql(ArrowOnly(**methods), "SELECT").lines == [
        "U1,12.5,1970-01-01T00%3A00%3A00Z",
        "U2,100,",
        "U3,,1970-01-01T00%3A00%3A01.5Z",
    ]


def test_whole_numbers_of_a_bigquery_numeric_are_good_ids():
    table = pa.table({"pcId": pa.array([Decimal("100"), Decimal("7")], pa.decimal128(38, 9)), "v": ["a", "b"]})
    job = SimpleNamespace(result=lambda: SimpleNamespace(to_arrow_iterable=table.to_batches))
    assert pipeline_counts_of_sql(ArrowOnly(query_job=job), "SELECT").lines == ["100,a", "7,b"]


def test_an_empty_result_is_no_rows():
    assert pipeline_counts_of_sql(ArrowOnly(fetch_arrow_batches=lambda: iter([])), "SELECT").read == 0


def test_large_batches_are_cut():
    table = pa.table({"thirdPartyId": [f"U{number}" for number in range(100_000)], "v": range(100_000)})
    rows = read_sql(Hook(ArrowOnly(fetch_arrow_batches=lambda: iter([table]))), "SELECT", None)
    assert max(batch.num_rows for batch in rows.record_batches()) <= 16_384


def test_pymysql_uses_a_streaming_cursor():
    pymysql = pytest.importorskip("pymysql")
    cursor = _streaming_cursor(pymysql.connect(defer_connect=True))
    assert isinstance(cursor, pymysql.cursors.SSCursor)
