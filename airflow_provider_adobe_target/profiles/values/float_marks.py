"""Schema metadata that records which columns held floats before conversion."""

from __future__ import annotations

import pyarrow as pa

from airflow_provider_adobe_target.profiles.values.to_text import value_type

_FLOATS_IN = b"adobe_target_floats_in"


def has_point(kind: pa.DataType) -> bool:
    """Tell whether values of a type may be written with a point, so that an id of it may have been another number."""
    kind = value_type(kind)
    return bool(pa.types.is_floating(kind) or (pa.types.is_decimal(kind) and kind.scale != 0))


def mark_floats(field: pa.Field, source: str) -> pa.Field:
    """Note on a column where it holds floats, so that ids among them are refused before a row is read.

    Files may differ in types, and only the first one's stands in their common schema.

    :param source: a file's path.
    """
    return field.with_metadata({_FLOATS_IN: source})


def floats_in(field: pa.Field) -> str | None:
    """Return the file in which a column holds floats, if it was noted."""
    source: bytes | None = (field.metadata or {}).get(_FLOATS_IN)
    return source.decode() if source else None
