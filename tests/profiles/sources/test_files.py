from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions
from airflow_provider_adobe_target.profiles.sources.files import read_files
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_BYTES, MAX_ROWS
from airflow_provider_adobe_target.profiles.values.to_text import to_text

MIB = 1024 * 1024


@pytest.fixture
def write(tmp_path):
    def write_file(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_file


@pytest.fixture
def write_parquet(tmp_path):
    def write_table(name: str, table: pa.Table, **options) -> Path:
        pq.write_table(table, tmp_path / name, **options)
        return tmp_path / name

    return write_table


class RemotePath:
    """No more of a path than object storage has: a name, text, and a stream that can do little."""

    def __init__(self, name, content, error=None, most=None):
        self.name = name
        self._stream = partial(RemoteStream, content, error, most)

    def __str__(self):
        return f"s3://bucket/{self.name}"

    def open(self, mode):
        assert mode == "rb"
        return self._stream()


class RemoteStream:
    def __init__(self, content, error, most):
        self._stream = io.BytesIO(content)
        self._error = error
        self._most = most
        self.closed = False

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.closed = True

    def read(self, size=-1):
        if self._error:
            raise self._error
        return self._stream.read(self._most or size)

    def seek(self, offset, whence=0):
        return self._stream.seek(offset, whence)

    def tell(self):
        return self._stream.tell()

    def seekable(self):
        return True

    def readable(self):
        return True


def records_of(rows, columns=None):
    return [record for batch in rows.record_batches(columns) for record in batch.to_pylist()]


def error_of(*files):
    with pytest.raises(ProfileDataError) as caught:
        records_of(read_files(files))
    return str(caught.value)


# Parquet


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


def test_only_the_parquet_columns_asked_for_are_read(write_parquet):
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
    assert error_of(path).startswith(f"{path} is damaged")


def test_damaged_parquet_pages_are_named(write, write_parquet):
    data = bytearray(write_parquet("good.parquet", pa.table({"a": ["x" * 100] * 100})).read_bytes())
    data[4:60] = b"\xff" * 56
    path = write("broken.parquet", bytes(data))
    assert str(path) in error_of(path)


def test_parquet_columns_of_one_name_are_refused(write_parquet):
    path = write_parquet("a.parquet", pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]))
    assert error_of(path).startswith(f"{path} has 2 columns named 'a'")


# CSV


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_csv_cells_are_text_as_they_stand(write, name, bom):
    path = write(name, f'{bom}id,a,b\r\n007, x ,1.50\r\nNULL,"a ""b"", c","line\nbreak"\r\n\r\nnan,true,NA')
    rows = read_files([path])
    assert rows.schema.names == ["id", "a", "b"]
    assert records_of(rows) == [
        {"id": "007", "a": " x ", "b": "1.50"},
        {"id": "NULL", "a": 'a "b", c', "b": "line\nbreak"},
        {"id": "nan", "a": "true", "b": "NA"},
    ]


def test_blank_csv_cells_are_null(write):
    assert records_of(read_files([write("a.csv", 'a,b,c\n1,,""\n')])) == [{"a": "1", "b": None, "c": None}]


def test_only_the_csv_columns_asked_for_are_read(write):
    rows = read_files([write("a.csv", "a,b,c\n1,2,3\n")])
    assert records_of(rows, ["c", "a"]) == [{"a": "1", "c": "3"}]
    assert [batch.num_rows for batch in rows.record_batches([])] == [1]


def test_a_csv_row_of_a_megabyte_is_read(write):
    assert len(records_of(read_files([write("a.csv", f'a\n{"x" * MIB}\n"{"y" * MIB}"\n')]))) == 2


def test_a_longer_csv_row_is_refused(write):
    path = write("a.csv", f"a\n{'x' * 17 * MIB}\n")
    message = error_of(path)
    assert str(path) in message
    assert "xx" not in message


def test_wide_csv_rows_come_in_batches_of_limited_bytes(write):
    wide = "x" * 64_000
    rows = [batch.num_rows for batch in read_files([write("a.csv", f"a\n{(wide + chr(10)) * 1_000}")]).record_batches()]
    assert sum(rows) == 1_000
    assert max(rows) * 64_000 <= MAX_BYTES


