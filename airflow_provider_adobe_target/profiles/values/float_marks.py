"""Schema metadata for columns that contain floats in a source file."""

from __future__ import annotations

import pyarrow as pa

from airflow_provider_adobe_target.profiles.values.to_text import value_type

_FLOATS_IN = b"adobe_target_floats_in"


def has_point(data_type: pa.DataType) -> bool:
    """Return whether the text of a type may have a decimal point, so that ids of the type may have been altered."""
    value = value_type(data_type)
    return bool(pa.types.is_floating(value) or (pa.types.is_decimal(value) and value.scale != 0))


def mark_floats(field: pa.Field, source: str) -> pa.Field:
    """Return a field that is marked as a column of floats, so that ids in it are refused before a row is read.

    The mark is needed because the types of files may differ, and their merged schema has the type of the first file.

    :param field: Field.
    :param source: Path of the file.
    """
    return field.with_metadata({_FLOATS_IN: source})


def floats_in(field: pa.Field) -> str | None:
    """Return the path of the file in which a column has floats; None if the field is not marked."""
    source: bytes | None = (field.metadata or {}).get(_FLOATS_IN)
    return source.decode() if source else None
