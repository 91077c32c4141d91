"""The rows of ``plan`` and ``send``: files, or the result of a statement."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from airflow_provider_adobe_target.cli.connection import prepare_airflow
from airflow_provider_adobe_target.cli.output import airflow_on_stderr, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import pyarrow as pa

    from airflow_provider_adobe_target.inputs.database import Database
    from airflow_provider_adobe_target.profiles.sources.rows import Rows

SQL_URL = "ADOBE_TARGET_SQL_URL"
"""Environment variable with the default of ``--sql-url``, so that no password is in the list of processes."""

_CHUNK = 4 * 1024 * 1024


@dataclass(frozen=True)
class RowArguments:
    """Arguments that select the rows.

    :param files: Paths, globs or folders, local or in object storage.
    :param sql: One statement, or the path of a ``.sql`` file.
    :param sql_conn_id: Airflow connection of the statement.
    :param sql_url: URL of the database of the statement.
    :param file_format: Format of all files. None to derive it from the suffixes.
    :param csv_options: Delimiter and encoding of CSV.
    """

    files: tuple[str, ...]
    sql: str | None
    sql_conn_id: str | None
    sql_url: str | None
    file_format: str | None
    csv_options: dict[str, str]

    def check(self) -> None:
        """Check that one source is given completely, and that local files exist.

        :raises click.UsageError: Otherwise.
        """
        if bool(self.files) == bool(self.sql):
            raise click.UsageError("Give either files or --sql.")
        if self.sql and bool(self.sql_conn_id) == bool(self.sql_url):
            raise click.UsageError(
                f"--sql requires either --sql-conn-id or --sql-url (or the environment variable {SQL_URL})."
            )
        if not self.sql and (self.sql_conn_id or self.sql_url):
            raise click.UsageError("--sql-conn-id and --sql-url require --sql.")
        for file in self.files:
            if _is_local_file(file) and not Path(file).exists():
                raise click.UsageError(f"There is no file {file!r}.")

    def read(self, folder: Path) -> Rows:
        """Return the rows; a function for ``UploadSource``.

        :raises AdobeTargetError: If the source cannot be read.
        """
        if not self.sql:
            from airflow_provider_adobe_target.inputs.file_paths import read_paths
            from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions

            options = FileOptions.checked(self.file_format, self.csv_options or None)
            return read_paths(list(self.files), options, _path_of)
        from airflow_provider_adobe_target.inputs.database import read_sql

        return read_sql(_CheckedDatabase(self._database()), self._statement(), None)

    def _statement(self) -> str:
        sql = self.sql or ""
        return Path(sql).read_text(encoding="utf-8") if sql.endswith(".sql") else sql

    def _database(self) -> Database:
        if self.sql_url:
            return UrlDatabase(self.sql_url)
        with airflow_on_stderr():
            prepare_airflow()
            from airflow.providers.common.compat.sdk import AirflowException

            from airflow_provider_adobe_target.inputs.database import database_hook

            try:
                return database_hook(str(self.sql_conn_id))
            except (AirflowException, RuntimeError) as error:
                raise click.UsageError(
                    f"Airflow has no usable connection {self.sql_conn_id!r}: {first_line(error)}"
                ) from None


def default_sql_url(sql: str | None, sql_conn_id: str | None) -> str | None:
    """Return the URL of the environment, if the statement has no other database."""
    return os.environ.get(SQL_URL) if sql and not sql_conn_id else None


class UrlDatabase:
    """A database that is named by a URL.

    :param url: ``duckdb:///file``, ``sqlite:///file``, or any URL of SQLAlchemy whose driver is installed.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def get_conn(self) -> Any:
        """Return a new DB-API connection. Files of DuckDB and SQLite are opened for reading only.

        :raises click.UsageError: If the URL cannot be used. The message does not contain it.
        """
        kind, _, path = self._url.partition(":///")
        try:
            if kind == "duckdb":
                import duckdb

                return duckdb.connect(_existing(path), read_only=True)
            if kind == "sqlite":
                import sqlite3

                return sqlite3.connect(f"file:{quote(_existing(path))}?mode=ro", uri=True)
            return self._driver_connection()
        except ImportError as error:
            raise click.UsageError(f"The driver of --sql-url is not installed: {error.name or error}.") from None

    def _driver_connection(self) -> Any:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
        from sqlalchemy.pool import NullPool

        try:
            engine = create_engine(self._url, poolclass=NullPool)
        except (ArgumentError, NoSuchModuleError):
            raise click.UsageError(
                "--sql-url is not a URL that SQLAlchemy supports. Write duckdb:///file, sqlite:///file or "
                "postgresql://user@host/database."
            ) from None
        pooled = engine.raw_connection()
        connection = pooled.driver_connection
        pooled.detach()
        return connection


class _CheckedDatabase:
    """A database whose connection errors are those of this package."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_conn(self) -> Any:
        """Return a new DB-API connection.

        :raises SourceReadError: If the driver cannot connect. No row was read, so the message may have the driver's.
        """
        from airflow_provider_adobe_target.exceptions import SourceReadError

        try:
            with airflow_on_stderr():  # Airflow 2.11 logs to standard output
                return self._database.get_conn()
        except click.ClickException:
            raise
        except Exception as error:
            cause = getattr(error, "orig", None) or error
            raise SourceReadError(f"The database cannot be opened: {first_line(cause)}") from None


class CountedRows:
    """Rows that report how many were read.

    :param rows: Rows.
    :param on_rows: Function that is called with the number of rows of each batch.
    """

    def __init__(self, rows: Rows, on_rows: Callable[[int], object]) -> None:
        self._rows = rows
        self._on_rows = on_rows

    @property
    def schema(self) -> pa.Schema | None:
        """Columns of the rows."""
        return self._rows.schema

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows; see :meth:`.Rows.record_batches`."""
        for batch in self._rows.record_batches(columns):
            yield batch
            self._on_rows(len(batch))


def count_rows(arguments: RowArguments) -> int | None:
    """Return the number of rows of local, uncompressed files, for a progress bar; None if it takes a full read.

    For CSV and NDJSON it is the number of line ends, which is too high if quoted cells contain some.
    """
    if not arguments.files or not all(map(_is_local_file, arguments.files)):
        return None
    counts = [_count(Path(file), arguments.file_format) for file in arguments.files]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _count(file: Path, file_format: str | None) -> int | None:
    suffix = f".{file_format}" if file_format else file.suffix.lower()
    try:
        if suffix in (".parquet", ".parq", ".pq"):
            from pyarrow import parquet

            return int(parquet.read_metadata(file).num_rows)
        if suffix in (".csv", ".ndjson", ".jsonl", ".json"):
            with file.open("rb") as stream:
                lines = sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(_CHUNK), b""))
            return max(0, lines - 1) if suffix == ".csv" else lines
    except Exception:  # the read of the rows reports it
        return None
    return None


def _is_local_file(path: str) -> bool:
    return "://" not in path and not re.search(r"[*?\[]", path)


def _path_of(text: str) -> Any:
    if "://" not in text:
        return Path(text)
    from airflow_provider_adobe_target.inputs.file_paths import object_storage_path

    with airflow_on_stderr():
        prepare_airflow()
        return object_storage_path(text)


def _existing(path: str) -> str:
    if not Path(path).is_file():
        raise click.UsageError(f"There is no file {path!r}.")
    return path
