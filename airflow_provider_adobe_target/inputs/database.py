"""Rows of a database connection of Airflow's, by the quickest way that gives them as they are and never whole."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.version_compat import BaseHook

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_adobe_target.profiles.sources.rows import Rows

log = logging.getLogger(__name__)

_ADBC_BATCH_BYTES = 4 * 1024 * 1024


def database_hook(conn_id: str) -> DbApiHook:
    """Return the hook of a database connection.

    :raises ProfileDataError: where the connection is not one to a database
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    hook = BaseHook.get_hook(conn_id)
    if not isinstance(hook, DbApiHook):
        raise ProfileDataError(
            f"sql_conn_id={conn_id!r} is a connection of type {type(hook).__name__}, which runs no SQL. Name one "
            "to a database."
        )
    return hook


def read_sql(hook: DbApiHook, sql: str, parameters: Iterable[Any] | Mapping[str, Any] | None) -> Rows:
    """Stream the result of one statement.

    PostgreSQL is read through ADBC where its driver is installed, there are no parameters, whose marks are others
    there, and each column has a type of which ADBC gives the same text. Else the connection's own cursor is used, a
    server-side one where the driver would else hold the whole result.
    """
    from airflow_provider_adobe_target.profiles.sources.cursors import read_cursor
    from airflow_provider_adobe_target.profiles.sources.postgresql import read_postgresql_values

    @contextmanager
    def open_cursor() -> Iterator[Any]:
        with ExitStack() as opened:
            connection = opened.enter_context(closing(hook.get_conn()))
            cursor = None
            if parameters is None and _driver(connection) in ("psycopg", "psycopg2"):
                cursor = _adbc_cursor(connection, sql, opened)
            elif parameters is None and _driver(connection) in ("duckdb", "_duckdb"):
                cursor = connection.sql(sql)  # a relation, which streams; DuckDB's cursors hold the whole result
            if cursor is None:
                read_postgresql_values(connection)
                cursor = opened.enter_context(closing(_streaming_cursor(connection)))
                _execute(cursor, *[sql] if parameters is None else [sql, parameters])
            yield cursor

    return read_cursor(open_cursor)


def _execute(cursor: Any, *arguments: Any) -> None:
    """Run a statement. Drivers may read the first rows here, so that their errors can quote values.

    A server-side cursor of PostgreSQL only declares the statement: its errors are passed on as they are.
    """
    from airflow_provider_adobe_target.profiles.sources.driver_errors import call_driver

    if _driver(cursor) in ("psycopg", "psycopg2"):
        cursor.execute(*arguments)
    else:
        call_driver(lambda: cursor.execute(*arguments), "to run the statement")


def _driver(connection: Any) -> str:
    return type(connection).__module__.partition(".")[0]


def _streaming_cursor(connection: Any) -> Any:
    """Open a cursor that does not fetch the whole result at once; psycopg and the MySQL drivers must be told so."""
    driver = _driver(connection)
    if driver in ("psycopg", "psycopg2"):
        return connection.cursor(name="adobe_target")
    if driver == "pymysql":
        from pymysql.cursors import SSCursor

        return connection.cursor(SSCursor)
    if driver == "MySQLdb":
        from MySQLdb.cursors import SSCursor

        return connection.cursor(SSCursor)
    if driver == "snowflake":
        connection.arrow_number_to_decimal_setter = True  # else its Arrow has floats for NUMBER(10, 2)
    return connection.cursor()


def _adbc_cursor(connection: Any, sql: str, opened: ExitStack) -> Any | None:
    """Run a statement of a PostgreSQL connection through ADBC, if that gives the same text.

    :param connection: of psycopg or psycopg2, open, so that it tells what the hook made of Airflow's connection
    :param opened: closes what is opened here
    :return: the cursor; None where the connection's own has to be used
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
            cursor.execute("SET TRANSACTION READ ONLY")  # what writes would be rolled back; a cursor says so
            cursor.execute("SELECT current_setting('timezone')")
            is_utc = cursor.fetchone()[0] in ("UTC", "Etc/UTC")
            differing = columns_that_differ(cursor.adbc_execute_schema(sql), is_utc=is_utc)
            if not differing:
                cursor.execute(sql)
                reader = iter(cursor.fetch_record_batch())
                first = list(islice(reader, 1))  # now, as PostgreSQL's own errors come with it
        except (Error, ArrowException, OSError) as error:
            # Whose message may hold values; the connection's own cursor fails in the same way, or it need not.
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
