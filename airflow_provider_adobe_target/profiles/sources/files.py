"""Rows of Parquet, CSV and NDJSON files."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.csv import CsvRows
from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions
from airflow_provider_adobe_target.profiles.sources.file_streams import File
from airflow_provider_adobe_target.profiles.sources.ndjson import NdjsonRows
from airflow_provider_adobe_target.profiles.sources.parquet import ParquetRows
from airflow_provider_adobe_target.profiles.sources.partitions import DatasetFile, FileRows, RowsInFolders
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    conform,
    merge_schemas,
    project,
)
from airflow_provider_adobe_target.profiles.sources.reject_columns import RejectedRows
from airflow_provider_adobe_target.profiles.sources.rows import row_count
from airflow_provider_adobe_target.profiles.values.float_marks import floats_in, mark_floats

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from airflow_provider_adobe_target.profiles.sources.rows import Rows


def read_files(files: Sequence[File], options: FileOptions | None = None) -> Rows:
    """Return the rows of files, read sequentially in constant memory.

    Formats, columns and types of the files may differ. A column that a file does not have is null. From Parquet files,
    only the selected columns are read, at least one row group at a time.

    * Parquet (``.parquet``, ``.parq``, ``.pq``);
    * CSV (``.csv``): by default comma-separated UTF-8 with a header. Cells are unmodified text; empty cells are null.
      Quoted cells may contain line breaks. Empty lines are skipped. A row has at most 8 MiB;
    * NDJSON (``.ndjson``, ``.jsonl``, ``.json``): one JSON object per line, in UTF-8, of at most 8 MiB. Files are read
      twice, because any line may have a new key.

    CSV and NDJSON may be compressed with gzip or Zstandard (``.gz``, ``.zst``).

    :param files: Paths, in the order of the rows. A :class:`~.partitions.DatasetFile` has additional columns from its
        folders.
    :param options: Format of all files, and delimiter and encoding of CSV.
    :raises ProfileDataError: If a suffix is unknown and the options have no format. Errors within a file are raised
        when it is read. Errors of the storage, such as ``FileNotFoundError``, propagate.
    """
    options = options or FileOptions()
    return FilesRows([_file_rows(file, options) for file in files])


def _file_rows(file: File, options: FileOptions) -> FileRows:
    read = _READERS[options.file_format or _format_of(file)]
    rows = RejectedRows(read(file, options), str(file))
    return RowsInFolders(rows, file.folder_values) if isinstance(file, DatasetFile) else rows


def _format_of(file: File) -> str:
    name = file.name.lower()
    for compression in _COMPRESSIONS:
        name = name.removesuffix(compression)
    is_compressed = name != file.name.lower()
    for file_format, suffixes in SUFFIXES.items():
        if name.endswith(suffixes) and not (is_compressed and file_format == "parquet"):
            return file_format
    raise ProfileDataError(
        f"A file has an unknown suffix: {file}. Use files that end in {_ACCEPTED}, or set file_format to the format "
        "of all files: 'parquet', 'csv' or 'ndjson'."
    )


class FilesRows:
    """Concatenated rows of several files.

    :param files: Rows of each file.
    """

    def __init__(self, files: Sequence[FileRows]) -> None:
        self._files = files

    @property
    def row_count(self) -> int | None:
        """Number of rows of all files. None if that of a file is unknown."""
        counts = [row_count(file) for file in self._files]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of all files, in order of first appearance. A column of floats is marked with the first such file.

        :raises ProfileDataError: If a file cannot be read, or a column is nested in some files only.
        """
        merged = merge_schemas(file.schema for file in self._files)
        marks: dict[str, str] = {}
        for file in self._files:
            for field in file.schema:
                if mark := floats_in(field):
                    marks.setdefault(field.name, mark)
        return pa.schema([mark_floats(field, marks[field.name]) if field.name in marks else field for field in merged])

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows; see :meth:`.Rows.record_batches`."""
        schema = project(self.schema, columns)
        for file in self._files:
            for batch in file.record_batches(columns):
                yield conform(batch, schema)


_READERS: dict[str, Callable[[File, FileOptions], FileRows]] = {
    "parquet": lambda file, _: ParquetRows(file),
    "csv": lambda file, options: CsvRows(file, options),
    "ndjson": lambda file, _: NdjsonRows(file),
}
SUFFIXES = {
    "parquet": (".parquet", ".parq", ".pq"),
    "csv": (".csv",),
    "ndjson": (".ndjson", ".jsonl", ".json"),
}
_COMPRESSIONS = (".gz", ".zst")
_ACCEPTED = (
    ".parquet, .csv, .csv.gz, .ndjson, .ndjson.gz, .jsonl, .jsonl.gz, .json, .json.gz, .parq, .pq, or in .zst instead "
    "of .gz"
)
