"""Python dicts to Arrow record batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    AdaptiveBatchSize,
    conform,
    project,
    record_batch,
)
from airflow_provider_adobe_target.profiles.values.object_columns import from_objects

Names = dict[str, "Names"]
"""The keys of dicts, in order of first appearance, each with the keys of the dicts beneath it."""


_MAX_DEPTH = 100


def note_names(names: Names, record: Mapping[Any, Any], depth: int = 1) -> None:
    """Add the keys of a dict, and of the dicts in it.

    :param names: what was found before; changed in place.
    :param record: one row, or the value of a nested column.
    :param depth: how many dicts deep the record is.
    :raises ProfileDataError: where a key is not text, or not text that can be written as UTF-8, or where there are
        dicts within dicts for more than 100 levels.
    """
    if depth > _MAX_DEPTH:
        raise ProfileDataError(f"Its fields are nested more than {_MAX_DEPTH} levels deep. Leave them out.")
    for key, value in record.items():
        if key not in names:
            names[_checked_key(key)] = {}
        if isinstance(value, dict):
            note_names(names[key], value, depth + 1)


def _checked_key(key: object) -> str:
    if not isinstance(key, str):
        raise ProfileDataError(f"A key is {type(key).__name__}, not text. Name every value by a str.")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ProfileDataError(f"The key {key!r} holds half a surrogate pair. Rename it.") from None
    return key


def names_type(names: Names) -> pa.DataType:
    """Make the type of a column that holds dicts with these keys; null where there is no key.

    :param names: the keys of the dicts.
    :return: a struct with every field. What is not a dict has the type null: its own is told batch by batch.
    """
    return pa.struct([(name, names_type(nested)) for name, nested in names.items()]) if names else pa.null()


def objects_type(name: str, values: Collection[object]) -> pa.DataType:
    """Look for dicts in a column of Python objects; see :func:`names_type`.

    :param name: the name of the column.
    :param values: all its values.
    :raises ProfileDataError: naming the column, where a key of a dict is not text.
    """
    names: Names = {}
    if not any(issubclass(kind, dict) for kind in set(map(type, values))):
        return names_type(names)
    try:
        for value in values:
            if isinstance(value, dict):
                note_names(names, value)
    except ProfileDataError as error:
        raise ProfileDataError(f"Column {name!r}: {error}") from None
    return names_type(names)


def records_schema(names: Names) -> pa.Schema:
    """Make the schema of rows with these keys; see :func:`names_type`."""
    return pa.schema([(name, names_type(nested)) for name, nested in names.items()])


def records_batch(records: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Turn rows into columns.

    :param records: the rows; a key that is missing is null.
    :param schema: the columns that are wanted, with all their nested fields.
    :raises ProfileDataError: where a column holds dicts in some rows and other values in others.
    """
    columns = {name: from_objects([record.get(name) for record in records]) for name in schema.names}
    return conform(record_batch(columns, len(records)), schema)


class RecordRows:
    """Rows of a list of dicts.

    :param records: the rows. Columns come in order of first appearance over the whole list.
    """

    def __init__(self, records: Sequence[object]) -> None:
        self._records: Sequence[Any] = records

    @cached_property
    def schema(self) -> pa.Schema:
        """Every column of any row; its type is null but for nested columns.

        :raises ProfileDataError: naming the position of what is no dict, or has a key that is not text.
        """
        names: Names = {}
        for position, record in enumerate(self._records):
            if not isinstance(record, Mapping):
                raise ProfileDataError(
                    f"Item {position} of the list (counted from 0) is {type(record).__name__}, not a dict. "
                    "Give each row as a dict of column names and values."
                )
            try:
                note_names(names, record)
            except ProfileDataError as error:
                raise ProfileDataError(f"Item {position} of the list (counted from 0): {error}") from None
        return records_schema(names)

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Convert the rows slice by slice.

        See :class:`~airflow_provider_adobe_target.profiles.sources.rows.Rows`.
        """
        schema = project(self.schema, columns)
        return AdaptiveBatchSize().record_batches(
            len(self._records), lambda start, stop: records_batch(self._records[start:stop], schema)
        )
