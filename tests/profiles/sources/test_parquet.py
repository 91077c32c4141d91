"""Rows of Parquet files."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.profiles.sources.files import read_files
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_BYTES, MAX_ROWS
from support.files import error_of, records_of


def test_parquet_rows_come_in_order_of_files_and_row_groups(write_parquet):
    first = write_parquet("b.parquet", pa.table({"n": range(1_000)}), row_group_size=100)
    second = write_parquet("a.parquet", pa.table({"n": range(1_000, 1_500)}))
    assert [record["n"] for record in records_of(read_files([first, second]))] == list(range(1_500))


def test_a_long_row_group_comes_in_batches_of_limited_rows(write_parquet):
    path = write_parquet("a.parquet", pa.table({"n": range(100_000)}), row_group_size=100_000)
    assert [batch.num_rows for batch in read_files([path]).record_batches()] == [MAX_ROWS] * 6 + [1_696]


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_wide_parquet_rows_come_in_batches_of_limited_bytes(write_parquet, use_dictionary):
    table = pa.table({"wide": ["x" * 64_000] * 2_000})
    path = write_parquet("a.parquet", table, use_dictionary=use_dictionary)
    rows = [batch.num_rows for batch in read_files([path]).record_batches()]
    assert sum(rows) == 2_000
    assert max(rows) * 64_000 <= MAX_BYTES


def test_only_requested_parquet_columns_are_read(write_parquet):
    table = pa.table({"a": [1], "a.b": [2], "s": [{"x": 3}], "c": [4]})
    rows = read_files([write_parquet("a.parquet", table)])
    assert records_of(rows, ["s", "a"]) == [{"a": 1, "s": {"x": 3}}]
    assert records_of(rows, ["a.b"]) == [{"a.b": 2}]
    assert [batch.num_rows for batch in rows.record_batches([])] == [1]


def test_parquet_types_are_kept(write_parquet):
    table = pa.table(
        {
            "d": pa.array(["x", None]).dictionary_encode(),
            "t": pa.array([1, None], pa.timestamp("ns", "Europe/Zurich")),
            "l": [[1], None],
        }
    )
    (batch,) = read_files([write_parquet("a.parquet", table)]).record_batches()
    assert batch.schema.types == table.schema.types
    assert batch.to_pydict() == table.to_pydict()


def test_a_parquet_file_without_rows_has_none(write_parquet):
    rows = read_files([write_parquet("a.parquet", pa.table({"a": pa.array([], pa.int64())}))])
    assert rows.schema.names == ["a"]
    assert records_of(rows) == []


@pytest.mark.parametrize("damage", [lambda data: b"no parquet", lambda data: data[:-20], lambda data: b""])
def test_a_broken_parquet_file_is_named(write, write_parquet, damage):
    data = write_parquet("good.parquet", pa.table({"a": [1]})).read_bytes()
    path = write("broken.parquet", damage(data))
    assert error_of(path).startswith(f"The file is damaged, truncated, or not in the format of its suffix: {path}")


def test_damaged_parquet_pages_are_named(write, write_parquet):
    data = bytearray(write_parquet("good.parquet", pa.table({"a": ["x" * 100] * 100})).read_bytes())
    data[4:60] = b"\xff" * 56
    path = write("broken.parquet", bytes(data))
    assert str(path) in error_of(path)


def test_parquet_columns_of_one_name_are_refused(write_parquet):
    path = write_parquet("a.parquet", pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]))
    assert error_of(path).startswith(f"Duplicate column: {path} has 2 columns named 'a'")
