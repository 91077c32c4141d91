"""Convert single Python values to text, for columns that no Arrow type represents without loss."""

from __future__ import annotations

import enum
import math
import re
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from functools import singledispatch
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_provider_adobe_target.profiles.values.numbers import javascript_number
from airflow_provider_adobe_target.profiles.values.times import moment_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# ISO 8601 has four-digit years; Python and most databases have no year 0.
_FOUR_DIGIT_YEAR = re.compile(r"(?!0000)\d{4}-")
TEXT_CELLS = "airflow_provider_adobe_target.text_cells"
_MAX_DIGITS = 5_000  # for decimals: 1E+999999999 would be a text of a gigabyte
_FIRST_DAY = np.datetime64("0001-01-01", "s")
_LAST_SECOND = np.datetime64("9999-12-31T23:59:59", "s")
_WITHIN_YEARS = frozenset({"ns", "ps", "fs", "as"})  # NumPy units whose range has no five-digit year
LIST_TYPES = (list, tuple, np.ndarray)


class NoTextFormError(ValueError):
    """A value has no text form. The error does not contain the value."""


class TextCells(pa.ExtensionType):  # type: ignore[misc]  # pyarrow has no types
    """Arrow extension type for Python values that were converted to text.

    The storage is ``struct<text: string, unsupported: bool>``. A null cell means that the attribute is not changed. An
    ``unsupported`` cell has no text form; its text is empty if the value is text without a UTF-8 encoding, otherwise
    null.

    :param has_floats: Whether any value was a float other than NaN, or a decimal with fractional digits. Such ids must
        be refused, which the text alone does not show.
    :param only: Name of a Python type without text form, if the whole column of the source has this type; otherwise
        empty.
    """

    STORAGE = pa.struct([("text", pa.string()), ("unsupported", pa.bool_())])

    def __init__(self, has_floats: bool = False, only: str = "") -> None:
        self.has_floats = has_floats
        self.only = only
        super().__init__(self.STORAGE, TEXT_CELLS)

    def __arrow_ext_serialize__(self) -> bytes:
        return b"has_floats" if self.has_floats else self.only.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> TextCells:
        has_floats = serialized == b"has_floats"
        return cls(has_floats, "" if has_floats else serialized.decode())


with suppress(pa.ArrowKeyError):  # already registered if the module is imported twice
    pa.register_extension_type(TextCells())


class BeyondPython:
    """The type of :data:`BEYOND_PYTHON`."""


BEYOND_PYTHON = BeyondPython()
"""Placeholder for a database value that its Python type cannot represent, such as the date ``infinity``."""


@singledispatch
def cell_text(value: object) -> str | None:
    """Return the text form of one Python value.

    :param value: Text, number, date, time, UUID, enum member of these, list of these, or a NumPy or pandas scalar.
    :return: The text; empty for empty text. None for None, NaN, NaT, ``pandas.NA`` and an empty list.
    :raises NoTextFormError: For any other value: infinities, bytes, durations, dicts, nested lists, and text with lone
        surrogates.
    """
    raise NoTextFormError


@cell_text.register
def _beyond_python_text(value: BeyondPython) -> None:
    raise NoTextFormError


def type_without_text_form(types: Iterable[type]) -> str:
    """Return the name of the first type if no value of any of the types has a text form; otherwise empty text.

    :param types: Types of Python values, without those of missing values. Dicts count as having a text form, because
        they are flattened.
    """
    types = list(types)
    never = (cell_text.dispatch(object), _numpy_duration_text)
    if not types or any(
        issubclass(value_type, dict) or cell_text.dispatch(value_type) not in never for value_type in types
    ):
        return ""
    return types[0].__name__


@cell_text.register(type(None))
@cell_text.register(type(pd.NA))
@cell_text.register(type(pd.NaT))
def _missing_text(value: object) -> None:
    return None


@cell_text.register
def _string_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NoTextFormError from None
    return str.__str__(value)


@cell_text.register(bool)
@cell_text.register(np.bool_)
def _boolean_text(value: object) -> str:
    return "true" if value else "false"


@cell_text.register(int)
@cell_text.register(np.integer)
def _integer_text(value: Any) -> str:
    try:
        return int.__repr__(int(value))
    except ValueError:  # more digits than Python's limit for conversion
        raise NoTextFormError from None


@cell_text.register(float)
@cell_text.register(np.floating)
def _float_text(value: Any) -> str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        raise NoTextFormError
    return javascript_number(str(value) if isinstance(value, np.floating) else float.__repr__(value))


@cell_text.register
def _decimal_text(value: Decimal) -> str | None:
    if value.is_nan():
        return None
    if value.is_infinite() or abs(value.adjusted()) > _MAX_DIGITS or abs(_exponent(value)) > _MAX_DIGITS:
        raise NoTextFormError
    return format(value, "f")


def _exponent(value: Decimal) -> int:
    return int(value.as_tuple().exponent)


@cell_text.register(datetime)
@cell_text.register(time)
def _moment_text(value: datetime | time) -> str:
    if isinstance(value, datetime) and not 1 <= value.year <= 9999:  # possible for pandas.Timestamp
        raise NoTextFormError
    return moment_text(value)


@cell_text.register
def _date_text(value: date) -> str:
    return value.isoformat()


@cell_text.register
def _numpy_datetime_text(value: np.datetime64) -> str | None:
    if np.isnat(value):
        return None
    unit = np.datetime_data(value.dtype)[0]
    if unit not in _WITHIN_YEARS and not _FIRST_DAY.astype(value.dtype) <= value <= _LAST_SECOND.astype(value.dtype):
        raise NoTextFormError  # a cast to a finer unit would overflow
    if unit in ("Y", "M", "W", "D"):
        text = str(value.astype("M8[D]"))
    else:
        text = str(value.astype("M8[s]") if unit in ("h", "m") else value)
    if not _FOUR_DIGIT_YEAR.match(text):
        raise NoTextFormError
    return text.rstrip("0").rstrip(".") if "." in text else text


@cell_text.register
def _numpy_duration_text(value: np.timedelta64) -> None:
    if not np.isnat(value):
        raise NoTextFormError


@cell_text.register
def _uuid_text(value: UUID) -> str:
    return str(value)


@cell_text.register
def _enum_text(value: enum.Enum) -> str | None:
    return cell_text(value.value)


@cell_text.register(list)
@cell_text.register(tuple)
@cell_text.register(np.ndarray)
def _list_text(value: Sequence[object]) -> str | None:
    elements = list_elements(value)
    if any(isinstance(element, LIST_TYPES) for element in elements):
        raise NoTextFormError
    texts = [cell_text(element) for element in elements]
    return "|".join(text for text in texts if text is not None) or None


def list_elements(value: Any) -> Sequence[object]:
    """Return the elements of a list, tuple or one-dimensional NumPy array. Array elements keep their NumPy type.

    :raises NoTextFormError: If the array does not have one dimension.
    """
    if not isinstance(value, np.ndarray):
        return value  # type: ignore[no-any-return]
    if value.ndim != 1:
        raise NoTextFormError
    return list(value)
