from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    MAX_BYTES,
    MAX_ROWS,
    AdaptiveBatchSize,
    conform,
    merge_schemas,
    record_batch,
    recut,
)

WIDE = "x" * 64_000


def text_bytes(batch: pa.RecordBatch) -> int:
    return sum(len(value.as_py()) for value in batch.column(0))


def test_a_long_batch_is_cut_by_rows_in_order():
    parts = list(recut(pa.record_batch({"n": range(2 * MAX_ROWS + 1)})))
    assert [part.num_rows for part in parts] == [MAX_ROWS, MAX_ROWS, 1]
    assert pa.Table.from_batches(parts)["n"].to_pylist() == list(range(2 * MAX_ROWS + 1))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([WIDE] * 2_000),
        pa.array([WIDE] * 2_000).cast(pa.string_view()),
        pa.array([WIDE] * 2_000).dictionary_encode(),
    ],
    ids=["string", "view", "dictionary"],
)
def test_a_wide_batch_is_cut_by_the_bytes_that_its_texts_take(column):
    parts = list(recut(pa.record_batch({"wide": column})))
    assert sum(part.num_rows for part in parts) == 2_000
    assert max(text_bytes(part) for part in parts) <= MAX_BYTES
    assert min(text_bytes(part) for part in parts) > MAX_BYTES // 4


def test_nested_dictionaries_are_measured_too():
    column = pa.StructArray.from_arrays([pa.array([WIDE] * 600).dictionary_encode()], names=["wide"])
    assert len(list(recut(pa.record_batch({"nested": column})))) == 4


def test_a_large_dictionary_that_few_rows_use_cuts_nothing():
    texts = pa.array([f"{number:064000}" for number in range(300)])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), texts)
    assert [part.num_rows for part in recut(pa.record_batch({"d": column}))] == [100]


def test_a_row_of_more_than_the_limit_stays_whole():
    parts = list(recut(pa.record_batch({"wide": ["x" * (MAX_BYTES + 1), "y"]})))
    assert [part.num_rows for part in parts] == [1, 1]


def test_an_empty_batch_has_no_parts():
    assert list(recut(pa.record_batch({"a": pa.array([], pa.string())}))) == []


def test_rows_without_columns_are_still_rows():
    assert [part.num_rows for part in recut(record_batch({}, MAX_ROWS + 5))] == [MAX_ROWS, 5]


def test_the_rows_per_batch_grow_with_narrow_rows():
    asked: list[int] = []

    def convert(start: int, stop: int) -> pa.RecordBatch:
        asked.append(stop - start)
        return pa.record_batch({"n": range(start, stop)})

    batches = list(AdaptiveBatchSize().record_batches(100_000, convert))
    assert asked[:3] == [256, 512, 1024]
    assert max(asked) == MAX_ROWS
    assert pa.Table.from_batches(batches)["n"].to_pylist() == list(range(100_000))


def test_the_rows_per_batch_follow_the_size_of_wide_rows():
    asked: list[int] = []

    def convert(start: int, stop: int) -> pa.RecordBatch:
        asked.append(stop - start)
        return pa.record_batch({"wide": [WIDE] * (stop - start)})

    assert sum(batch.num_rows for batch in AdaptiveBatchSize().record_batches(1_000, convert)) == 1_000
    assert max(asked) * len(WIDE) <= MAX_BYTES


def test_schemas_unite_by_name_in_order_of_first_appearance():
    merged = merge_schemas(
        [
            pa.schema([("b", pa.null()), ("s", pa.struct([("x", pa.int64())]))]),
            pa.schema(
                [
                    ("a", pa.int64()),
                    ("s", pa.struct([("y", pa.string()), ("x", pa.string())])),
                    ("b", pa.int8()),
                ]
            ),
        ]
    )
    assert merged == pa.schema(
        [("b", pa.int8()), ("s", pa.struct([("x", pa.int64()), ("y", pa.string())])), ("a", pa.int64())]
    )


def test_a_column_nested_in_one_schema_only_is_refused_by_its_path():
    nested = pa.schema([("s", pa.struct([("x", pa.struct([("y", pa.int64())]))]))])
    plain = pa.schema([("s", pa.struct([("x", pa.int64())]))])
    with pytest.raises(ProfileDataError, match=r"'s\.x'"):
        merge_schemas([nested, plain])


def test_a_batch_gets_the_nested_fields_of_the_whole_source():
    schema = pa.schema([("a", pa.null()), ("s", pa.struct([("x", pa.null()), ("y", pa.struct([("z", pa.null())]))]))])
    batch = pa.record_batch({"s": pa.array([{"x": 1}, None, {"x": None}])})
    conformed = conform(batch, schema)
    assert conformed.schema.names == ["a", "s"]
    assert conformed.to_pylist() == [
        {"a": None, "s": {"x": 1, "y": None}},
        {"a": None, "s": None},
        {"a": None, "s": {"x": None, "y": None}},
    ]
    assert conformed.schema.field("s").type == pa.struct([("x", pa.int64()), ("y", pa.struct([("z", pa.null())]))])


def test_a_sliced_batch_keeps_its_rows_when_it_gets_more_fields():
    schema = pa.schema([("s", pa.struct([("x", pa.null()), ("y", pa.null())]))])
    batch = pa.record_batch({"s": pa.array([{"x": 1}, None, {"x": 3}])}).slice(1)
    assert conform(batch, schema).to_pylist() == [{"s": None}, {"s": {"x": 3, "y": None}}]
