"""Rows of database cursors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.arrow_cursors import arrow_batches
from airflow_provider_adobe_target.profiles.sources.dicts import objects_column
from airflow_provider_adobe_target.profiles.sources.driver_errors import call_driver
from airflow_provider_adobe_target.profiles.sources.postgresql import ColumnReader, text_column_readers
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    AdaptiveBatchSize,
    check_column_names,
    merge_schemas,
    record_batch,
    recut,
    wanted,
)
from airflow_provider_adobe_target.profiles.values.object_columns import value_kinds
from airflow_provider_adobe_target.profiles.values.python_values import type_without_text_form

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from airflow_provider_adobe_target.profiles.sources.rows import Rows


def read_cursor(open_cursor: Callable[[], AbstractContextManager[Any]], *, fetch_size: int = 10_000) -> Rows:
    """Return the rows of a statement, streamed, and read as Arrow if the cursor supports it.

    :param open_cursor: Context manager of a DB-API cursor that has executed its statement. Use a server-side cursor if
        the driver has one; others buffer the whole result.
    :param fetch_size: Number of rows per fetch.
    """
    return CursorRows(open_cursor, fetch_size)


class CursorRows:
    """Rows of a DB-API cursor; see :func:`read_cursor`."""

    schema = None

    def __init__(self, open_cursor: Callable[[], AbstractContextManager[Any]], fetch_size: int) -> None:
        self._open_cursor = open_cursor
        self._fetch_size = fetch_size
        self._was_read = False

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Fetch and convert the rows; see :meth:`.Rows.record_batches`.

        The cursor is closed after the last row, on an error, and when the caller closes the iterator.

        :raises ProfileDataError: If two columns have the same name, a column has nested fields in some rows and plain
            values in others, the statement has no result, or the rows were read before.
        :raises SourceReadError: If the driver fails.
        """
        if self._was_read:
            raise ProfileDataError("The result of a statement can be read only once.")
        self._was_read = True
        return self._read(columns)

    def _read(self, columns: Collection[str] | None) -> Iterator[pa.RecordBatch]:
        with self._open_cursor() as cursor:
            nesting = _Nesting()
            batches = arrow_batches(cursor)
            if batches is None:
                batches = self._fetched(cursor, columns)
            for batch in batches:
                chosen = batch.select(wanted(batch.schema.names, columns))
                nesting.check(chosen.schema)
                yield from recut(chosen)

    def _fetched(self, cursor: Any, columns: Collection[str] | None) -> Iterator[pa.RecordBatch]:
        size = AdaptiveBatchSize()
        rows, number = self._fetch(cursor, 0, ()), 0
        # psycopg2's named cursors have no description before the first fetch.
        names = _column_names(cursor)
        readers = text_column_readers(cursor)
        chosen = wanted(names, columns)
        known: set[str] = set()  # columns that had a value in an earlier fetch
        while rows:
            values = dict(zip(names, _transposed(rows, names), strict=True))
            fetched = {name: values[name] for name in chosen}
            only = _types_without_text_form(fetched, known)
            yield from size.record_batches(len(rows), partial(_convert, fetched, only, readers))
            number += len(rows)
            del rows, values, fetched  # before the next rows need memory
            rows = self._fetch(cursor, number, names)

    def _fetch(self, cursor: Any, number: int, names: Sequence[str]) -> Sequence[Any]:
        step = f"while reading rows, at row {number:,} (counted from 0) or one of the {self._fetch_size:,} after it"
        fetched: Sequence[Any] = call_driver(lambda: cursor.fetchmany(self._fetch_size), step, names)
        return fetched


class _Nesting:
    """Check that a column does not have nested fields in one batch and plain values in another."""

    def __init__(self) -> None:
        self._merged: pa.Schema | None = None
        self._last: pa.Schema | None = None

    def check(self, schema: pa.Schema) -> None:
        """Compare the schema of a batch with those of earlier batches.

        :raises ProfileDataError: If a column differs in nesting.
        """
        if schema != self._last:
            self._merged = merge_schemas([self._merged or schema, schema])
            self._last = schema


def _types_without_text_form(values: Mapping[str, Sequence[object]], known: set[str]) -> dict[str, str]:
    """Return the columns in whose first fetch no value has a text form, with the name of their type.

    :param values: Columns of one fetch.
    :param known: Columns that had values in an earlier fetch; changed in place.
    """
    only = {}
    for name in [name for name in values if name not in known]:
        if types := value_kinds(values[name]):
            known.add(name)
            only[name] = type_without_text_form(types)
    return {name: type_name for name, type_name in only.items() if type_name}


def _convert(
    values: Mapping[str, Sequence[object]],
    only: Mapping[str, str],
    readers: Mapping[str, ColumnReader],
    start: int,
    stop: int,
) -> pa.RecordBatch:
    columns = {}
    for name, column in values.items():
        read = readers.get(name) or partial(objects_column, name, only=only.get(name))
        columns[name] = read(column[start:stop])
    return record_batch(columns, stop - start)


def _column_names(cursor: Any) -> list[str]:
    if cursor.description is None:
        raise ProfileDataError("The statement has no result. Its last part must be a SELECT.")
    names = [column[0] for column in cursor.description]
    check_column_names(names, "The statement's result")
    return names


def _transposed(rows: Sequence[Any], names: Sequence[str]) -> list[Sequence[object]]:
    if isinstance(rows[0], Mapping):  # dict cursors of psycopg2 and MySQL
        return [[row[name] for row in rows] for name in names]
    # Slices of one flat list: iterating over thousands of rows at a time, as zip does, takes four times as long.
    values = list(chain.from_iterable(rows))
    if len(values) != len(rows) * len(names):
        raise ValueError("The rows of the result differ in length.")
    return [values[place :: len(names)] for place in range(len(names))]
