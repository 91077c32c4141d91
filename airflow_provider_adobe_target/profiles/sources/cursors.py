"""Rows of a database cursor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.arrow_cursors import arrow_batches
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    AdaptiveBatchSize,
    check_column_names,
    record_batch,
    recut,
    wanted,
)
from airflow_provider_adobe_target.profiles.values.object_columns import from_objects

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from airflow_provider_adobe_target.profiles.sources.rows import Rows


def read_cursor(open_cursor: Callable[[], AbstractContextManager[Any]], *, fetch_size: int = 10_000) -> Rows:
    """Read the result of a statement as it comes, never whole; as Arrow, where the cursor hands that out.

    :param open_cursor: opens a DB-API cursor that already ran its statement, and closes it on leaving.
        It should be a server-side one where the driver has them: others hold the whole result in memory.
    :param fetch_size: number of rows to ask for at a time, by default 10,000.
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
        """Fetch and convert the rows; see :class:`~airflow_provider_adobe_target.profiles.sources.rows.Rows`.

        The cursor is closed when the last row was read, when reading fails, and when the caller stops early.

        :raises ProfileDataError: where two columns of the result have the same name, the statement has no
            result, or the rows were read before.
        """
        if self._was_read:
            raise ProfileDataError("The result of a statement can be read only once.")
        self._was_read = True
        return self._read(columns)

    def _read(self, columns: Collection[str] | None) -> Iterator[pa.RecordBatch]:
        with self._open_cursor() as cursor:
            batches = arrow_batches(cursor)
            if batches is None:
                yield from self._fetched(cursor, columns)
            else:
                for batch in batches:
                    yield from recut(batch.select(wanted(batch.schema.names, columns)))

    def _fetched(self, cursor: Any, columns: Collection[str] | None) -> Iterator[pa.RecordBatch]:
        pace = AdaptiveBatchSize()
        rows = cursor.fetchmany(self._fetch_size)
        # Only now, as psycopg2's named cursors have no description before the first fetch.
        names = _column_names(cursor)
        chosen = wanted(names, columns)
        while rows:
            values = dict(zip(names, _transposed(rows, names), strict=True))
            convert = partial(_convert, {name: values[name] for name in chosen})
            yield from pace.record_batches(len(rows), convert)
            rows = cursor.fetchmany(self._fetch_size)


def _convert(values: Mapping[str, Sequence[object]], start: int, stop: int) -> pa.RecordBatch:
    return record_batch({name: from_objects(column[start:stop]) for name, column in values.items()}, stop - start)


def _column_names(cursor: Any) -> list[str]:
    if cursor.description is None:
        raise ProfileDataError("The statement has no result. Its last, or only, part has to be a SELECT.")
    names = [column[0] for column in cursor.description]
    check_column_names(names, "The statement's result")
    return names


def _transposed(rows: Sequence[Any], names: Sequence[str]) -> list[Sequence[object]]:
    if isinstance(rows[0], Mapping):  # as the dict cursors of psycopg2 and MySQL give them
        return [[row[name] for row in rows] for name in names]
    return list(zip(*rows, strict=True))