def test_many_csv_rows_come_in_order_and_in_batches_of_limited_rows(write):
    path = write("a.csv", "n,t\n" + "".join(f"{number},{'x' * 50}\n" for number in range(200_000)))
    batches = list(read_files([path]).record_batches(["n"]))
    assert max(batch.num_rows for batch in batches) <= MAX_ROWS
    numbers = [int(text) for batch in batches for text in batch["n"].to_pylist()]
    assert numbers == list(range(200_000))


def test_a_csv_file_of_a_header_has_no_rows(write):
    rows = read_files([write("a.csv", "a,b")])
    assert rows.schema.names == ["a", "b"]
    assert records_of(rows) == []


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_csv_needs_a_header(write, content):
    assert "has no header" in error_of(write("a.csv", content))


@pytest.mark.parametrize(("row", "cells"), [("secret", 1), ("secret,2,3", 3)], ids=["too few cells", "too many cells"])
def test_a_ragged_csv_row_is_named_by_its_line(write, row, cells):
    path = write("a.csv", f'a,b\n1,"x\ny"\n\n{row}\n')
    message = error_of(path)
    assert message.startswith(f"{path}, line 5: the row has {cells} cells, the header 2")
    assert "secret" not in message


def test_a_csv_row_that_is_ragged_far_behind_is_named_by_its_line(write):
    content = "a,b\n" + f"1,{'x' * 1_000}\n" * 20_000 + "secret\n"
    assert "line 20002:" in error_of(write("a.csv", content))


def test_a_csv_quote_that_is_never_closed_loses_no_rows_silently(write):
    path = write("a.csv", 'a,b\n1,2\n3,"secret\n4,5\n6,7\n')
    message = error_of(path)
    assert f"{path}, line 3 " in message
    assert "secret" not in message


def test_a_csv_quote_within_a_plain_cell_is_text(write):
    assert records_of(read_files([write("a.csv", 'a,b\n1,6" pipe\n')])) == [{"a": "1", "b": '6" pipe'}]


@pytest.mark.parametrize(
    "content",
    ["a,ö\n1,2\n".encode("latin-1"), "a,b\n1,ö\n".encode("latin-1"), "a,b\n1,2\n".encode("utf-16")],
    ids=["header", "cell", "utf-16"],
)
def test_csv_in_another_encoding_is_refused(write, content):
    path = write("a.csv", content)
    assert error_of(path).startswith(f"{path} is not UTF-8")


def test_csv_columns_of_one_name_are_refused(write):
    path = write("a.csv", "a,b,a\n1,2,3\n")
    assert error_of(path).startswith(f"{path} has 2 columns named 'a'")


@pytest.mark.parametrize("suffix", ["csv.gz", "ndjson.gz"])
@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"plain,text\n"], ids=["cut", "plain"])
def test_a_broken_gzip_file_is_named(write, tmp_path, suffix, damage):
    lines = b"".join(b'{"a": "%d"}\n' % number for number in range(10_000))
    data = lines if suffix.startswith("nd") else b"a\n" + lines.replace(b'"', b"")
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(damage(gzip.compress(data)))
    assert error_of(path).startswith(f"{path} is damaged")


# Python 3.10's csv module writes no NUL.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(st.tuples(texts, texts), max_size=10))
def test_csv_gives_back_what_the_csv_module_wrote(cells):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
            writer.writerow(["a", "b"])
            writer.writerows(cells)
        records = records_of(read_files([path]))
    assert records == [{"a": a or None, "b": b or None} for a, b in cells]


# NDJSON


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


def test_ndjson_has_the_names_of_the_last_line_from_the_first_batch(write):
    lines = ['{"a": 1, "s": {"x": 1}}'] * MAX_ROWS + ['{"b": 2, "s": {"y": 2}}']
    batches = list(read_files([write("a.ndjson", "\n".join(lines))]).record_batches())
    assert [batch.num_rows for batch in batches] == [MAX_ROWS, 1]
    for batch in batches:
        assert batch.schema.names == ["a", "s", "b"]
        assert [field.name for field in batch["s"].type] == ["x", "y"]


