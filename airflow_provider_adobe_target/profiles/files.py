"""Rows of Parquet, CSV and NDJSON files."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.csv_quotes import QuotesSeen
from airflow_provider_adobe_target.profiles.datasets import DatasetFile, FileRows, RowsInFolders
from airflow_provider_adobe_target.profiles.mapping import floats_in, has_point, mark_floats
from airflow_provider_adobe_target.profiles.record_batches import (
    MAX_BYTES,
    MAX_ROWS,
    check_names,
    check_schema,
    conform,
    merge_schemas,
    project,
    recut,
    wanted,
)
from airflow_provider_adobe_target.profiles.records import Names, note_names, records_batch, records_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from airflow_provider_adobe_target.profiles.sources import Rows

_CSV_BLOCK_BYTES = 8 * 1024 * 1024  # a row has to fit
_NDJSON_BLOCK_BYTES = 4 * 1024 * 1024
_NDJSON_LINE_BYTES = 8 * 1024 * 1024
_READ_BYTES = 1024 * 1024


class File(Protocol):
    """What is used of a ``pathlib.Path`` or of Airflow's ``ObjectStoragePath``."""

    @property
    def name(self) -> str:
        """Its last part, whose suffixes tell what the file holds."""

    def open(self, mode: str) -> Any:
        """Open it to read bytes."""


def rows_from_files(files: Sequence[File]) -> Rows:
    """Read files one after the other, in memory that does not grow with them.

    Their kinds, columns and types may differ; a column that a file does not have is null there. Of Parquet only the
    columns asked for are read, and at least one row group of them is held.

    * Parquet (``.parquet``);
    * CSV (``.csv``, ``.csv.gz``): comma-separated UTF-8 with a header. Cells are text as they stand, empty
      ones null; quoted ones may hold line breaks; empty lines are skipped. A row has at most 8 MiB;
    * NDJSON (``.ndjson``, ``.jsonl``, ``.json``, each also with ``.gz``): one JSON object a line, in UTF-8, of at
      most 8 MiB. Files are read twice, as only the last line may tell the last name.

    :param files: paths, in the order in which their rows are to come; those that are a
        :class:`~airflow_provider_adobe_target.profiles.datasets.DatasetFile` have the columns that their folders name.
    :raises ProfileDataError: where a name has another suffix. What is wrong within a file is told when it is
        read. What the storage itself raises, for example ``FileNotFoundError``, is passed on.
    """
    return FilesRows([_file_rows(file) for file in files])


def _file_rows(file: File) -> FileRows:
    name = file.name.lower()
    for suffixes, kind in _KINDS.items():
        if name.endswith(suffixes):
            rows = kind(file)
            return RowsInFolders(rows, file.folder_values) if isinstance(file, DatasetFile) else rows
    accepted = ", ".join(suffix for suffixes in _KINDS for suffix in suffixes)
    raise ProfileDataError(f"{file} is of no known kind. Give files that end in {accepted}.")


class FilesRows:
    """Rows of several files.

    :param files: the rows of each.
    """

    def __init__(self, files: Sequence[FileRows]) -> None:
        self._files = files

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of all files, in order of first appearance, with the first file's mark where one holds floats.

        :raises ProfileDataError: where a file cannot be read, or a column is nested in some files only.
        """
        merged = merge_schemas(file.schema for file in self._files)
        marks: dict[str, str] = {}
        for file in self._files:
            for field in file.schema:
                if mark := floats_in(field):
                    marks.setdefault(field.name, mark)
        return pa.schema([mark_floats(field, marks[field.name]) if field.name in marks else field for field in merged])

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows, as every source does."""
        schema = project(self.schema, columns)
        for file in self._files:
            for batch in file.batches(columns):
                yield conform(batch, schema)


