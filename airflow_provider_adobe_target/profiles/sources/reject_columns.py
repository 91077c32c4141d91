"""Read rejects files as a source, without the columns that describe the rejection.

The pipeline checks the rows as any others. One reason would be lost: the file has no text for a value that has no text
form, so the row would be sent without it. Such a cell is marked as unsupported again, unless it was filled in.
"""

from __future__ import annotations

import logging
import re
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.profiles.sources.record_batches import record_batch
from airflow_provider_adobe_target.profiles.sources.rows import row_count
from airflow_provider_adobe_target.profiles.values.python_values import TextCells
from airflow_provider_adobe_target.profiles.values.to_text import to_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from airflow_provider_adobe_target.profiles.sources.partitions import FileRows

log = logging.getLogger(__name__)

REJECT_COLUMNS = ("row_number", "reject_reason", "reject_detail")
"""Columns of a rejects file in addition to those of the rows."""

BATCH_COLUMN = "reject_batch_id"
"""Further column of a file of refused ids, which a sensor writes."""

UNSUPPORTED = "unsupported_value"
_DUPLICATE = "duplicate_id"

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
        if not self._is_rejects_file:
            return {name: name for name in names}
        log.info("%s is a rejects file: the columns %s are removed.", self._file, ", ".join(REJECT_COLUMNS))
        kept = (name for name in names if name not in (*REJECT_COLUMNS, BATCH_COLUMN))
        return {name[:-1] if _RENAMED.fullmatch(name) else name: name for name in kept}

    @cached_property
    def _is_rejects_file(self) -> bool:
        return set(REJECT_COLUMNS) <= set(self._rows.schema.names)

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
        reasons = set(REJECT_COLUMNS[1:]) if self._is_rejects_file else set()
        duplicates = 0
        for batch in self._rows.record_batches({*chosen.values(), *reasons}):
            cells = {name: batch.column(own) for name, own in chosen.items()}
            if reasons:
                reason, detail = (to_text(batch.column(name)).text for name in REJECT_COLUMNS[1:])
                duplicates += pc.equal(reason, _DUPLICATE).true_count
                _mark_unsupported(cells, pc.equal(reason, UNSUPPORTED), detail)
            yield record_batch(cells, batch.num_rows)
        if duplicates:
            log.warning(
                "%s rows of %s have the reason %s: they overwrite the rows with the same ids that were sent before.",
                f"{duplicates:,}",
                self._file,
                _DUPLICATE,
            )


def _mark_unsupported(cells: dict[str, pa.Array], rows: pa.BooleanArray, detail: pa.StringArray) -> None:
    """Mark the empty cells of rows whose values have no text form as unsupported.

    :param cells: Columns by name; changed in place.
    :param rows: Mask of the rows.
    :param detail: Details of the rejections, which start with the name of the column. If it is unknown, every empty
        cell of the row is marked.
    """
    rows = rows.fill_null(False)
    if not rows.true_count:
        return
    column = pc.replace_substring_regex(detail.fill_null(""), ": .*$", "")
    is_unknown = pc.invert(pc.is_in(column, pa.array(list(cells), pa.string())))
    for name, values in cells.items():
        text = to_text(values).text
        concerns = pc.or_(is_unknown, pc.equal(column, name))
        marked = pc.and_(pc.and_(rows, concerns), text.is_null())
        if marked.true_count:
            storage = pa.StructArray.from_arrays([text, marked], fields=list(TextCells.STORAGE))
            cells[name] = pa.ExtensionArray.from_storage(TextCells(), storage)
