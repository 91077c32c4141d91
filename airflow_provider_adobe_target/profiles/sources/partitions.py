"""Hive-partitioned folders, such as ``day=2026-01-31/country=CH/part-0.parquet``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

import pyarrow as pa

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.record_batches import project, record_batch
from airflow_provider_adobe_target.profiles.sources.rows import row_count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


class FileRows(Protocol):
    """Rows of one file."""

    @property
    def schema(self) -> pa.Schema:
        """All columns of the file."""

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows; see :meth:`.Rows.record_batches`."""


@dataclass(frozen=True)
class DatasetFile:
    """A file and the partition values of its folders.

    :param path: ``pathlib.Path`` or ``ObjectStoragePath``.
    :param folder_values: Values by column name; None is null.
    """

    path: Any
    folder_values: Mapping[str, str | None]

    @property
    def name(self) -> str:
        """Last part of the path."""
        return str(self.path.name)

    def open(self, mode: str) -> Any:
        """Open the file."""
        return self.path.open(mode)

    def __str__(self) -> str:
        return str(self.path)


def dataset_files(folder: Any, pattern: str = "**/*") -> list[DatasetFile]:
    """Return the files below a folder, sorted by path.

    As in Spark, files and folders whose names start with ``_`` or ``.`` are skipped: they contain markers, checksums
    and the output of unfinished jobs. A pattern that contains such a name includes them.

    :param folder: ``pathlib.Path`` or ``ObjectStoragePath``.
    :param pattern: Glob. Default: all files at any depth.
    :raises ProfileDataError: If a folder name is not UTF-8.
    """
    depth = len(folder.parts)
    include_hidden = _is_hidden(pattern.split("/"))
    found = []
    for path in sorted(folder.glob(pattern), key=str):
        below = path.parts[depth:]
        if (include_hidden or not _is_hidden(below)) and path.is_file():
            found.append(DatasetFile(path, _folder_values(below[:-1])))
    return found


def _is_hidden(parts: Collection[str]) -> bool:
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in parts)


def _folder_values(folders: Collection[str]) -> dict[str, str | None]:
    """Parse folder names ``key=value`` as written by Hive and Spark: percent-encoded, with a reserved name for null.

    :raises ProfileDataError: If a name is not UTF-8.
    """
    if not all(_is_text(folder) for folder in folders):
        raise ProfileDataError(f"The folders {'/'.join(folders)!r} are not named in UTF-8. Rename them.")
    pairs = [folder.partition("=") for folder in folders if not folder.startswith("=") and "=" in folder]
    return {unquote(key): None if value == _HIVE_NULL else unquote(value) for key, _, value in pairs}


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class RowsInFolders:
    """Rows of a file, with a string column for each partition value. Columns of the file take precedence.

    :param rows: Rows of the file.
    :param folder_values: Values by column name; None is null.
    """

    def __init__(self, rows: FileRows, folder_values: Mapping[str, str | None]) -> None:
        self._rows = rows
        self._folder_values = folder_values

    @property
    def row_count(self) -> int | None:
        """Number of rows of the file, if it is known."""
        return row_count(self._rows)

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the file, followed by those of the folders."""
        own = self._rows.schema
        return pa.schema([*own, *((name, pa.string()) for name in self._folder_values if name not in own.names)])

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows; see :meth:`.Rows.record_batches`."""
        names = project(self.schema, columns).names
        for batch in self._rows.record_batches(columns):
            own = dict(zip(batch.schema.names, batch.columns, strict=True))
            rows = batch.num_rows
            yield record_batch({name: own[name] if name in own else self._repeated(name, rows) for name in names}, rows)

    def _repeated(self, name: str, rows: int) -> pa.Array:
        return pa.repeat(pa.scalar(self._folder_values[name], pa.string()), rows)