class ParquetRows:
    """Rows of a Parquet file.

    :param file: its path.
    """

    def __init__(self, file: File) -> None:
        self._file = file

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that the footer tells, marked where they hold floats."""
        with _parquet(self._file) as parquet:
            check_schema(parquet.schema_arrow, str(self._file))
            pointed = [field.name for field in parquet.schema_arrow if has_point(field.type)]
            floats = set(pointed) - _empty_columns(parquet.metadata, pointed)
            return pa.schema(
                [
                    mark_floats(field, str(self._file)) if field.name in floats else field
                    for field in parquet.schema_arrow
                ]
            )

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows, as every source does."""
        names = wanted(self.schema.names, columns)
        with _parquet(self._file) as parquet:
            # Without read-ahead and threads, memory does not grow with the file.
            rows = _rows_a_batch(parquet.metadata)
            missing = parquet.metadata.num_rows
            for batch in parquet.iter_batches(rows, columns=names, use_threads=False):
                batch.validate(full=True)  # text that is no UTF-8, for one, passes the reader
                missing -= len(batch)
                # pyarrow takes "a" for "a.b", too.
                yield from recut(batch.select(names))
            if missing:
                raise _damaged(self._file)


@contextmanager
def _parquet(file: File) -> Iterator[pq.ParquetFile]:
    with file.open("rb") as stream, _damage_named(file):
        yield pq.ParquetFile(stream, pre_buffer=False, page_checksum_verification=True)


def _empty_columns(metadata: pq.FileMetaData, names: Collection[str]) -> set[str]:
    """Tell which of the columns hold nothing but null, so that their type says nothing."""
    numbers = [number for number in range(metadata.num_columns) if metadata.schema.column(number).path in names]
    empty = {metadata.schema.column(number).path for number in numbers}
    for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
        # Of a damaged column, this call ends the whole process: only those are looked at that have to be.
        for column in (group.column(number) for number in numbers):
            statistics = column.statistics
            if group.num_rows and not (statistics and statistics.null_count == group.num_rows):
                empty.discard(column.path_in_schema)
    return empty


def _rows_a_batch(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    widest = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=0)
    return max(1, min(MAX_ROWS, int(MAX_BYTES / max(widest, 1))))


class CsvRows:
    """Rows of a CSV file.

    :param file: its path.
    """

    def __init__(self, file: File) -> None:
        self._file = file

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that the header names, all of them text."""
        with _opened(self._file) as stream:
            try:
                header = next((cells for cells in csv.reader(self._lines(stream)) if cells), None)
            except UnicodeDecodeError:
                raise self._not_utf8() from None
            except csv.Error:
                raise ProfileDataError(f"The header of {self._file} cannot be read. Is the file CSV?") from None
        if header is None:
            raise ProfileDataError(f"{self._file} has no header. Write the column names into its first line.")
        check_names(header, str(self._file))
        return pa.schema([(name, pa.string()) for name in header])

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows, as every source does."""
        names = wanted(self.schema.names, columns)
        with _opened(self._file) as stream:
            quotes = QuotesSeen(stream)
            try:
                with arrow_csv.open_csv(io.BufferedReader(quotes), **self._options(names)) as reader:
                    for batch in reader:
                        self._check_quotes(quotes)
                        yield from recut(batch.select(names))
            except pa.ArrowInvalid:  # whose message quotes the row
                raise self._broken_row() or self._long_row() from None
            self._check_quotes(quotes)

    def _check_quotes(self, quotes: QuotesSeen) -> None:
        """Look closely at a file with an odd quote: pyarrow lets one swallow the rows up to the next, or to the end."""
        if quotes.odd:
            if error := self._broken_row(strict=True):
                raise error
            quotes.be_content()

    def _options(self, names: list[str]) -> dict[str, Any]:
        return {
            "read_options": arrow_csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False),
            "parse_options": arrow_csv.ParseOptions(newlines_in_values=True),
            "convert_options": arrow_csv.ConvertOptions(
                column_types=self.schema, include_columns=names, strings_can_be_null=True, null_values=[""]
            ),
        }

    def _broken_row(self, *, strict: bool = False) -> ProfileDataError | None:
        """Read once more, slowly, to say on which line the file is broken."""
        line = 1
        usual_limit = csv.field_size_limit(_CSV_BLOCK_BYTES)
        with _opened(self._file) as stream:
            rows = csv.reader(self._lines(stream), strict=strict)
            try:
                for cells in rows:
                    if cells and len(cells) != len(self.schema):
                        return ProfileDataError(
                            f"{self._file}, line {line}: the row has {len(cells)} cells, the header "
                            f"{len(self.schema)}. Quote cells that hold commas, and write the file again."
                        )
                    line = rows.line_num + 1
            except UnicodeDecodeError:
                return self._not_utf8()
            except csv.Error:
                return ProfileDataError(
                    f"{self._file}, line {line} or after it: a quoted cell is not closed or has text behind its quote, "
                    "or a row has more or fewer cells than the header. Quote cells that hold commas, double their "
                    "quotes."
                )
            finally:
                csv.field_size_limit(usual_limit)
        return None

    def _lines(self, stream: _Bytes) -> Iterator[str]:
        """Read line by line for Python's own parser, none longer than a row may be."""
        text = io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline="")
        while line := text.readline(_CSV_BLOCK_BYTES):
            if len(line) == _CSV_BLOCK_BYTES:
                raise self._long_row()
            yield line

    def _long_row(self) -> ProfileDataError:
        return ProfileDataError(f"{self._file} has a row of more than {_CSV_BLOCK_BYTES >> 20} MiB. Leave it out.")

    def _not_utf8(self) -> ProfileDataError:
        return ProfileDataError(f"{self._file} is not UTF-8. Write it again in UTF-8.")