def test_only_the_ndjson_columns_asked_for_are_made(write):
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
        ('{"a": "secret"', "one JSON object a line"),
        ('["secret"]', "one JSON object a line"),
        ('"secret"', "one JSON object a line"),
        ('{"a": "secret"} {"a": 2}', "one JSON object a line"),
        ("[" * 100_000, "one JSON object a line"),
        (b'{"a": "secret\xff"}', "one JSON object a line"),
        ('{"a": "secret", "a": 2}', "a key comes up twice"),
        ('{"s": {"a": "secret", "a": 2}}', "a key comes up twice"),
        ('{"\\ud800": "secret"}', "surrogate"),
    ],
)
def test_a_broken_ndjson_line_is_named_by_its_number(write, line, words):
    data = line if isinstance(line, bytes) else line.encode()
    path = write("a.ndjson", b'{"a": 1}\n\n' + data + b'\n{"a": 2}\n')
    message = error_of(path)
    assert message.startswith(f"{path}, line 3: ")
    assert words in message
    assert "secret" not in message


def test_json_that_is_no_ndjson_is_told_what_ndjson_is(write):
    content = json.dumps([{"a": 1}, {"a": 2}], indent=2)
    assert "line 1: " in error_of(write("a.json", content))
    assert "NDJSON is one JSON object a line" in error_of(write("b.json", content))


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


# Several files


def test_files_of_several_kinds_are_read_as_one_table(write, write_parquet):
    files = [
        write("1.csv", "id,a\nx,1\n"),
        write_parquet("2.parquet", pa.table({"b": [2.5], "id": ["y"]})),
        write("3.ndjson", '{"id": 3, "s": {"x": 1}}\n'),
        write("4.ndjson", '{"id": 4, "s": {"y": 1}}\n'),
    ]
    rows = read_files(files)
    assert rows.schema.names == ["id", "a", "b", "s"]
    batches = list(rows.record_batches())
    assert all(batch.schema.names == ["id", "a", "b", "s"] for batch in batches)
    assert [batch["id"][0].as_py() for batch in batches] == ["x", "y", 3, 4]
    assert [batch["a"][0].as_py() for batch in batches] == ["1", None, None, None]
    assert all([field.name for field in batch["s"].type] == ["x", "y"] for batch in batches)
    assert records_of(rows, ["b"]) == [{"b": None}, {"b": 2.5}, {"b": None}, {"b": None}]


def test_a_column_that_is_nested_in_one_file_only_is_refused(write):
    assert "'s'" in error_of(write("1.csv", "id,s\nx,1\n"), write("2.ndjson", '{"s": {"x": 1}}'))


def test_files_can_be_read_again(write, write_parquet):
    rows = read_files(
        [
            write("1.csv", "a\n1\n"),
            write("2.ndjson", '{"a": 2}'),
            write_parquet("3.parquet", pa.table({"a": [3]})),
        ]
    )
    assert records_of(rows) == records_of(rows) == [{"a": "1"}, {"a": 2}, {"a": 3}]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.ndjson", "a.parquet"])
def test_a_file_is_closed_when_the_reader_stops_early(write_parquet, name):
    closed = []

    class ClosingPath(RemotePath):
        def open(self, mode):
            stream = super().open(mode)
            closed.append(stream)
            return stream

    numbers = range(500_000)
    if name.endswith("parquet"):
        content = write_parquet(name, pa.table({"a": numbers})).read_bytes()
    else:
        line = '{"a": "%d"}\n' if name.endswith("ndjson") else "%d\n"
        content = ("" if name.endswith("ndjson") else "a\n").encode() + "".join(line % n for n in numbers).encode()
    batches = read_files(
        [ClosingPath(name, gzip.compress(content) if name.endswith("gz") else content)]
    ).record_batches()
    next(batches)
    assert not closed[-1].closed
    batches.close()
    assert closed[-1].closed


def test_no_files_are_no_rows():
    assert records_of(read_files([])) == []


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.parquet.gz", "a.pq.zst", "a.csv.zip"])
def test_another_suffix_is_refused_naming_the_right_ones(tmp_path, name):
    with pytest.raises(ProfileDataError, match=r"\.parquet, \.csv, \.csv\.gz, \.ndjson") as caught:
        read_files([tmp_path / name])
    assert str(tmp_path / name) in str(caught.value)


