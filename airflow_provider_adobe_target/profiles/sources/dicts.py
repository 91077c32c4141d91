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
    conformed,
    project,
    record_batch,
)
from airflow_provider_adobe_target.profiles.values.object_columns import from_objects, value_kinds
from airflow_provider_adobe_target.profiles.values.python_values import TextCells, type_without_text_form

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
        if depth == 1 and not isinstance(key, str):
            key = column_label(key)
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


def column_label(name: object) -> str:
    """Return the name of a column as text; a name that is not text becomes one that no attribute can have."""
    return name if isinstance(name, str) else f"{type(name).__name__} {name!r}"


def objects_type(name: str, values: Collection[object]) -> pa.DataType:
    """Return the type of a column of Python objects, as far as all its values have to be known for it.

    See :func:`names_type` for dicts. A column whose values can all have no text form has the type ``TextCells`` with
    the name of their own type.

    :param name: the name of the column.
    :param values: all its values.
    :raises ProfileDataError: naming the column, where a key of a dict is not text.
    """
    names: Names = {}
    kinds = value_kinds(values)
    if not any(issubclass(kind, dict) for kind in kinds):
        only = type_without_text_form(kinds)
        return TextCells(only=only) if only else pa.null()
    try:
        for value in values:
            if isinstance(value, dict):
                note_names(names, value, depth=2)
    except ProfileDataError as error:
        raise ProfileDataError(f"Column {name!r}: {error}") from None
    return names_type(names)


def objects_column(name: str, values: Sequence[object], only: str | None = None) -> pa.Array:
    """Make an Arrow array of a column of Python objects, which may be dicts.

    :param only: the name of the type of the whole column, where that has no text form.
    :raises ProfileDataError: naming the column, where it holds dicts in some rows and other values in others.
    """
    if only:
        return pa.ExtensionArray.from_storage(TextCells(only=only), pa.nulls(len(values), TextCells.STORAGE))
    return conformed(from_objects(values), objects_type(name, values), len(values), name)


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
        fields = [(name, names_type(nested) if nested else self._plain_type(name)) for name, nested in names.items()]
        return pa.schema(fields)

    def _plain_type(self, name: str) -> pa.DataType:
        """Return a column's type where it has no nested fields: all values are read only if the first has no text."""
        values = (record.get(name) for record in self._records)
        first = next((value for value in values if value is not None), None)
        if not type_without_text_form(value_kinds([first])):
            return pa.null()
        return objects_type(name, [record.get(name) for record in self._records])

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Convert the rows slice by slice.

        See :class:`~airflow_provider_adobe_target.profiles.sources.rows.Rows`.
        """
        schema = project(self.schema, columns)
        return AdaptiveBatchSize().record_batches(
            len(self._records), lambda start, stop: records_batch(self._records[start:stop], schema)
        )
