"""Rows that cannot be sent: counted by reason and, where there is a place for them, kept."""

from __future__ import annotations

from collections import Counter
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_adobe_target.profiles.spool import Spool

_OWN_COLUMNS = ("row_number", "reject_reason", "reject_detail")


class Rejects:
    """The bad rows of a run.

    :param spool: where the rows themselves are set aside; without it they are only counted
    """

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self.by_reason: Counter[str] = Counter()

    def add(self, columns: list[str], rows: pa.RecordBatch, reasons: list[str], details: list[str]) -> None:
        """Take in rows.

        :param columns: what the columns of ``rows`` after the first are called where the rows came from
        :param rows: ``row_number``, then the row's columns as text
        :param reasons: why, a row each
        :param details: which column, and what about it, a row each; no value
        """
        self.by_reason.update(reasons)
        if self._spool is not None and reasons:
            names = [column if column not in _OWN_COLUMNS else f"{column}_" for column in columns]
            self._spool.write(
                pa.record_batch(
                    [*rows.columns, pa.array(reasons, pa.string()), pa.array(details, pa.string())],
                    names=["row_number", *names, "reject_reason", "reject_detail"],
                )
            )

    def write_parquet(self, file: IO[bytes]) -> None:
        """Write what was kept as one Parquet file."""
        assert self._spool is not None  # noqa: S101  # nobody asks for a file without having given a place
        fields = {field.name: field for schema in self._spool.schemas for field in schema}
        last = [fields.pop(name) for name in ("reject_reason", "reject_detail")]
        schema = pa.schema([*fields.values(), *last])
        with pq.ParquetWriter(file, schema) as writer:
            for batch in self._spool.batches():
                columns = [
                    batch.column(name) if name in batch.schema.names else pa.nulls(len(batch), pa.string())
                    for name in schema.names
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
