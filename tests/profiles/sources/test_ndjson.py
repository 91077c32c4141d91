"""Rows of NDJSON files."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.files import read_files
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_BYTES, MAX_ROWS
from airflow_provider_adobe_target.profiles.values.to_text import to_text
from support.files import error_of, records_of, texts


# Python 3.10's csv module writes no NUL.
@pytest.mark.parametrize("name", ["a.ndjson", "a.jsonl", "a.json", "a.ndjson.gz", "a.jsonl.gz", "a.JSON"])
def test_ndjson_values_are_kept(write, name):
    path = write(name, '\ufeff{"n": 9007199254740993, "f": 1.0, "l": ["x", null]}\r\n\n  \n{"s": {"x": true}, "n": -1}')
    rows = read_files([path])
    assert rows.schema.names == ["n", "f", "l", "s"]
    (batch,) = rows.record_batches()
    assert batch.to_pylist() == [
        {"n": 9007199254740993, "f": 1.0, "l": ["x", None], "s": None},
        {"n": -1, "f": None, "l": None, "s": {"x": True}},
    ]
    assert batch["f"].type == pa.float64()


def test_ndjson_numbers_without_an_end_are_what_python_reads(write):
    (batch,) = read_files([write("a.ndjson", '{"f": 1e400}\n{"f": -Infinity}\n{"f": NaN}\n')]).record_batches()
    assert batch["f"].to_pylist() == [float("inf"), float("-inf"), None]


def test_the_first_ndjson_batch_has_the_names_of_all_lines(write):
    lines = ['{"a": 1, "s": {"x": 1}}'] * MAX_ROWS + ['{"b": 2, "s": {"y": 2}}']
    batches = list(read_files([write("a.ndjson", "\n".join(lines))]).record_batches())
    assert [batch.num_rows for batch in batches] == [MAX_ROWS, 1]
    for batch in batches:
        assert batch.schema.names == ["a", "s", "b"]
        assert [field.name for field in batch["s"].type] == ["x", "y"]


def test_only_requested_ndjson_columns_are_read(write):
    rows = read_files([write("a.ndjson", '{"a": 1, "b": 2, "c": 3}\n')])
    assert records_of(rows, ["c", "a"]) == [{"a": 1, "c": 3}]
    assert [batch.num_rows for batch in rows.record_batches([])] == [1]


def test_wide_ndjson_rows_come_in_batches_of_limited_bytes(write):
    line = json.dumps({"a": "x" * 64_000}) + "\n"
    rows = [batch.num_rows for batch in read_files([write("a.ndjson", line * 1_000)]).record_batches()]
    assert sum(rows) == 1_000
    assert max(rows) * 64_000 <= MAX_BYTES


def test_an_empty_ndjson_file_has_no_rows(write):
    assert records_of(read_files([write("a.ndjson", "")])) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"a": "secret"', "one JSON object per line"),
        ('["secret"]', "one JSON object per line"),
        ('"secret"', "one JSON object per line"),
        ('{"a": "secret"} {"a": 2}', "one JSON object per line"),
        ("[" * 100_000, "one JSON object per line"),
        (b'{"a": "secret\xff"}', "one JSON object per line"),
        ('{"a": "secret", "a": 2}', "an object has a duplicate key"),
        ('{"s": {"a": "secret", "a": 2}}', "an object has a duplicate key"),
        ('{"\\ud800": "secret"}', "surrogate"),
    ],
)
def test_a_broken_ndjson_line_is_named_by_its_number(write, line, words):
    data = line if isinstance(line, bytes) else line.encode()
    path = write("a.ndjson", b'{"a": 1}\n\n' + data + b'\n{"a": 2}\n')
    message = error_of(path)
    assert message.startswith("NDJSON line 3: ")
    assert message.endswith(f"File: {path}.")
    assert words in message
    assert "secret" not in message


def test_the_error_for_other_json_explains_ndjson(write):
    content = json.dumps([{"a": 1}, {"a": 2}], indent=2)
    assert "line 1: " in error_of(write("a.json", content))
    assert "NDJSON has one JSON object per line" in error_of(write("b.json", content))


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
columns = st.sampled_from(["a", "b", "s.t", "ö"])
records = st.lists(
    st.dictionaries(columns, scalars | st.lists(scalars, max_size=3), max_size=4).flatmap(
        lambda record: st.dictionaries(columns, scalars, max_size=2).map(lambda nested: {**record, "nested": nested})
    ),
    max_size=20,
)


@given(records)
def test_ndjson_is_read_as_the_list_of_its_objects(records):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ndjson"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        from_file = read_files([path])
        from_list = read_data(records)
        assert from_file.schema == from_list.schema
        assert list(from_file.record_batches()) == list(from_list.record_batches())


def test_compressed_ndjson_is_read(tmp_path):
    (tmp_path / "a.ndjson.zst").write_bytes(pa.compress(b'{"a": 1}\n', "zstd", asbytes=True))
    (tmp_path / "b.json").write_bytes(gzip.compress(b'{"a": 2}\n'))
    assert records_of(read_files([tmp_path / "a.ndjson.zst", tmp_path / "b.json"])) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("12345678901234567.891", "12345678901234567.891"),
        ("-0.12345678901234567890", "-0.12345678901234567890"),
        ("9007199254740993.0", "9007199254740993.0"),
        ("3.10", "3.1"),
        ("1e2", "100"),
        ("0.1", "0.1"),
        ("1e-7", "1e-7"),
        ("1e21", "1e+21"),
        ("5e-324", "5e-324"),
    ],
)
def test_ndjson_decimals_keep_their_digits_beside_others(write, number, text):
    path = write("a.ndjson", f'{{"a": {number}}}\n{{"a": 2.5}}\n{{"a": 7}}\n{{"b": {{"c": [{number}]}}}}\n')
    [batch] = read_files([path]).record_batches()
    assert to_text(batch.column("a")).text.to_pylist() == [text, "2.5", "7", None]
    assert to_text(batch.column("b").flatten()[0]).text.to_pylist() == [None, None, None, text]


@pytest.mark.parametrize(
    "number", ["9" * 5_000, "-" + "1" * 4_301, "1e400", "-1e999", "1e-99999999", "1e-999999999999"]
)
def test_an_ndjson_number_without_a_text_form_marks_its_row_only(write, number):
    path = write("a.ndjson", f'{{"a": 1, "b": 1}}\n{{"a": {number}, "b": 2}}\n{{"a": 3, "b": 3}}\n')
    [batch] = read_files([path]).record_batches()
    written = to_text(batch.column("a"))
    assert written.text.to_pylist() == ["1", None, "3"]
    assert written.unsupported.to_pylist() == [False, True, False]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{\n  "a": 1\n}\n', "pretty-printed"),
        ('{"a": 1,\n "b": 2}\n', "pretty-printed"),
        ('[\n  {"a": 1}\n]\n', "a JSON array"),
        ('[{"a": 1}, {"a": 2}]', "a JSON array"),
        ('{"a": 1}{"a": 2}\n', "several on one line"),
        ('{"a": 1} {"a": 2}\n', "several on one line"),
        ('{"a": 1},\n{"a": 2}\n', "several on one line"),
    ],
)
def test_another_layout_of_json_is_named(write, content, words):
    message = error_of(write("a.json", content))
    assert words in message
    assert "line 1: " in message
