"""Rows of DataFrames, Arrow tables and streams, and lists of dicts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.mapping import note_index
from airflow_provider_adobe_target.profiles.sources.dicts import RecordRows, column_label, objects_type
from airflow_provider_adobe_target.profiles.sources.driver_errors import call_driver, read_driver
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    AdaptiveBatchSize,
    check_column_names,
    check_schema,
    conform,
    project,
    record_batch,
    recut,
    wanted,
)
from airflow_provider_adobe_target.profiles.sources.rows import Rows
from airflow_provider_adobe_target.profiles.values.object_columns import from_objects

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_ACCEPTED = (
    "a pandas or polars DataFrame, an Arrow table, record batch or reader, a list of dicts, "
    "or any object with __arrow_c_stream__"
)
# Results of pandas' infer_dtype that exclude dicts.
_NO_DICTS = frozenset({"string", "integer", "floating", "boolean", "decimal", "date", "datetime", "time", "empty"})
_PART_ROWS = 65_536


def read_data(data: object) -> Rows:
    """Return the rows of a Python object, converted batch by batch.

    :param data: pandas or Polars DataFrame (a LazyFrame is collected), Arrow table, record batch or record batch
        reader, list of dicts, or any object with ``__arrow_c_stream__``. The index of a pandas DataFrame is not a
        column: call ``reset_index()`` if it contains the ids. NaN in NumPy-backed pandas columns is null.
    :raises ProfileDataError: If the type is not supported, or two columns have the same name.
    """
    if isinstance(data, pd.DataFrame):
        return PandasRows(data)
    polars = sys.modules.get("polars")  # imported if data is a Polars object
    if polars is not None and isinstance(data, polars.LazyFrame):
        data = data.collect()
    if polars is not None and isinstance(data, polars.DataFrame):
        return PolarsRows(data)
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return TableRows(data)
    if hasattr(data, "__arrow_c_stream__"):
        return StreamRows(data)
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes, bytearray)):
        return _read_parts(list(data))
    raise ProfileDataError(f"Rows cannot be read from {type(data).__name__}. Give {_ACCEPTED}.")


def _read_parts(items: list[Any]) -> Rows:
    """Return the rows of a list of dicts, tables, or nested lists of both, in order."""
    if not any(_is_table(item) for item in items):
        return RecordRows(items)
    from airflow_provider_adobe_target.profiles.sources.files import FilesRows

    parts: list[Any] = []
    for is_table, group in groupby(items, _is_table):
        part = list(group)
        parts += map(read_data, part) if is_table else [RecordRows(part)]
    return FilesRows(parts)


def _is_table(item: object) -> bool:
    if isinstance(item, (dict, str, bytes, bytearray)):
        return False
    if isinstance(item, tuple):  # of .zip(), or a row that is not a dict
        return any(isinstance(part, dict) or _is_table(part) for part in item)
    polars = sys.modules.get("polars")
    lazy = polars is not None and isinstance(item, polars.LazyFrame)
    return lazy or isinstance(item, (Sequence, pd.DataFrame)) or hasattr(item, "__arrow_c_stream__")


class PandasRows:
    """Rows of a pandas DataFrame.

    :param frame: DataFrame. Its index is not a column.
    :raises ProfileDataError: If the column names are a MultiIndex or not unique.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        if isinstance(frame.columns, pd.MultiIndex):
            raise ProfileDataError(
                "The DataFrame's columns are a MultiIndex. Give each column one name, "
                "for example frame.columns = ['_'.join(names) for names in frame.columns]."
            )
        names = [column_label(name) for name in frame.columns]
        check_column_names(names, "The DataFrame")
        self._frame = frame if names == list(frame.columns) else frame.set_axis(names, axis="columns")
        self.row_count = len(frame)

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns. The nested fields of object columns are found by scanning all values."""
        schema = pa.schema([(name, self._column_type(name)) for name in self._frame.columns])
        index = self._frame.index
        return schema if type(index) is pd.RangeIndex else note_index(schema, index.names)

    def _column_type(self, name: str) -> pa.DataType:
        series = self._frame[name]
        if series.dtype != object:
            arrow_type = _series_array(series.iloc[:0]).type
            return arrow_type if not pa.types.is_null(arrow_type) else objects_type(name, series.astype(object))
        parts = (series.iloc[start : start + _PART_ROWS] for start in range(0, len(series), _PART_ROWS))
        if all(pd.api.types.infer_dtype(part) in _NO_DICTS for part in parts):
            return pa.null()  # infer_dtype is ten times as fast as objects_type
        return objects_type(name, series)

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Convert the rows slice by slice; see :meth:`.Rows.record_batches`."""
        schema = project(self.schema, columns)

        def convert(start: int, stop: int) -> pa.RecordBatch:
            part = self._frame.iloc[start:stop]
            arrays = {name: _series_array(part[name]) for name in schema.names}
            return conform(record_batch(arrays, stop - start), schema)

        return AdaptiveBatchSize().record_batches(len(self._frame), convert)


