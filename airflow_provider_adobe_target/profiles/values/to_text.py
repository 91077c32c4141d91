"""Convert Arrow arrays to text, in one canonical form per type.

Page code may write the same attribute, so the forms are those of JavaScript and ISO 8601.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from airflow_provider_adobe_target.profiles.values.numbers import decimal_text, float_text
from airflow_provider_adobe_target.profiles.values.python_values import TEXT_CELLS, TextCells
from airflow_provider_adobe_target.profiles.values.text_column import TextColumn, filled, marks, nulled
from airflow_provider_adobe_target.profiles.values.times import date_text, time_text, timestamp_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TextColumn", "name_without_text_form", "to_text", "value_type"]

LIST_SEPARATOR = "|"
_HEX_PAIRS = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype=np.uint16)
_UUID_DASHES = [8, 13, 18, 23]
_UUID_HEX = [place for place in range(36) if place not in _UUID_DASHES]


def to_text(array: pa.Array) -> TextColumn:
    """Return a column as the text that Adobe Target stores.

    Numbers are written as by JavaScript's ``String(x)``, decimals in plain digits with their scale, booleans as
    ``true`` and ``false``, dates and times in ISO 8601, UUIDs in canonical form, and lists of these joined with ``|``,
    without nulls. Null, NaN, empty text and empty lists become null. Infinities, binary, durations, invalid UTF-8,
    years outside 1 to 9999, structs, maps and nested lists have no text form.

    :param array: Array of any Arrow type, possibly a slice.
    :raises ProfileDataError: If the time zone of a timestamp is not found.
    """
    column = _rendered(array)
    text = column.text
    if not column.plain and pc.min(pc.binary_length(text)).as_py() == 0:
        text = nulled(text, pc.equal(text, "").fill_null(False))
    return TextColumn(text, column.unsupported, column.plain)


def _rendered(array: pa.Array) -> TextColumn:
    """Return a column as text. Unlike in :func:`to_text`, empty text stays empty."""
    for applies, render in _RENDERERS:
        if applies(array.type):
            return render(array)
    return _without_text_form(array)


def _is_text(data_type: pa.DataType) -> bool:
    return bool(types.is_string(data_type) or types.is_large_string(data_type) or types.is_string_view(data_type))


def _is_list(data_type: pa.DataType) -> bool:
    return bool(
        types.is_list(data_type)
        or types.is_large_list(data_type)
        or types.is_fixed_size_list(data_type)
        or types.is_list_view(data_type)
        or types.is_large_list_view(data_type)
    )


def _is_extension(data_type: pa.DataType) -> bool:
    return isinstance(data_type, pa.BaseExtensionType)


def _cast(array: pa.Array) -> TextColumn:
    return TextColumn(array.cast(pa.string()), None, plain=True)


def _strings(array: pa.Array) -> TextColumn:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:  # Arrow does not validate the bytes that it reads
        return _damaged_strings(array)
    return TextColumn(array.cast(pa.string()), None, plain=False)


def _damaged_strings(array: pa.Array) -> TextColumn:
    cells = array.cast(pa.large_binary()).to_pylist()
    damaged = np.array([cell is not None and not _is_utf8(cell) for cell in cells], dtype=bool)
    good = [None if bad else cell for cell, bad in zip(cells, damaged, strict=True)]
    return TextColumn.without(pa.array(good, pa.binary()).cast(pa.string()), damaged, plain=False)


def _is_utf8(cell: bytes) -> bool:
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return True


def _lists(array: pa.Array) -> TextColumn:
    values = array.flatten()
    nested = types.is_nested(value_type(values.type))
    elements = _without_text_form(values) if nested else _rendered(values)
    lengths = filled(pc.list_value_length(array))
    rows = np.repeat(np.arange(len(array)), lengths)
    present = elements.text.is_valid()
    counts = np.bincount(rows[marks(present)], minlength=len(array))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    kept = pa.ListArray.from_arrays(pa.array(offsets), elements.text.filter(present))
    unsupported = None
    if elements.unsupported is not None:
        bad_rows = rows[marks(elements.unsupported)]
        unsupported = np.bincount(bad_rows, minlength=len(array)) > 0
    return TextColumn.without(pc.binary_join(kept, LIST_SEPARATOR), unsupported, plain=False)


def value_type(data_type: pa.DataType) -> pa.DataType:
    """Return the type of the values, without dictionary encoding, run-end encoding and extension types."""
    if _is_extension(data_type):
        return pa.string() if data_type.extension_name == TEXT_CELLS else value_type(data_type.storage_type)
    if types.is_dictionary(data_type) or types.is_run_end_encoded(data_type):
        return value_type(data_type.value_type)
    return data_type


def name_without_text_form(data_type: pa.DataType) -> str | None:
    """Return the name of a type if none of its values has a text form; None for all other types."""
    if isinstance(data_type, TextCells):
        return data_type.only or None
    if _is_extension(data_type) and data_type.extension_name in ("arrow.uuid", "arrow.bool8"):
        return None
    if _is_extension(data_type):
        is_pandas = data_type.extension_name.startswith("pandas.")
        return str(data_type.extension_name) if is_pandas else name_without_text_form(data_type.storage_type)
    if types.is_dictionary(data_type) or types.is_run_end_encoded(data_type):
        return name_without_text_form(data_type.value_type)
    if _is_list(data_type):
        is_flat = not types.is_nested(value_type(data_type.value_type))
        return str(data_type) if not is_flat or name_without_text_form(data_type.value_type) else None
    if types.is_struct(data_type) or any(applies(data_type) for applies, _ in _RENDERERS):
        return None
    return str(data_type)


def _dictionary(array: pa.Array) -> TextColumn:
    indices = array.indices
    if len(array.dictionary) > len(array):  # a slice: convert only the used values
        return _rendered(array.dictionary.take(indices))
    values = _rendered(array.dictionary)
    unsupported = None
    if values.unsupported is not None:
        unsupported = marks(values.unsupported.take(indices))
    return TextColumn.without(values.text.take(indices), unsupported, plain=values.plain)


def _extension(array: pa.Array) -> TextColumn:
    data_type = array.type
    if data_type.extension_name == TEXT_CELLS:
        text, unsupported = array.storage.flatten()
        return TextColumn.without(text, marks(unsupported), plain=False)
    if data_type.extension_name == "arrow.uuid":
        return TextColumn(_uuid_text(array.storage), None, plain=True)
    if data_type.extension_name == "arrow.bool8":
        return _cast(array.storage.cast(pa.bool_()))
    if data_type.extension_name.startswith("pandas."):  # the storage of periods and intervals has another meaning
        return _without_text_form(array)
    return _rendered(array.storage)


def _uuid_text(storage: pa.FixedSizeBinaryArray) -> pa.Array:
    start, end = storage.offset * 16, (storage.offset + len(storage)) * 16
    digits = _HEX_PAIRS[np.frombuffer(storage.buffers()[1], dtype=np.uint8)[start:end]].view(np.uint8)
    characters = np.full((len(storage), 36), ord("-"), dtype=np.uint8)
    characters[:, _UUID_HEX] = digits.reshape(-1, 32)
    offsets = np.arange(len(storage) + 1, dtype=np.int32) * 36
    text = pa.StringArray.from_buffers(len(storage), pa.py_buffer(offsets), pa.py_buffer(characters))
    return nulled(text, storage.is_null()) if storage.null_count else text


def _without_text_form(array: pa.Array) -> TextColumn:
    if types.is_union(array.type):  # is_valid() on unions depends on pyarrow's version
        present = np.array([value is not None for value in array.to_pylist()], dtype=bool)
    else:
        present = marks(array.is_valid())
    return TextColumn.without(pa.nulls(len(array), pa.string()), present, plain=False)


_RENDERERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], TextColumn]], ...] = (
    (_is_text, _strings),
    (types.is_integer, _cast),
    (types.is_floating, float_text),
    (types.is_boolean, _cast),
    (types.is_null, _cast),
    (types.is_timestamp, timestamp_text),
    (types.is_date, date_text),
    (types.is_time, time_text),
    (types.is_decimal, decimal_text),
    (_is_list, _lists),
    (types.is_dictionary, _dictionary),
    (types.is_run_end_encoded, lambda array: _rendered(pc.run_end_decode(array))),
    (_is_extension, _extension),
)
