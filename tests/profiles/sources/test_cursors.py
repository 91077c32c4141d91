from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError, SourceReadError
from airflow_provider_adobe_target.profiles.sources.cursors import read_cursor
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_BYTES, MAX_ROWS
from support.pipeline import cursor_source, run_pipeline


class Opener:
    """Opens a cursor of SQLite that ran a statement, and remembers that it was closed."""

    def __init__(self, statement, row_factory=None, wrap=lambda cursor: cursor):
        self._statement = statement
        self._row_factory = row_factory
        self._wrap = wrap
        self.closed = 0

    @contextmanager
    def __call__(self):
        with closing(sqlite3.connect(":memory:")) as connection, closing(connection.cursor()) as cursor:
            cursor.row_factory = self._row_factory
            cursor.execute(self._statement)
            try:
                yield self._wrap(cursor)
            finally:
                self.closed += 1


class DescribedLate:
    """A named cursor of psycopg2 has no description until it was fetched from."""

    def __init__(self, cursor):
        self._cursor = cursor
        self.description = None

    def fetchmany(self, size):
        rows = self._cursor.fetchmany(size)
        self.description = self._cursor.description
        return rows


def numbers(count):
    series = f"WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < {count - 1})"
    return f"{series} SELECT n, 'text ' || n AS t FROM c"


def as_dict(cursor, row):
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def records_of(rows, columns=None):
    return [record for batch in rows.record_batches(columns) for record in batch.to_pylist()]


@pytest.mark.parametrize("row_factory", [None, sqlite3.Row, as_dict])
@pytest.mark.parametrize("wrap", [lambda cursor: cursor, DescribedLate])
def test_all_rows_come_in_order(row_factory, wrap):
    opener = Opener(numbers(2_500), row_factory, wrap)
    rows = read_cursor(opener, fetch_size=1_000)
    assert rows.schema is None
    assert records_of(rows) == [{"n": number, "t": f"text {number}"} for number in range(2_500)]
    assert opener.closed == 1


def test_only_requested_columns_are_converted():
    assert records_of(read_cursor(Opener("SELECT 1 AS a, 2 AS b, 3 AS c")), ["c", "a", "x"]) == [{"a": 1, "c": 3}]


def test_no_rows_are_no_batches():
    opener = Opener("SELECT 1 AS a WHERE 0", wrap=DescribedLate)
    assert records_of(read_cursor(opener)) == []
    assert opener.closed == 1


def test_a_large_fetch_is_cut_by_rows():
    batches = list(read_cursor(Opener(numbers(MAX_ROWS + 500)), fetch_size=10**6).record_batches())
    assert max(batch.num_rows for batch in batches) <= MAX_ROWS
    assert sum(batch.num_rows for batch in batches) == MAX_ROWS + 500


def test_wide_rows_are_cut_by_bytes():
    statement = numbers(2_000).replace("'text ' || n", "printf('%064000d', n)")
    count = 0
    for batch in read_cursor(Opener(statement)).record_batches(["t"]):
        assert batch.num_rows * 64_000 <= MAX_BYTES
        count += batch.num_rows
    assert count == 2_000


def test_columns_of_one_name_are_refused_and_the_cursor_closed():
    opener = Opener("SELECT 1 AS a, 2 AS a")
    with pytest.raises(ProfileDataError, match="2 columns named 'a'"):
        records_of(read_cursor(opener))
    assert opener.closed == 1


def test_a_statement_without_a_result_is_refused():
    opener = Opener("CREATE TABLE t (a)")
    with pytest.raises(ProfileDataError, match="no result"):
        records_of(read_cursor(opener))
    assert opener.closed == 1


def test_the_cursor_is_closed_when_the_reader_stops_early():
    opener = Opener(numbers(5_000))
    batches = read_cursor(opener, fetch_size=100).record_batches()
    next(batches)
    batches.close()
    assert opener.closed == 1


def test_a_failed_fetch_closes_the_cursor_and_wraps_the_error():
    opener = Opener("SELECT 1 AS a UNION ALL SELECT abs(-9223372036854775808)")
    with pytest.raises(SourceReadError, match=r"at row 0 \(counted from 0\).*sqlite3.OperationalError"):
        records_of(read_cursor(opener, fetch_size=1))
    assert opener.closed == 1


def test_a_result_is_read_only_once():
    rows = read_cursor(Opener("SELECT 1 AS a"))
    records_of(rows)
    with pytest.raises(ProfileDataError, match="only once"):
        rows.record_batches()


@pytest.mark.parametrize("texts_at", [{0}, {5}, {9}, set(range(5))])
@pytest.mark.parametrize("fetch_size", [1, 3, 10])
def test_dicts_and_plain_values_in_one_column_are_refused(texts_at, fetch_size):
    rows = [(n, {"a": {"b": n}} if n not in texts_at else "text") for n in range(10)]
    with pytest.raises(ProfileDataError, match="'v' has nested fields in some rows"):
        list(cursor_source(["id", "v"], rows, [fetch_size]).record_batches())
    rows = [(n, {"a": {"b": n} if n not in texts_at else "text"}) for n in range(10)]
    with pytest.raises(ProfileDataError, match="'v.a' has nested fields in some rows"):
        list(cursor_source(["id", "v"], rows, [fetch_size]).record_batches())


@pytest.mark.parametrize("cuts", [[1], [2], [3]])
def test_an_empty_dict_is_null_among_texts_in_every_fetch(cuts):
    rows = [("U1", "a", 1), ("U2", {}, 1), ("U3", {}, 1), ("U4", "b", 1)]
    outcome = run_pipeline(cursor_source(["thirdPartyId", "v", "w"], rows, cuts))
    assert outcome.lines == ["U1,a,1", "U2,,1", "U3,,1", "U4,b,1"]


@pytest.mark.parametrize("value", [b"x", memoryview(b"x"), timedelta(1)])
def test_a_column_without_text_form_is_refused_unless_left_out(value):
    rows = [("U1", None, 1), ("U2", value, 1)]
    for cuts in ([1], [2]):
        with pytest.raises(ProfileDataError, match="'v' is of type .*no text form"):
            run_pipeline(cursor_source(["thirdPartyId", "v", "w"], rows, cuts))
        assert run_pipeline(cursor_source(["thirdPartyId", "v", "w"], rows, cuts), attributes=["w"]).sent == 2
