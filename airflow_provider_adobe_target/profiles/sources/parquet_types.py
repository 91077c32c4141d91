"""Parquet columns whose values differ from the stored type: INT96 timestamps, and text stored as plain bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INT96_UNIT = "us"
_CHECK_UNIT = "ms"  # covers the range of INT96
_TICKS = 1_000
_BEYOND = 2**63 - 1  # in a year that has no text form


def int96_columns(parquet: pq.ParquetFile) -> list[str]:
    """Return the top-level columns that contain INT96 timestamps."""
    schema = parquet.metadata.schema
    paths = [leaf.path for leaf in map(schema.column, range(len(schema))) if leaf.physical_type == "INT96"]
    return [name for name in parquet.schema_arrow.names if any(f"{path}.".startswith(f"{name}.") for path in paths)]


def in_milliseconds(source: pa.NativeFile, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Read INT96 columns in milliseconds, a unit that represents every INT96 value.

    :param source: Open file.
    :param names: Columns.
    :param rows: Number of rows per batch; the same as for reading in microseconds.
    """
    parquet = pq.ParquetFile(source, pre_buffer=False, coerce_int96_timestamp_unit=_CHECK_UNIT)
    yield from parquet.iter_batches(rows, columns=list(names), use_threads=False)


def without_overflow(array: pa.Array, check: pa.Array) -> pa.Array:
    """Replace timestamps that overflow microseconds by a timestamp whose year has no text form.

    :param array: Timestamps in microseconds, or structs, lists and maps of them.
    :param check: The same values in milliseconds.
    """
    array_type = array.type
    if pa.types.is_timestamp(array_type) and check.type != array_type:
        ticks = check.view(pa.int64())
        limit = _BEYOND // _TICKS
        overflow = pc.or_(pc.greater(ticks, limit), pc.less(ticks, -limit))
        if not pc.any(overflow).as_py():
            return array
        return pc.if_else(overflow, pa.scalar(_BEYOND, pa.int64()), array.view(pa.int64())).cast(array_type)
    if pa.types.is_struct(array_type):
        children = [without_overflow(*pair) for pair in zip(array.flatten(), check.flatten(), strict=True)]
        return pa.StructArray.from_arrays(children, fields=list(array_type), mask=array.is_null())
    if pa.types.is_list(array_type) or pa.types.is_large_list(array_type):
        values = without_overflow(array.values, check.values)
        return type(array).from_arrays(array.offsets, values, type=array_type, mask=array.is_null())
    return array


def text_columns(parquet: pq.ParquetFile) -> list[str]:
    """Return the top-level byte columns that are text.

    Hive, Impala and Spark may write strings without the logical type. A file with an Arrow schema has the type of each
    column, so its byte columns are binary.
    """
    if b"ARROW:schema" in (parquet.metadata.metadata or {}):
        return []
    schema = parquet.metadata.schema
    return [
        leaf.path
        for leaf in map(schema.column, range(len(schema)))
        if leaf.physical_type == "BYTE_ARRAY"
        and leaf.max_repetition_level == 0
        and leaf.path in parquet.schema_arrow.names
        and pa.types.is_binary(parquet.schema_arrow.field(leaf.path).type)
    ]


def as_text(array: pa.Array) -> pa.Array:
    """View bytes as text without validation. Values that are not UTF-8 have no text form."""
    return array.view(pa.string())
