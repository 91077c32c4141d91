"""Rows of Parquet, CSV and NDJSON files."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.csv import CsvRows
from airflow_provider_adobe_target.profiles.sources.file import (
    File,
)
from airflow_provider_adobe_target.profiles.sources.ndjson import NdjsonRows
from airflow_provider_adobe_target.profiles.sources.parquet import ParquetRows
from airflow_provider_adobe_target.profiles.sources.partitions import DatasetFile, FileRows, RowsInFolders
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    conform,
    merge_schemas,
    project,
)
from airflow_provider_adobe_target.profiles.values.float_marks import floats_in, mark_floats

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from airflow_provider_adobe_target.profiles.sources.rows import Rows


def read_files(files: Sequence[File]) -> Rows:
    """Read files one after the other, in memory that does not grow with them.

    Their kinds, columns and types may differ; a column that a file does not have is null there. Of Parquet only the
    columns asked for are read, and at least one row group of them is held.

    * Parquet (``.parquet``);
    * CSV (``.csv``, ``.csv.gz``): comma-separated UTF-8 with a header. Cells are text as they stand, empty
      ones null; quoted ones may hold line breaks; empty lines are skipped. A row has at most 8 MiB;
    * NDJSON (``.ndjson``, ``.jsonl``, ``.json``, each also with ``.gz``): one JSON object a line, in UTF-8, of at
      most 8 MiB. Files are read twice, as only the last line may tell the last name.

    :param files: paths, in the order in which their rows are to come; those that are a
        :class:`~.partitions.DatasetFile` have the columns that their folders name.
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

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows, as every source does."""
        schema = project(self.schema, columns)
        for file in self._files:
            for batch in file.record_batches(columns):
                yield conform(batch, schema)


_KINDS: dict[tuple[str, ...], Callable[[File], FileRows]] = {
    (".parquet",): ParquetRows,
    (".csv", ".csv.gz"): CsvRows,
    (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz", ".json", ".json.gz"): NdjsonRows,
}
