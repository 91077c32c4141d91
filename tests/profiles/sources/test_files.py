from __future__ import annotations

import gzip
import io
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions
from airflow_provider_adobe_target.profiles.sources.files import read_files
from support.files import error_of, records_of


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
    message = error_of(RemotePath("a.csv", b"a\n1,2\n"))
    assert message.startswith("CSV line 2: ")
    assert message.endswith("File: s3://bucket/a.csv.")


def test_object_storage_may_return_fewer_bytes_than_requested():
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
