from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_BYTES, MAX_ROWS

RECORDS = [{"id": "a", "n": 1}, {"id": "b", "n": None}, {"id": "c", "n": 3}]


class Stream:
    """Nothing but the protocol, as DuckDB's relations and ADBC's results have it."""

    def __init__(self, table):
        self._table = table
        self.opened = 0

    def __arrow_c_stream__(self, requested_schema=None):
        self.opened += 1
        return self._table.__arrow_c_stream__(requested_schema)


SOURCES = {
    "pandas": lambda records: pd.DataFrame(records).convert_dtypes(),
    "pandas objects": lambda records: pd.DataFrame(records, dtype=object),
    "polars": pl.DataFrame,
    "polars lazy": lambda records: pl.DataFrame(records).lazy(),
    "table": pa.Table.from_pylist,
    "batch": pa.RecordBatch.from_pylist,
    "reader": lambda records: pa.Table.from_pylist(records).to_reader(),
    "stream": lambda records: Stream(pa.Table.from_pylist(records)),
    "records": lambda records: records,
}


def records_of(rows, columns=None):
    return [record for batch in rows.record_batches(columns) for record in batch.to_pylist()]


@pytest.fixture(params=SOURCES)
def make(request):
    return SOURCES[request.param]


def test_every_source_returns_the_same_rows_in_order(make):
    rows = read_data(make(RECORDS))
    assert rows.schema.names == ["id", "n"]
    assert records_of(rows) == RECORDS


def test_every_source_reads_only_the_requested_columns_in_order(make):
    rows = read_data(make([{"a": 1, "b": 2, "c": 3}]))
    assert records_of(rows, ["c", "a", "unknown"]) == [{"a": 1, "c": 3}]


def test_every_source_counts_rows_if_no_column_is_requested(make):
    assert sum(batch.num_rows for batch in read_data(make(RECORDS)).record_batches([])) == 3


def test_every_source_keeps_to_the_limit_of_rows(make):
    count = MAX_ROWS + 10
    batches = list(read_data(make([{"n": number} for number in range(count)])).record_batches())
    assert max(batch.num_rows for batch in batches) <= MAX_ROWS
    assert pa.Table.from_batches(batches)["n"].to_pylist() == list(range(count))


def test_every_source_keeps_to_the_limit_of_bytes(make):
    wide = "x" * 64_000
    rows = read_data(make([{"id": number, "wide": wide} for number in range(2_000)]))
    found = []
    for batch in rows.record_batches():
        assert batch.num_rows * len(wide) <= MAX_BYTES
        assert set(batch["wide"].to_pylist()) == {wide}
        found += batch["id"].to_pylist()
    assert found == list(range(2_000))


def test_every_source_without_rows_returns_none(make):
    data = make([{"id": "a"}])[:0] if make in (SOURCES["pandas"], SOURCES["polars"]) else make([])
    assert records_of(read_data(data)) == []


def test_every_source_has_all_nested_fields_in_its_schema(make):
    rows = read_data(make([{"s": {"x": 1, "y": {"z": 2}}}]))
    struct = rows.schema.field("s").type
    assert [field.name for field in struct] == ["x", "y"]
    assert [field.name for field in struct.field("y").type] == ["z"]
    assert records_of(rows) == [{"s": {"x": 1, "y": {"z": 2}}}]


@pytest.mark.parametrize("name", sorted(SOURCES.keys() - {"reader"}))
def test_what_is_held_in_memory_can_be_read_again(name):
    rows = read_data(SOURCES[name](RECORDS))
    assert records_of(rows) == records_of(rows) == RECORDS


def test_a_reader_that_was_read_is_refused():
    rows = read_data(pa.Table.from_pylist(RECORDS).to_reader())
    records_of(rows)
    with pytest.raises(ProfileDataError, match="only once"):
        rows.record_batches()


def test_a_stream_is_opened_once_to_be_read_once():
    stream = Stream(pa.Table.from_pylist(RECORDS))
    rows = read_data(stream)
    assert rows.schema.names == ["id", "n"]
    records_of(rows)
    assert stream.opened == 1