def _series_array(series: pd.Series[Any]) -> pa.Array:
    if series.dtype == object:
        return from_objects(series.tolist())
    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        # Sparse and complex columns, and categoricals of mixed types.
        return from_objects(series.astype(object).tolist())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


class PolarsRows:
    """Rows of a Polars DataFrame.

    :param frame: DataFrame.
    """

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.row_count: int = frame.height

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns. The nested fields of object columns are found by scanning all values."""
        return pa.schema([(series.name, self._column_type(series)) for series in self._frame])

    def _column_type(self, series: Any) -> pa.DataType:
        return objects_type(series.name, series) if _holds_objects(series) else _polars_array(series[:0]).type

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Convert the rows slice by slice; see :meth:`.Rows.record_batches`."""
        schema = project(self.schema, columns)

        def convert(start: int, stop: int) -> pa.RecordBatch:
            arrays = {name: _polars_array(self._frame[name][start:stop]) for name in schema.names}
            return conform(record_batch(arrays, stop - start), schema)

        return AdaptiveBatchSize().record_batches(self._frame.height, convert)


def _holds_objects(series: Any) -> bool:
    return bool(series.dtype == sys.modules["polars"].Object)


def _polars_array(series: Any) -> pa.Array:
    if _holds_objects(series):
        return from_objects(series.to_list())
    try:
        return series.to_arrow()
    except pa.ArrowInvalid:
        # 128-bit integers, which Arrow does not support.
        return from_objects(series.to_list())


class TableRows:
    """Rows of an Arrow table.

    :param table: Table.
    :raises ProfileDataError: If two columns have the same name.
    """

    def __init__(self, table: pa.Table) -> None:
        check_schema(table.schema, "The Arrow table")
        self._table = table
        self.row_count: int = table.num_rows

    @property
    def schema(self) -> pa.Schema:
        """Schema of the table."""
        return self._table.schema

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Slice the rows without copying; see :meth:`.Rows.record_batches`."""
        return _arrow_batches(self._table.to_reader(), columns)


class StreamRows:
    """Rows of an object that exports an Arrow stream: a reader, a DuckDB relation, an ADBC result.

    A record batch reader can be read once. Other objects can be read again if they can export the stream again.

    :param stream: Object with ``__arrow_c_stream__``.
    :raises ProfileDataError: If two columns have the same name, or the stream is an array instead of a table.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        # Opening a stream may execute a query, so the reader opened for the schema is reused for the rows.
        try:
            self._opened: pa.RecordBatchReader | None = self._open()
        except pa.ArrowInvalid:
            raise ProfileDataError(
                f"Rows cannot be read from {type(stream).__name__}, which is not a table. Give {_ACCEPTED}."
            ) from None
        self._schema = self._opened.schema
        check_schema(self._schema, "The Arrow stream")

    @property
    def schema(self) -> pa.Schema:
        """Schema of the stream."""
        return self._schema

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the stream; see :meth:`.Rows.record_batches`.

        :raises ProfileDataError: If a record batch reader was read before.
        :raises SourceReadError: If the stream fails.
        """
        reader, self._opened = self._opened, None
        if reader is None:
            if isinstance(self._stream, pa.RecordBatchReader):
                raise ProfileDataError("A record batch reader can be read only once. Give reader.read_all().")
            reader = call_driver(self._open, "before the first row")
        return _arrow_batches(reader, columns)

    def _open(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_stream(self._stream)


def _arrow_batches(reader: pa.RecordBatchReader, columns: Collection[str] | None) -> Iterator[pa.RecordBatch]:
    names = wanted(reader.schema.names, columns)
    for batch in read_driver(reader, names):
        yield from recut(batch.select(names))
