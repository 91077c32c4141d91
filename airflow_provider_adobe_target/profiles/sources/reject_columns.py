"""Read rejects files as a source, without the columns that describe the rejection."""

from __future__ import annotations

import logging
import re
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_provider_adobe_target.profiles.sources.record_batches import record_batch
from airflow_provider_adobe_target.profiles.sources.rows import row_count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from airflow_provider_adobe_target.profiles.sources.partitions import FileRows

log = logging.getLogger(__name__)

REJECT_COLUMNS = ("row_number", "reject_reason", "reject_detail")
"""Columns of a rejects file in addition to those of the rows."""

BATCH_COLUMN = "reject_batch_id"
"""Further column of a file of refused ids, which a sensor writes."""

_RENAMED = re.compile(f"({'|'.join((*REJECT_COLUMNS, BATCH_COLUMN))})_+")


class RejectedRows:
    """Rows of a file that may be a rejects file.

    If the file has all of ``row_number``, ``reject_reason`` and ``reject_detail``, these columns are removed, and
    columns that were renamed because of them get their original names.

    :param rows: Rows of the file.
    :param file: Path of the file, for the log.
    """

    def __init__(self, rows: FileRows, file: str) -> None:
        self._rows = rows
        self._file = file

    @cached_property
    def _names(self) -> dict[str, str]:
        """Column names in the file, by original name."""
        names = self._rows.schema.names
        if not set(REJECT_COLUMNS) <= set(names):
            return {name: name for name in names}
        log.info("%s is a rejects file: the columns %s are removed.", self._file, ", ".join(REJECT_COLUMNS))
        kept = (name for name in names if name not in (*REJECT_COLUMNS, BATCH_COLUMN))
        return {name[:-1] if _RENAMED.fullmatch(name) else name: name for name in kept}

    @property
    def row_count(self) -> int | None:
        """Number of rows of the file, if it is known."""
        return row_count(self._rows)

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns without those of the rejection."""
        return pa.schema([self._rows.schema.field(own).with_name(name) for name, own in self._names.items()])

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows; see :meth:`.Rows.record_batches`."""
        chosen = {name: own for name, own in self._names.items() if columns is None or name in columns}
        for batch in self._rows.record_batches(set(chosen.values())):
            yield record_batch({name: batch.column(own) for name, own in chosen.items()}, batch.num_rows)