@pytest.mark.parametrize(
    ("series", "kind", "values"),
    [
        (pd.Series([1.5, np.nan]), pa.float64(), [1.5, None]),
        (pd.Series([1, None], dtype="Int64"), pa.int64(), [1, None]),
        (pd.Series([2**63, 1], dtype="uint64"), pa.uint64(), [2**63, 1]),
        (pd.Series([True, None], dtype="boolean"), pa.bool_(), [True, None]),
        (pd.Series([1, None], dtype=pd.ArrowDtype(pa.int8())), pa.int8(), [1, None]),
        (
            pd.Series([decimal.Decimal("1.20"), None], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
            pa.decimal128(5, 2),
            [decimal.Decimal("1.20"), None],
        ),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_pandas_types_are_kept(series, kind, values):
    rows = read_data(pd.DataFrame({"a": series}))
    assert rows.schema.field("a").type == kind
    (batch,) = rows.record_batches()
    assert batch["a"].type == kind
    assert batch["a"].to_pylist() == values


def test_pandas_times_keep_their_zone_and_nanoseconds():
    times = pd.Series(pd.to_datetime(["2026-01-31T23:59:59.123456789", None])).dt.tz_localize("Europe/Zurich")
    (batch,) = read_data(pd.DataFrame({"t": times})).record_batches()
    assert batch["t"].type == pa.timestamp("ns", "Europe/Zurich")
    assert batch["t"].cast(pa.int64()).to_pylist() == [1769900399123456789, None]


@pytest.mark.parametrize("dtype", ["string", "str", object, "category"])
def test_pandas_texts_keep_their_nulls(dtype):
    (batch,) = read_data(pd.DataFrame({"a": pd.Series(["x", None, ""], dtype=dtype)})).record_batches()
    assert batch["a"].to_pylist() == ["x", None, ""]


def test_pandas_columns_unknown_to_arrow_are_read_as_objects():
    frame = pd.DataFrame({"sparse": pd.arrays.SparseArray([0, 0, 1])})
    assert records_of(read_data(frame)) == [{"sparse": 0}, {"sparse": 0}, {"sparse": 1}]


def test_the_index_of_pandas_is_no_column():
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="id"))
    assert read_data(frame).schema.names == ["a"]


def test_pandas_columns_of_dicts_have_one_schema_in_all_batches():
    values = [{"x": 1}] * 300 + [None] * 300 + [{"y": 2}] * 300
    for batch in read_data(pd.DataFrame({"s": pd.Series(values, dtype=object)})).record_batches():
        assert [field.name for field in batch["s"].type] == ["x", "y"]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "2 columns named 'a'"),
        (pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])), "MultiIndex"),
    ],
)
def test_pandas_column_names_have_to_be_unique_text(frame, words):
    with pytest.raises(ProfileDataError, match=words):
        read_data(frame)


def test_an_arrow_table_with_two_columns_of_one_name_is_refused():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(ProfileDataError, match="2 columns named 'a'"):
        read_data(table)
    with pytest.raises(ProfileDataError, match="2 columns named 'a'"):
        read_data(table.to_reader())


def test_a_struct_with_two_fields_of_one_name_is_refused():
    struct = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(ProfileDataError, match="in column 's', has 2 columns named 'x'"):
        read_data(pa.table({"s": struct}))


def test_polars_types_are_kept():
    frame = pl.DataFrame(
        {
            "category": pl.Series(["a", None], dtype=pl.Categorical),
            "enum": pl.Series(["a", None], dtype=pl.Enum(["a"])),
            "struct": [{"x": 1}, None],
            "list": [[1, 2], None],
            "decimal": pl.Series([decimal.Decimal("1.20"), None], dtype=pl.Decimal(10, 2)),
            "time": pl.Series([datetime.datetime(2026, 1, 31), None], dtype=pl.Datetime("ns", "Europe/Zurich")),
        }
    )
    (batch,) = read_data(frame).record_batches()
    kinds = dict(zip(batch.schema.names, batch.schema.types, strict=True))
    assert pa.types.is_dictionary(kinds["category"])
    assert pa.types.is_dictionary(kinds["enum"])
    assert pa.types.is_struct(kinds["struct"])
    assert pa.types.is_decimal(kinds["decimal"])
    assert kinds["time"] == pa.timestamp("ns", "Europe/Zurich")
    assert batch["list"].to_pylist() == [[1, 2], None]
    assert batch["category"].to_pylist() == ["a", None]


