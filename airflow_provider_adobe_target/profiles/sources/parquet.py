"""Rows of Parquet files."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_adobe_target.profiles.sources.file_streams import (
    File,
    damage_named,
    damaged,
)
from airflow_provider_adobe_target.profiles.sources.parquet_types import (
    INT96_UNIT,
    as_text,
    in_milliseconds,
    int96_columns,
    text_columns,
    without_overflow,
)
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    MAX_BYTES,
    MAX_ROWS,
    check_schema,
    record_batch,
    recut,
    wanted,
)
from airflow_provider_adobe_target.profiles.values.float_marks import has_point, mark_floats

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class ParquetRows:
    """Rows of a Parquet file.

    :param file: Path of the file.
    """

    def __init__(self, file: File) -> None:
        self._file = file

    @cached_property
    def row_count(self) -> int:
        """Number of rows in the footer."""
        with _parquet(self._file) as parquet:
            count: int = parquet.metadata.num_rows
            return count

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the footer. Columns of floats are marked."""
        with _parquet(self._file) as parquet:
            check_schema(parquet.schema_arrow, str(self._file))
            self.row_count = parquet.metadata.num_rows  # without another read of the footer
            fractional = [field.name for field in parquet.schema_arrow if has_point(field.type)]
            floats = set(fractional) - _empty_columns(parquet.metadata, fractional)
            texts = text_columns(parquet)
            return pa.schema(
                [
                    mark_floats(field, str(self._file))
                    if field.name in floats
                    else field.with_type(pa.string() if field.name in texts else field.type)
                    for field in parquet.schema_arrow
                ]
            )

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows; see :meth:`.Rows.record_batches`.

        :raises ProfileDataError: If the file is damaged.
        """
        names = wanted(self.schema.names, columns)
        with _parquet(self._file) as parquet:
            # Without read-ahead and threads, memory is independent of the file size.
            rows = _rows_per_batch(parquet.metadata)
            missing = parquet.metadata.num_rows
            texts = text_columns(parquet)
            batches = parquet.iter_batches(rows, columns=names, use_threads=False)
            for batch in self._checked_times(batches, wanted(int96_columns(parquet), columns), rows):
                batch.validate(full=True)  # the reader does not check UTF-8, for example
                missing -= len(batch)
                # pyarrow also reads "a.b" for "a".
                yield from recut(
                    _replaced(
                        batch.select(names), {name: as_text(batch.column(name)) for name in wanted(texts, columns)}
                    )
                )
            if missing:
                raise damaged(self._file)

    def _checked_times(
        self, batches: Iterator[pa.RecordBatch], names: list[str], rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Mark INT96 timestamps that overflow microseconds. pyarrow silently wraps them around.

        :param batches: Batches with the timestamps in microseconds.
        :param names: Columns with INT96 timestamps.
        :param rows: Number of rows per batch.
        """
        if not names:
            yield from batches
            return
        with self._file.open("rb") as stream:
            for batch, check in zip(batches, in_milliseconds(stream, names, rows), strict=True):
                if len(batch) != len(check):
                    raise damaged(self._file)
                own = {name: without_overflow(batch.column(name), check.column(name)) for name in names}
                yield _replaced(batch, own)


@contextmanager
def _parquet(file: File) -> Iterator[pq.ParquetFile]:
    with file.open("rb") as stream, damage_named(file):
        yield pq.ParquetFile(
            stream, pre_buffer=False, page_checksum_verification=True, coerce_int96_timestamp_unit=INT96_UNIT
        )


def _replaced(batch: pa.RecordBatch, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    names = batch.schema.names
    own = dict(zip(names, batch.columns, strict=True))
    return record_batch({**own, **columns}, len(batch))


def _empty_columns(metadata: pq.FileMetaData, names: Collection[str]) -> set[str]:
    """Return the columns that are entirely null according to the statistics.

    :param names: Columns to check.
    """
    numbers = [number for number in range(metadata.num_columns) if metadata.schema.column(number).path in names]
    empty = {metadata.schema.column(number).path for number in numbers}
    for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
        # This call crashes the process if the column's metadata is damaged, so only the given columns are read.
        for column in (group.column(number) for number in numbers):
            statistics = column.statistics
            if group.num_rows and not (statistics and statistics.null_count == group.num_rows):
                empty.discard(column.path_in_schema)
    return empty


def _rows_per_batch(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    widest = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=0)
    return max(1, min(MAX_ROWS, int(MAX_BYTES / max(widest, 1))))
