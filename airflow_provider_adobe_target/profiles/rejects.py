"""Rejected rows, counted by reason and optionally spilled to disk."""

from __future__ import annotations

import re
import threading
from collections import Counter
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.reject_columns import BATCH_COLUMN, REJECT_COLUMNS
from airflow_provider_adobe_target.spill import SpillFile

_RESERVED_NAME = re.compile(f"({'|'.join((*REJECT_COLUMNS, BATCH_COLUMN))})_*")


class BadRowError(ProfileDataError):
    """A row is invalid and ``skip_invalid_records`` is False.

    :param row_number: Number of the row, counted from 0.
    :param reason: Reason, as in ``rejected_by_reason`` of the report.
    :param detail: Column and problem, without the value.
    """

    def __init__(self, row_number: int, reason: str, detail: str) -> None:
        super().__init__(
            f"Row {row_number} cannot be sent: {reason} ({detail}). Fix it at its source, or set "
            "skip_invalid_records=True to skip such rows."
        )
        self.reason = reason
        self.detail = detail


class Rejects:
    """The rejected rows of a pipeline. Methods may be called from several threads.

    :param spill: Spill file for the rows; None to count them only.
    """

    def __init__(self, spill: SpillFile | None) -> None:
        self._spill = spill
        self._lock = threading.Lock()
        self.by_reason: Counter[str] = Counter()

    def add(self, columns: list[str], rows: pa.RecordBatch, reasons: list[str], details: list[str]) -> None:
        """Add rejected rows.

        :param columns: Source column names of ``rows``, without the first column. A column that became two attributes
            is written once. ``_`` is appended to names that the rejects file reserves.
        :param rows: ``row_number``, then the columns of the rows as text.
        :param reasons: Reason of each row.
        :param details: Column and problem of each row, without values.
        """
        with self._lock:
            self.by_reason.update(reasons)
            if self._spill is not None and reasons:
                self._spill.write(self._output(columns, rows, reasons, details))

    @staticmethod
    def _output(columns: list[str], rows: pa.RecordBatch, reasons: list[str], details: list[str]) -> pa.RecordBatch:
        output = {"row_number": rows.column(0)}
        for name, texts in zip(columns, rows.columns[1:], strict=True):
            output.setdefault(f"{name}_" if _RESERVED_NAME.fullmatch(name) else name, texts)
        output |= {"reject_reason": pa.array(reasons, pa.string()), "reject_detail": pa.array(details, pa.string())}
        return pa.record_batch(output)

    def write_parquet(self, file: IO[bytes]) -> None:
        """Write the spilled rows as one Parquet file. Columns that a batch does not have are null.

        :param file: Writable binary file.
        """
        assert self._spill is not None  # noqa: S101  # nosec B101  # requires a spill file
        fields = {field.name: field for schema in self._spill.schemas for field in schema}
        last = [fields.pop(name) for name in ("reject_reason", "reject_detail")]
        schema = pa.schema([*fields.values(), *last])
        with pq.ParquetWriter(file, schema) as writer:
            for batch in self._spill.record_batches():
                columns = [
                    batch.column(name) if name in batch.schema.names else pa.nulls(len(batch), pa.string())
                    for name in schema.names
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))


def check_share_of_invalid_rows(rejects: Rejects, rows_read: int, limit: float | None) -> None:
    """Check the rejected rows, without duplicates, against ``max_invalid_pct``.

    :param rejects: Rejected rows.
    :param rows_read: Number of rows read.
    :param limit: Maximum percentage of rejected rows. None for no limit.
    :raises ProfileDataError: If more than ``limit`` percent of the rows were rejected.
    """
    reasons = {reason: rows for reason, rows in rejects.by_reason.items() if reason != "duplicate_id"}
    bad = sum(reasons.values())
    if limit is not None and bad * 100 > limit * rows_read:
        raise ProfileDataError(
            f"{bad} of {rows_read} rows cannot be sent, more than max_invalid_pct={limit} percent: "
            f"{reasons}. Nothing was sent."
        )
