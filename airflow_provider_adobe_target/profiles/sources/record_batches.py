"""Record batches of bounded size (16,384 rows, about 16 MiB) and uniform schema."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

MAX_ROWS = 16_384
MAX_BYTES = 16 * 1024 * 1024
_FIRST_ROWS = 256


def record_batch(columns: dict[str, pa.Array], rows: int) -> pa.RecordBatch:
    """Return a record batch of columns.

    :param columns: Arrays by name, each of length ``rows``.
    :param rows: Number of rows, which is preserved if there are no columns.
    """
    if not columns:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def recut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Split a batch, without copying, until no part has more than 16,384 rows or 16 MiB. A row is never split.

    :param batch: Batch to split. An empty batch yields nothing.
    """
    rows = batch.num_rows
    if rows > MAX_ROWS:
        for start in range(0, rows, MAX_ROWS):
            yield from recut(batch.slice(start, MAX_ROWS))
    elif rows > 1 and _byte_size(batch) > MAX_BYTES:
        yield from recut(batch.slice(0, rows // 2))
        yield from recut(batch.slice(rows // 2))
    elif rows:
        yield batch


def _byte_size(batch: pa.RecordBatch) -> int:
    return sum(_array_bytes(column) for column in batch.columns)


def _array_bytes(array: pa.Array) -> int:
    """Return the size in bytes of the rows of an array. Unlike ``nbytes``, buffers shared by slices do not count."""
    array_type = array.type
    if isinstance(array_type, pa.BaseExtensionType):
        return _array_bytes(array.storage)
    if pa.types.is_struct(array_type):
        return sum(_array_bytes(child) for child in array.flatten())
    if pa.types.is_dictionary(array_type):
        return _dictionary_bytes(array)
    if pa.types.is_string_view(array_type) or pa.types.is_binary_view(array_type):
        return _view_bytes(array)
    return int(array.nbytes)


def _dictionary_bytes(array: pa.DictionaryArray) -> int:
    """Return the decoded size in bytes: each text counts as often as it is used."""
    size = int(array.indices.nbytes)
    if pa.types.is_string(array.type.value_type) or pa.types.is_large_string(array.type.value_type):
        lengths = pc.binary_length(array.dictionary).take(array.indices)
        size += pc.sum(lengths).as_py() or 0
    return size


def _view_bytes(array: pa.Array) -> int:
    # A view is four 32-bit integers; the first is the length.
    lengths = np.frombuffer(array.buffers()[1], dtype=np.int32)[::4]
    return 16 * len(array) + int(lengths[array.offset : array.offset + len(array)].sum(dtype=np.int64))


@dataclass
class AdaptiveBatchSize:
    """Adapt the number of rows per batch to the size of the rows, so that batches are close to the limit.

    The Arrow size of Python objects is known only after the conversion. Therefore the first batch is small, and the
    size of each batch determines the number of rows of the next, which at most doubles.

    :param rows: Number of rows of the next batch.
    """

    rows: int = _FIRST_ROWS

    def record_batches(self, total: int, convert: Callable[[int, int], pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Convert rows slice by slice.

        :param total: Number of rows.
        :param convert: Function that returns the batch of the rows from its first argument up to, but not including,
            its second.
        """
        start = 0
        while start < total:
            stop = min(start + self.rows, total)
            batch = convert(start, stop)
            bytes_per_row = max(1, _byte_size(batch) // (stop - start))
            self.rows = max(1, min(2 * self.rows, MAX_ROWS, MAX_BYTES // bytes_per_row))
            yield from recut(batch)
            start = stop


def wanted(names: Iterable[str], columns: Collection[str] | None) -> list[str]:
    """Return the selected columns, in the order of the source.

    :param names: Columns of the source.
    :param columns: Selected columns; None selects all. Columns that the source does not have are ignored.
    """
    if columns is None:
        return list(names)
    selected = set(columns)
    return [name for name in names if name in selected]


def project(schema: pa.Schema, columns: Collection[str] | None) -> pa.Schema:
    """Return a schema with the selected top-level fields; see :func:`wanted`."""
    return pa.schema([schema.field(name) for name in wanted(schema.names, columns)])


def check_column_names(names: Iterable[object], source: str) -> None:
    """Check that column names are text and unique.

    :param names: Names of the columns.
    :param source: Description of the source for the message, such as "The DataFrame".
    :raises ProfileDataError: If a name is not text, or two columns have the same name.
    """
    for name, count in Counter(names).items():
        if not isinstance(name, str):
            raise ProfileDataError(
                f"{source} has a column whose name is {type(name).__name__}, not text: {name!r}. Rename it."
            )
        if count > 1:
            raise ProfileDataError(
                f"Duplicate column: {source} has {count} columns named {name!r}. Rename all but one."
            )


def check_schema(fields: Iterable[pa.Field], source: str) -> None:
    """Check that the names of columns, and of the fields of each struct, are unique.

    :param fields: Arrow schema, or struct type.
    :param source: Description of the source for the message.
    :raises ProfileDataError: If two columns, or two fields of a struct, have the same name.
    """
    fields = list(fields)
    check_column_names([field.name for field in fields], source)
    for field in fields:
        if pa.types.is_struct(field.type):
            check_schema(field.type, f"{source}, in column {field.name!r},")


def merge_schemas(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """Return the union of columns and nested fields of several schemas, in order of first appearance.

    If types other than structs differ, the first one is used.

    :raises ProfileDataError: If a column has nested fields in one schema and a plain type in another.
    """
    merged: dict[str, pa.DataType] = {}
    for schema in schemas:
        _merge_into(merged, schema, "")
    return pa.schema(list(merged.items()))


def _merge_into(merged: dict[str, pa.DataType], fields: Iterable[pa.Field], path: str) -> None:
    for field in fields:
        known = merged.get(field.name, pa.null())
        merged[field.name] = _merge_types(known, field.type, f"{path}{field.name}")


def _merge_types(first: pa.DataType, second: pa.DataType, path: str) -> pa.DataType:
    if pa.types.is_null(first):
        return second
    if pa.types.is_null(second) or not (pa.types.is_struct(first) or pa.types.is_struct(second)):
        return first
    if not (pa.types.is_struct(first) and pa.types.is_struct(second)):
        raise _mixed_nesting(path)
    children = {field.name: field.type for field in first}
    _merge_into(children, second, f"{path}.")
    return pa.struct(list(children.items()))


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the columns and nested fields of a schema. Missing ones are null.

    :param batch: Batch of a source.
    :param schema: Schema of the whole source, which determines the names and their order. Types other than structs are
        those of the batch.
    :raises ProfileDataError: If a column has nested fields in the schema and plain values in the batch, or vice versa.
    """
    own = dict(zip(batch.schema.names, batch.columns, strict=True))
    rows = batch.num_rows
    columns = {field.name: conformed(own.get(field.name), field.type, rows, field.name) for field in schema}
    return record_batch(columns, rows)


def conformed(array: pa.Array | None, target_type: pa.DataType, rows: int, path: str) -> pa.Array:
    """Return a column with the nested fields of a type; see :func:`conform`.

    :param array: Column; None if the batch does not have it.
    :param target_type: Type with all nested fields.
    :param rows: Number of rows of the batch.
    :param path: Name of the column, for messages.
    """
    if array is not None and array.type == target_type:
        return array
    if not pa.types.is_struct(target_type):
        # If the array is a struct, it has no fields: all its dicts are empty.
        return pa.nulls(rows) if array is None or pa.types.is_struct(array.type) else array
    if array is None or pa.types.is_null(array.type):
        return pa.nulls(rows, target_type)
    if not pa.types.is_struct(array.type):
        raise _mixed_nesting(path)
    own = dict(zip([field.name for field in array.type], array.flatten(), strict=True))
    children = [conformed(own.get(field.name), field.type, rows, f"{path}.{field.name}") for field in target_type]
    return pa.StructArray.from_arrays(children, names=[field.name for field in target_type], mask=array.is_null())


def _mixed_nesting(path: str) -> ProfileDataError:
    return ProfileDataError(
        f"Column {path!r} has nested fields in some rows and plain values in others. "
        "Give the two different names, or remove the column."
    )