def test_object_storage_needs_a_name_and_a_stream_only(write_parquet):
    parquet = write_parquet("a.parquet", pa.table({"a": ["3"]})).read_bytes()
    files = [
        RemotePath("1.csv", b"a\n1\n"),
        RemotePath("2.ndjson.gz", gzip.compress(b'{"a": "2"}')),
        RemotePath("3.parquet", parquet),
    ]
    assert [record["a"] for record in records_of(read_files(files))] == ["1", "2", "3"]
    assert error_of(RemotePath("a.csv", b"a\n1,2\n")).startswith("s3://bucket/a.csv, line 2: ")


def test_object_storage_may_hand_out_less_than_it_was_asked_for():
    files = [
        RemotePath("1.csv", b"a,b\n" + b"1,2\n" * 100, most=3),
        RemotePath("2.ndjson", b'{"a": "1", "b": "2"}\n' * 100, most=3),
    ]
    assert records_of(read_files(files)) == [{"a": "1", "b": "2"}] * 200


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.ndjson", "a.parquet"])
def test_a_storage_that_fails_is_not_taken_for_a_broken_file(name):
    with pytest.raises(ConnectionResetError):
        records_of(read_files([RemotePath(name, b"PAR1" * 10, ConnectionResetError("try later"))]))


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson", "a.parquet"])
def test_a_file_that_is_not_there_is_python_s_own_error(tmp_path, name):
    with pytest.raises(FileNotFoundError):
        records_of(read_files([tmp_path / name]))


# Formats, delimiters, encodings, compression


def options_of(file_format=None, **csv_options):
    return FileOptions.checked(file_format, csv_options)


@pytest.mark.parametrize("name", ["a.parq", "a.pq", "A.PQ"])
def test_short_suffixes_of_parquet_are_read(write_parquet, name):
    path = write_parquet(name, pa.table({"a": [1]}))
    assert records_of(read_files([path])) == [{"a": 1}]


@pytest.mark.parametrize("name", ["part-00000", "000000_0", "a.txt", "a.csv", "a.parquet"])
@pytest.mark.parametrize("file_format", ["parquet", "csv", "ndjson"])
def test_the_named_format_counts_whatever_the_suffix(tmp_path, file_format, name):
    if file_format == "parquet":
        pq.write_table(pa.table({"a": ["x"]}), tmp_path / name)
    else:
        (tmp_path / name).write_text("a\nx\n" if file_format == "csv" else '{"a": "x"}\n')
    assert records_of(read_files([tmp_path / name], FileOptions(file_format))) == [{"a": "x"}]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "\x01"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16", "utf-16-be", "utf-8-sig", "iso8859-15"])
def test_csv_of_any_delimiter_and_encoding_is_read(tmp_path, delimiter, encoding):
    lines = [["id", "city"], ["U1", "Zürich"], ["U2", f'"a{delimiter}b, ""c"""'], ["U3", ""]] + [["U", "ü"]] * 90_000
    path = tmp_path / "a.csv"
    path.write_bytes("\n".join(delimiter.join(cells) for cells in lines).encode(encoding))
    rows = read_files([path], options_of(delimiter=delimiter, encoding=encoding))
    found = records_of(rows)
    assert [record["city"] for record in found[:4]] == ["Zürich", f'a{delimiter}b, "c"', None, "ü"]
    assert len(found) == 90_003


def test_a_quote_in_a_cell_with_another_delimiter_is_still_found(write):
    path = write("a.csv", 'id;v\nU1;a"b\nU2;c"d\nU3;e\n')
    assert [record["id"] for record in records_of(read_files([path], options_of(delimiter=";")))] == [
        "U1",
        "U2",
        "U3",
    ]


@pytest.mark.parametrize(
    ("encoding", "content"), [("cp1252", b"a\n\x81\n"), ("utf-16", b"a\n\xff\xfe\n"), ("ascii", b"\xc3")]
)
def test_csv_that_does_not_have_the_named_encoding_is_refused(write, encoding, content):
    with pytest.raises(ProfileDataError, match=f"is not {encoding}"):
        records_of(read_files([write("a.csv", content)], options_of(encoding=encoding)))