class NdjsonRows:
    """Rows of a file of one JSON object a line.

    :param file: its path.
    """

    def __init__(self, file: File) -> None:
        self._file = file

    @cached_property
    def schema(self) -> pa.Schema:
        """Every column of any row; the whole file is read for it."""
        names: Names = {}
        for number, line in self._lines():
            try:
                note_names(names, _record(line))
            except ProfileDataError as error:
                raise ProfileDataError(f"{self._file}, line {number}: {error}") from None
        return records_schema(names)

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows, as every source does."""
        schema = project(self.schema, columns)
        for records in self._blocks():
            yield from recut(records_batch(records, schema))

    def _blocks(self) -> Iterator[list[dict[str, Any]]]:
        records: list[dict[str, Any]] = []
        size = 0
        for _, line in self._lines():
            records.append(_record(line))
            size += len(line)
            if len(records) == MAX_ROWS or size >= _NDJSON_BLOCK_BYTES:
                yield records
                records, size = [], 0
        if records:
            yield records

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with _opened(self._file) as stream:
            lines = io.BufferedReader(stream, _READ_BYTES)
            for number, line in enumerate(iter(partial(lines.readline, _NDJSON_LINE_BYTES), b""), start=1):
                if len(line) == _NDJSON_LINE_BYTES:
                    raise ProfileDataError(
                        f"{self._file}, line {number}: it has more than {_NDJSON_LINE_BYTES >> 20} MiB. Leave it out."
                    )
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield number, line


class _DuplicateKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise _DuplicateKeyError
    return record


_JSON = json.JSONDecoder(object_pairs_hook=_unique)


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = _JSON.decode(line.decode())
    except _DuplicateKeyError:
        raise ProfileDataError("a key comes up twice in one object. Rename or drop one.") from None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ProfileDataError("this is no JSON object in UTF-8. NDJSON is one JSON object a line.")
    return record


_KINDS: dict[tuple[str, ...], Callable[[File], FileRows]] = {
    (".parquet",): ParquetRows,
    (".csv", ".csv.gz"): CsvRows,
    (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz", ".json", ".json.gz"): NdjsonRows,
}


class _Bytes(io.RawIOBase):
    """The bytes of anything that has ``read``, object storage included.

    Ends the last line, without which pyarrow takes a lone header for no CSV.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._end = b"\n"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        if not data:
            data, self._end = self._end, b""
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _opened(file: File) -> Iterator[_Bytes]:
    with file.open("rb") as stream, _damage_named(file):
        yield _Bytes(gzip.GzipFile(fileobj=stream) if file.name.lower().endswith(".gz") else stream)


_DAMAGE = (pa.ArrowException, UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError)


@contextmanager
def _damage_named(file: File) -> Iterator[None]:
    """Tell a file that is broken, which stays so, from a storage that fails, which may be tried again."""
    try:
        yield
    except _DAMAGE:
        raise _damaged(file) from None
    except OSError as error:
        if type(error) is not OSError or error.errno is not None:
            raise
        raise _damaged(file) from None  # as pyarrow tells what it cannot decode


def _damaged(file: File) -> ProfileDataError:
    return ProfileDataError(f"{file} is damaged, cut short, or not what its name says. Write it again.")
