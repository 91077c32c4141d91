"""Names of database drivers, and their errors without the messages, which can contain values of rows."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

from airflow_provider_adobe_target.exceptions import AdobeTargetError, SourceReadError

_T = TypeVar("_T")
_END = object()
_CODE = re.compile(r"[A-Z0-9_]{1,40}")
# How drivers quote a column name. A match is used only if it is the name of a column of the result.
_COLUMN = re.compile(r"""\bcolumn '([^']*)'|\bcolumn "([^"]*)\"""")

log = logging.getLogger(__name__)


def driver_name(connection: Any) -> str:
    """Return the top-level package of a DB-API connection or cursor, such as ``psycopg``."""
    return type(connection).__module__.partition(".")[0]


def call_driver(call: Callable[[], _T], step: str, columns: Collection[str] = ()) -> _T:
    """Call a database driver, and raise its errors without message, cause and context.

    :param call: Function that calls the driver.
    :param step: Step that fails, with the row number if known, for the message.
    :param columns: Names of the columns of the result.
    :return: Result of the call.
    :raises SourceReadError: If the driver fails. The message has the class and the code of the driver's error.
    """
    try:
        return call()
    except AdobeTargetError:
        raise
    except Exception as error:
        log.debug("The driver's message: %s", error)
        failure = SourceReadError(
            f"The database driver failed {step}: {_described(error)}{_column_named(error, columns)}. Its message is "
            "logged at level DEBUG only, because it may contain values of a row."
        )
    raise failure  # outside of the except block, so that the driver's error is not its context


def read_driver(batches: Iterable[_T], columns: Collection[str] = ()) -> Iterator[_T]:
    """Iterate over the batches of a driver.

    :param batches: Iterable of batches that have ``num_rows``.
    :param columns: Names of the columns of the result.
    :raises SourceReadError: As :func:`call_driver`.
    """
    rows = 0
    iterator = call_driver(lambda: iter(batches), "before the first row", columns)
    while True:
        step = f"while reading rows, at or after row {rows:,} (counted from 0)"
        batch: Any = call_driver(lambda: next(iterator, _END), step, columns)
        if batch is _END:
            return
        rows += batch.num_rows
        yield batch


def _described(error: Exception) -> str:
    error_type = type(error)
    name = f"{error_type.__module__.partition('.')[0]}.{error_type.__qualname__}"
    code = next(filter(None, (getattr(error, attribute, None) for attribute in _CODE_ATTRIBUTES)), None)
    return f"{name} ({code})" if _CODE.fullmatch(str(code)) and code is not None else name


_CODE_ATTRIBUTES = ("sqlstate", "pgcode", "sqlite_errorname", "errno")


def _column_named(error: Exception, columns: Collection[str]) -> str:
    found = _COLUMN.search(str(error))
    name = found and (found[1] or found[2])
    return f", column {name!r}" if name in columns else ""
