"""Errors of database drivers, without their text: it can quote a value of a row."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

from airflow_provider_adobe_target.exceptions import AdobeTargetError, SourceReadError

_T = TypeVar("_T")
_END = object()
_CODE = re.compile(r"[A-Z0-9_]{1,40}")
# The forms in which drivers name a column; what matches is shown only if it is the name of a column.
_COLUMN = re.compile(r"""\bcolumn '([^']*)'|\bcolumn "([^"]*)\"""")

log = logging.getLogger(__name__)


def call_driver(call: Callable[[], _T], step: str, columns: Collection[str] = ()) -> _T:
    """Call a database driver, and raise its errors without their text, cause and context.

    :param call: the call of the driver
    :param step: what the driver does, and the row number where it is known, for the message
    :param columns: the names of the columns, one of which the driver may name
    :raises SourceReadError: with the class and the code of the driver's error
    """
    try:
        return call()
    except AdobeTargetError:
        raise
    except Exception as error:
        log.debug("The driver's own message: %s", error)
        failure = SourceReadError(
            f"The database driver failed {step}: {_described(error)}{_column_named(error, columns)}. Its message is "
            "logged at level DEBUG only, since it can hold a value of a row."
        )
    raise failure  # here, where the driver's error is not its context


def read_driver(batches: Iterable[_T], columns: Collection[str] = ()) -> Iterator[_T]:
    """Iterate over what a driver reads; errors as :func:`call_driver`. Items must have ``num_rows``."""
    rows = 0
    iterator = call_driver(lambda: iter(batches), "before the first row", columns)
    while True:
        step = f"while it read rows, at row {rows:,} (counted from 0) or after it"
        batch: Any = call_driver(lambda: next(iterator, _END), step, columns)
        if batch is _END:
            return
        rows += batch.num_rows
        yield batch


def _described(error: Exception) -> str:
    kind = type(error)
    name = f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"
    code = next(filter(None, (getattr(error, attribute, None) for attribute in _CODE_ATTRIBUTES)), None)
    return f"{name} ({code})" if _CODE.fullmatch(str(code)) and code is not None else name


_CODE_ATTRIBUTES = ("sqlstate", "pgcode", "sqlite_errorname", "errno")


def _column_named(error: Exception, columns: Collection[str]) -> str:
    found = _COLUMN.search(str(error))
    name = found and (found[1] or found[2])
    return f", column {name!r}" if name in columns else ""
