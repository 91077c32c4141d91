"""Convert Python values to Arrow arrays without changing their text form.

pyarrow's type inference would convert mixed values to a common type: bools to ints, ints to floats, dates to datetimes,
decimals to a common scale, and all datetimes to one time zone.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_provider_adobe_target.profiles.values.python_values import (
    LIST_TYPES,
    NoTextFormError,
    TextCells,
    cell_text,
    list_elements,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


_MISSING = frozenset({type(None), type(pd.NA), type(pd.NaT)})
_NATIVE: dict[type, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    date: pa.date32(),
    datetime: pa.timestamp("us"),
    time: pa.time64("us"),
}
_EXACT_INTEGERS_UP_TO = 2**53
# Raised by pyarrow for ints beyond 64 bits, lone surrogates, and floats that are not missing values.
_CONVERSION_ERRORS = (pa.ArrowException, OverflowError, TypeError, ValueError)


def from_objects(values: Sequence[object], types: set[type] | None = None) -> pa.Array:
    """Return an Arrow array of Python values.

    Values of one Python type that Arrow represents without loss get an Arrow type: text, bools, 64-bit ints, floats
    (including ints that are exact as floats), dates, datetimes and times without time zone, dicts (as a struct), and
    lists of these. Otherwise the array has the type :class:`TextCells`, with the text of each value, or a mark that the
    value has no text form. None, NaN, NaT and ``pandas.NA`` are null.

    :param values: Values of a pandas object column, of one key in a list of dicts, or of one column of a cursor.
    :param types: Result of :func:`value_kinds`, if the caller has it.
    """
    types = value_kinds(values) if types is None else types
    if not types:
        return pa.nulls(len(values))
    try:
        column = _native_column(values, types)
    except _CONVERSION_ERRORS:
        column = None
    return _text_cells(values, types) if column is None else column


def value_kinds(values: Collection[object]) -> set[type]:
    """Return the types of the values that are not missing."""
    types = set(map(type, values)) - _MISSING
    if float in types and all(value != value for value in values if type(value) is float):
        types.discard(float)
    return types


def _native_column(values: Sequence[Any], types: set[type]) -> pa.Array | None:
    """Return an array of an Arrow type; None if no Arrow type represents all values without loss."""
    if all(issubclass(value_type, dict) for value_type in types):
        return _struct_column(values)
    if all(issubclass(value_type, LIST_TYPES) for value_type in types):
        return _list_column(values)
    if types == {int, float}:
        exact = all(abs(value) <= _EXACT_INTEGERS_UP_TO for value in values if type(value) is int)
        return pa.array(values, pa.float64(), from_pandas=True) if exact else None
    (value_type, *others) = types
    if others or value_type not in _NATIVE:
        return None
    if value_type in (datetime, time) and any(type(value) is value_type and value.tzinfo for value in values):
        return None
    return pa.array(values, _NATIVE[value_type], from_pandas=True)


def _struct_column(values: Sequence[Any]) -> pa.Array | None:
    present = np.array([isinstance(value, dict) for value in values], dtype=bool)
    dicts = [value if is_dict else {} for value, is_dict in zip(values, present, strict=True)]
    names = list(dict.fromkeys(chain.from_iterable(dicts)))
    if not names:
        return pa.nulls(len(values))
    if not all(isinstance(name, str) for name in names):
        return None
    children = [from_objects([row.get(name) for row in dicts]) for name in names]
    return pa.StructArray.from_arrays(children, names, mask=pa.array(~present))


def _list_column(values: Sequence[Any]) -> pa.Array | None:
    rows = [list_elements(value) if isinstance(value, LIST_TYPES) else None for value in values]
    elements = list(chain.from_iterable(filter(None, rows)))
    if any(issubclass(value_type, (dict, *LIST_TYPES)) for value_type in set(map(type, elements))):
        return None
    offsets = np.cumsum([0, *(len(row) if row else 0 for row in rows)], dtype=np.int32)
    mask = pa.array([row is None for row in rows], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), from_objects(elements), mask=mask)


def _text_cells(values: Sequence[Any], types: set[type]) -> pa.Array:
    converters = {value_type: cell_text.dispatch(value_type) for value_type in types | _MISSING | {float}}
    texts: list[str | None] = []
    unsupported: list[bool] = []
    for value in values:
        try:
            texts.append(None if type(value) is dict and not value else converters[type(value)](value))
            unsupported.append(False)
        except NoTextFormError:
            texts.append("" if isinstance(value, str) else None)
            unsupported.append(True)
    missing = [text is None and not bad for text, bad in zip(texts, unsupported, strict=True)]
    storage = pa.StructArray.from_arrays(
        [pa.array(texts, pa.string()), pa.array(unsupported, pa.bool_())],
        fields=list(TextCells.STORAGE),
        mask=pa.array(missing, pa.bool_()),
    )
    return pa.ExtensionArray.from_storage(TextCells(_has_floats(values, types)), storage)


def _has_floats(values: Sequence[Any], types: set[type]) -> bool:
    floats = tuple(value_type for value_type in types if issubclass(value_type, (float, np.floating, Decimal)))
    return bool(floats) and any(isinstance(value, floats) and _has_point(value) for value in values)


def _has_point(value: Any) -> bool:
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return isinstance(exponent, int) and exponent < 0
    return bool(value == value)
