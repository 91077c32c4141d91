"""Stream the result of a statement from an Airflow database connection, through ADBC or a DB-API cursor."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.driver_errors import call_driver, driver_name

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_adobe_target.profiles.sources.rows import Rows

log = logging.getLogger(__name__)

_ADBC_BATCH_BYTES = 4 * 1024 * 1024


class Database(Protocol):
    """A database: a ``DbApiHook`` of Airflow, or another object that opens connections."""

    def get_conn(self) -> Any:
        """Return a new DB-API connection."""


def database_hook(conn_id: str) -> DbApiHook:
    """Return the hook of a database connection.

    :raises ProfileDataError: If the connection's hook is not a ``DbApiHook``.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_adobe_target.version_compat import BaseHook

    hook = BaseHook.get_hook(conn_id)
    if not isinstance(hook, DbApiHook):
        raise ProfileDataError(
            f"sql_conn_id={conn_id!r} is a connection of type {type(hook).__name__}, which does not support SQL. Use a "
            "database connection."
        )
    return hook


def read_sql(hook: Database, sql: str, parameters: Iterable[Any] | Mapping[str, Any] | None) -> Rows:
    """Return the rows of one statement, streamed.

    PostgreSQL is read through ADBC if its driver is installed, the statement has no parameters (ADBC uses other
    placeholders), and ADBC returns the same text for every column type. Otherwise the connection's DB-API cursor is
    used: a server-side cursor for drivers whose default cursor buffers the whole result.

    :param hook: Hook of the database connection, or another object that opens connections.
    :param sql: Statement.
    :param parameters: Parameters of the statement; None for none.
    """
    from airflow_provider_adobe_target.profiles.sources.cursors import read_cursor
    from airflow_provider_adobe_target.profiles.sources.mysql import read_mysql_values
    from airflow_provider_adobe_target.profiles.sources.postgresql import read_postgresql_values

    @contextmanager
    def open_cursor() -> Iterator[Any]:
        with ExitStack() as opened:
            connection = opened.enter_context(closing(hook.get_conn()))
            cursor = None
            if parameters is None and driver_name(connection) in ("psycopg", "psycopg2"):
                cursor = _adbc_cursor(connection, sql, opened)
            elif parameters is None and driver_name(connection) in ("duckdb", "_duckdb"):
                cursor = connection.sql(sql)  # relations stream; DuckDB cursors buffer the whole result
            if cursor is None:
                read_postgresql_values(connection)
                read_mysql_values(connection)
                cursor = opened.enter_context(closing(_streaming_cursor(connection)))
                _execute(cursor, *[sql] if parameters is None else [sql, parameters])
            yield cursor

    return read_cursor(open_cursor)


def _execute(cursor: Any, *arguments: Any) -> None:
    """Execute a statement.

    Most drivers may read the first rows here, so their errors can contain values and are masked. A server-side cursor
    of PostgreSQL only declares the statement, so its errors propagate unchanged.

    :raises SourceReadError: If the driver fails.
    """
    if driver_name(cursor) in ("psycopg", "psycopg2"):
        cursor.execute(*arguments)
    else:
        call_driver(lambda: cursor.execute(*arguments), "to run the statement")


def _streaming_cursor(connection: Any) -> Any:
    """Open a cursor that streams the result. For psycopg and the MySQL drivers, this is a server-side cursor."""
    driver = driver_name(connection)
    if driver in ("psycopg", "psycopg2"):
        return connection.cursor(name="adobe_target")
    if driver == "pymysql":
        from pymysql.cursors import SSCursor

        return connection.cursor(SSCursor)
    if driver == "MySQLdb":
        from MySQLdb.cursors import SSCursor

        return connection.cursor(SSCursor)
    if driver == "snowflake":
        connection.arrow_number_to_decimal_setter = True  # otherwise NUMBER(10, 2) becomes float
    return connection.cursor()


def _adbc_cursor(connection: Any, sql: str, opened: ExitStack) -> Any | None:
    """Execute a statement of a PostgreSQL connection through ADBC, if it returns the same text as the DB-API driver.

    :param connection: Open connection of psycopg or psycopg2, whose parameters ADBC reuses.
    :param opened: Exit stack that closes the ADBC connection and cursor.
    :return: Cursor with ``fetch_record_batch``; None if ADBC is not installed, fails, or would return other text.
    """
    try:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql.dbapi import connect
    except ImportError:
        return None
    from pyarrow import ArrowException

    from airflow_provider_adobe_target.profiles.sources.arrow_cursors import columns_that_differ

    with ExitStack() as tried:
        try:
            adbc = tried.enter_context(closing(connect(_libpq_uri(connection))))
            hint = {"adbc.postgresql.batch_size_hint_bytes": str(_ADBC_BATCH_BYTES)}
            cursor = tried.enter_context(closing(adbc.cursor(adbc_stmt_kwargs=hint)))
            cursor.execute(
                "SET TRANSACTION READ ONLY"
            )  # otherwise a statement that writes would be rolled back silently
            cursor.execute("SELECT current_setting('timezone')")
            is_utc = cursor.fetchone()[0] in ("UTC", "Etc/UTC")
            differing = columns_that_differ(cursor.adbc_execute_schema(sql), is_utc=is_utc)
            if not differing:
                cursor.execute(sql)
                reader = iter(cursor.fetch_record_batch())
                first = list(islice(reader, 1))  # PostgreSQL reports errors with the first batch
        except (Error, ArrowException, OSError) as error:
            # Fall back to the DB-API cursor. The error message may contain values, so only its class is logged.
            differing = [f"({type(error).__name__})"]
        if differing:
            log.info("The statement is not read through ADBC but by a cursor, because of %s", ", ".join(differing))
            return None
        opened.push(tried.pop_all())
        log.info("The statement is read through ADBC")
        return SimpleNamespace(fetch_record_batch=lambda: chain(first, reader))


def _libpq_uri(connection: Any) -> str:
    info = connection.info
    given = info.dsn_parameters if hasattr(info, "dsn_parameters") else info.get_parameters()
    parameters = {**given, "client_encoding": "UTF8"}
    if info.password:
        parameters["password"] = info.password
    return "postgresql://?" + urlencode(parameters, quote_via=quote)