def test_csv_that_is_not_utf8_names_the_option(write):
    assert "csv_options={'encoding': 'cp1252'}" in error_of(write("a.csv", "a\nZürich\n".encode("latin-1")))


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_named_where_the_header_shows_it(write, delimiter):
    assert f"csv_options={{'delimiter': {delimiter!r}}}" in error_of(
        write("a.csv", f"id{delimiter}v\nU1{delimiter}a\n")
    )


@pytest.mark.parametrize("name", ["a.csv", "a.csv.zst", "a.CSV.ZST", "b.csv.gz"])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_csv_is_read_by_its_first_bytes_or_suffix(tmp_path, name, compression):
    if name.lower().endswith((".gz", ".zst")) and (compression == "gzip") != name.endswith("gz"):
        pytest.skip("the suffix names the other one")
    content = b"a\n" + b"x\n" * 100_000
    packed = gzip.compress(content) if compression == "gzip" else pa.compress(content, "zstd", asbytes=True)
    (tmp_path / name).write_bytes(packed)
    assert len(records_of(read_files([tmp_path / name]))) == 100_000
    if compression == "zstd":
        (tmp_path / name).write_bytes(packed[:-5])
        assert "damaged" in error_of(tmp_path / name)


def test_compressed_ndjson_is_read(tmp_path):
    (tmp_path / "a.ndjson.zst").write_bytes(pa.compress(b'{"a": 1}\n', "zstd", asbytes=True))
    (tmp_path / "b.json").write_bytes(gzip.compress(b'{"a": 2}\n'))
    assert records_of(read_files([tmp_path / "a.ndjson.zst", tmp_path / "b.json"])) == [{"a": 1}, {"a": 2}]


# A header that comes up again


def unsupported_rows(path, options=None, columns=None):
    marks = []
    for batch in read_files([path], options).record_batches(columns):
        written = [to_text(column) for column in batch.columns]
        bad = [
            text.unsupported.to_pylist() if text.unsupported is not None else [False] * len(batch) for text in written
        ]
        marks += [all(row) for row in zip(*bad, strict=True)]
    return [number for number, bad in enumerate(marks) if bad]


@pytest.mark.parametrize("again", ["id,tier", "\ufeffid,tier", "ID,Tier", " id , tier", "id,tier\r", '"id","tier"'])
def test_a_header_that_comes_up_again_has_no_text_form(write, again, caplog):
    path = write("a.csv", f"id,tier\nU1,gold\n{again}\nU2,tier\nid,silver\n{again}\n")
    with caplog.at_level("WARNING"):
        assert unsupported_rows(path) == [1, 4]
    assert "2 lines repeat the header" in caplog.text
    assert unsupported_rows(path, columns=["id"]) == [1, 3, 4]  # all that is read of them says so


def test_a_header_is_found_again_with_another_delimiter_and_far_down(write):
    path = write("a.csv", "id;tier\n" + "U1;gold\n" * 40_000 + "id;tier\nU2;\n")
    assert unsupported_rows(path, options_of(delimiter=";")) == [40_000]


# Numbers and layouts of NDJSON


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


# Rejects


def test_the_three_columns_of_rejects_are_left_out_with_a_line_in_the_log(write_parquet, write, caplog):
    own = {"row_number": [4], "id": ["U1"], "row_number_": ["7"], "tier": ["a"]}
    table = pa.table(own | {"reject_reason": ["value_too_long"], "reject_detail": ["tier"]})
    path = write_parquet("a.parquet", table)
    csv_path = write("b.csv", "row_number,id,tier,reject_reason,reject_detail\n1,U2,b,x,y\n")
    with caplog.at_level("INFO"):
        rows = read_files([path, csv_path])
        assert rows.schema.names == ["id", "row_number", "tier"]
    assert [
        text.count("columns row_number, reject_reason, reject_detail are left out") for text in caplog.messages
    ] == [
        1,
        1,
    ]
    assert records_of(rows) == [
        {"id": "U1", "row_number": "7", "tier": "a"},
        {"id": "U2", "row_number": None, "tier": "b"},
    ]
    assert records_of(rows, ["row_number"]) == [{"row_number": "7"}, {"row_number": None}]


def test_two_of_the_three_columns_of_rejects_stay(write):
    path = write("b.csv", "row_number,id,reject_reason\n1,U2,x\n")
    assert read_files([path]).schema.names == ["row_number", "id", "reject_reason"]
