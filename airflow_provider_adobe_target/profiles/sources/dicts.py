"""Convert Python dicts to Arrow record batches."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
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
"""Tree of the keys of nested dicts, in order of first appearance."""


_MAX_DEPTH = 100


def note_names(names: Names, record: Mapping[Any, Any], depth: int = 1) -> None:
    """Add the keys of a dict, and of nested dicts, to a tree of keys.

    :param names: Tree of keys; changed in place.
    :param record: One row, or the value of a nested column.
    :param depth: Nesting level of the record, counted from 1.
    :raises ProfileDataError: If a key is not text, or has no UTF-8 encoding, or dicts are nested more than 100 levels
        deep.
    """
    if depth > _MAX_DEPTH:
        raise ProfileDataError(f"Its fields are nested more than {_MAX_DEPTH} levels deep. Remove or flatten them.")
    for key, value in record.items():
        if depth == 1 and not isinstance(key, str):
            key = column_label(key)
        if key not in names:
            names[_checked_key(key)] = {}
        if isinstance(value, dict):
            note_names(names[key], value, depth + 1)


def _checked_key(key: object) -> str:
    if not isinstance(key, str):
        raise ProfileDataError(f"A key is {type(key).__name__}, not text. Use str keys only.")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ProfileDataError(f"The key {key!r} contains an unpaired surrogate. Rename it.") from None
    return key


def names_type(names: Names) -> pa.DataType:
    """Return the type of a column of dicts.

    :param names: Tree of the keys.
    :return: Struct with a field per key; null if there is no key. Fields that are not dicts have the type null, because
        their type is determined per batch.
    """
    return pa.struct([(name, names_type(nested)) for name, nested in names.items()]) if names else pa.null()


def column_label(name: object) -> str:
    """Return a column name as text. Names that are not text become names that are invalid for attributes."""
    return name if isinstance(name, str) else f"{type(name).__name__} {name!r}"


def objects_type(name: str, values: Collection[object]) -> pa.DataType:
    """Return the type of a column of Python objects, as far as it depends on all values.

    :param name: Name of the column.
    :param values: All values of the column.
    :return: For dicts, see :func:`names_type`. If no value has a text form, ``TextCells`` with the name of the Python
        type. Otherwise null.
    :raises ProfileDataError: If a key of a dict is invalid.
    """
    return _type_of(name, values, value_kinds(values))


def _type_of(name: str, values: Collection[object], types: set[type]) -> pa.DataType:
    names: Names = {}
    if not any(issubclass(python_type, dict) for python_type in types):
        only = type_without_text_form(types)
        return TextCells(only=only) if only else pa.null()
    try:
        for value in values:
            if isinstance(value, dict):
                note_names(names, value, depth=2)
    except ProfileDataError as error:
        raise ProfileDataError(f"Column {name!r}: {error}") from None
    return names_type(names)


def objects_column(name: str, values: Sequence[object], only: str | None = None) -> pa.Array:
    """Convert a column of Python objects, which may be dicts, to an Arrow array.

    :param name: Name of the column.
    :param values: Values of one batch.
    :param only: Name of the column's Python type if it has no text form.
    :raises ProfileDataError: If the column has dicts in some rows and other values in others.
    """
    if only:
        return pa.ExtensionArray.from_storage(TextCells(only=only), pa.nulls(len(values), TextCells.STORAGE))
    types = value_kinds(values)
    return conformed(from_objects(values, types), _type_of(name, values, types), len(values), name)


def records_schema(names: Names) -> pa.Schema:
    """Return the schema of rows with a tree of keys; see :func:`names_type`."""
    return pa.schema([(name, names_type(nested)) for name, nested in names.items()])


def records_batch(records: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Convert rows to a record batch.

    :param records: Rows. A missing key is null.
    :param schema: Columns of the batch, with all nested fields.
    :raises ProfileDataError: If a column has dicts in some rows and other values in others.
    """
    columns = {name: from_objects([record.get(name) for record in records]) for name in schema.names}
    return conform(record_batch(columns, len(records)), schema)


class RecordRows:
    """Rows of a list of dicts.

    :param records: Rows. The columns are in order of first appearance in the whole list.
    """

    def __init__(self, records: Sequence[object]) -> None:
        self._records: Sequence[Any] = records
        self.row_count = len(records)

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns of all rows. Columns that are not nested have the type null.

        :raises ProfileDataError: If an item is not a dict, or a key is invalid.
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
        """Return the type of a column without nested fields. All values are read only if the first has no text form."""
        values = (record.get(name) for record in self._records)
        first = next((value for value in values if value is not None), None)
        if not type_without_text_form(value_kinds([first])):
            return pa.null()
        return objects_type(name, [record.get(name) for record in self._records])

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Convert the rows slice by slice; see :meth:`.Rows.record_batches`."""
        schema = project(self.schema, columns)
        return AdaptiveBatchSize().record_batches(
            len(self._records), lambda start, stop: records_batch(self._records[start:stop], schema)
        )


def json_number(digits: str) -> float | Decimal:
    """Parse a JSON number as a float if it round-trips, otherwise as a decimal."""
    number = float(digits)
    if math.isinf(number):
        return number
    exact = Decimal(digits)
    return number if exact == Decimal(repr(number)) else exact