def test_polars_objects_are_read_one_by_one():
    frame = pl.DataFrame({"o": pl.Series(["x", "y", None], dtype=pl.Object), "n": [1, 2, 3]})
    assert records_of(read_data(frame)) == [{"o": "x", "n": 1}, {"o": "y", "n": 2}, {"o": None, "n": 3}]


def test_records_have_the_keys_of_all_in_order_of_first_appearance():
    rows = read_data([{"b": 1}, {"a": 2, "b": 3}, {}])
    assert rows.schema.names == ["b", "a"]
    assert records_of(rows) == [{"b": 1, "a": None}, {"b": 3, "a": 2}, {"b": None, "a": None}]


def test_nested_records_have_one_schema_in_all_batches():
    records = [{"s": {"x": 1}}] * 300 + [{}] * 300 + [{"s": {"y": {"z": 1}, "x": "text"}}] * 300
    rows = read_data(records)
    batches = list(rows.record_batches())
    assert len(batches) > 1
    for batch in batches:
        assert [field.name for field in batch["s"].type] == ["x", "y"]
        assert [field.name for field in batch["s"].type.field("y").type] == ["z"]


def test_an_empty_dict_in_a_record_is_null():
    rows = read_data([{"id": "a", "s": {}}])
    assert rows.schema.field("s").type == pa.null()
    assert records_of(rows) == [{"id": "a", "s": None}]


def test_records_without_any_key_are_still_rows():
    assert sum(batch.num_rows for batch in read_data([{}, {}]).record_batches()) == 2


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_column_of_dicts_with_other_keys_than_text_is_named(frame):
    series = pd.Series if frame is pd.DataFrame else pl.Series
    column = series([{1: 2}], dtype=object if frame is pd.DataFrame else pl.Object)
    with pytest.raises(ProfileDataError, match="Column 's': A key is int, not text"):
        read_data(frame({"s": column})).schema  # noqa: B018


def test_a_column_that_is_nested_in_some_batches_only_is_refused():
    records = [{"s": {"x": 1}}] * 256 + [{"s": "plain-value"}]
    with pytest.raises(ProfileDataError, match="'s' has nested fields in some rows") as caught:
        records_of(read_data(records))
    assert "plain-value" not in str(caught.value)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([{"a": 1}, "secret"], "Item 1 of the list .* is str, not a dict"),
        ([{"a": 1}, None], "Item 1 of the list .* is NoneType"),
        ([{"a": 1}, {"a": {2: 3}}], "Item 1 .*int, not text"),
        ([{"a": {None: 3}}], "Item 0 .*NoneType, not text"),
        ([{"\ud800": 3}], "surrogate"),
    ],
)
def test_records_have_to_be_dicts_with_keys_of_text(records, words):
    with pytest.raises(ProfileDataError, match=words) as caught:
        read_data(records).schema  # noqa: B018
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("data", ["rows.csv", {"a": [1]}, iter([{"a": 1}]), ({"a": 1} for _ in "x"), 7, None])
def test_other_data_is_refused_with_the_supported_types(data):
    with pytest.raises(ProfileDataError, match=f"{type(data).__name__}.*list of dicts"):
        read_data(data)


@pytest.mark.parametrize("value", ["text", 1, 1.5, True, datetime.date(2026, 1, 31), None], ids=repr)
def test_a_dict_far_down_among_other_values_makes_a_nested_column(value):
    column = pd.Series([value] * 70_000 + [{"city": "Zürich"}], dtype=object)
    assert read_data(pd.DataFrame({"place": column})).schema.field("place").type == pa.struct([("city", pa.null())])
