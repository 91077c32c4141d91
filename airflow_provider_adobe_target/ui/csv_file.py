"""Runs as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from airflow_provider_adobe_target.sync_log.record import SUMMARY_COLUMNS, RunRecord

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def runs_as_csv(records: Iterable[RunRecord]) -> str:
    """Return one line per run, with the columns of the sync log that are not nested."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(SUMMARY_COLUMNS)
    for record in records:
        row = record.to_row()
        writer.writerow([_cell(row[column]) for column in SUMMARY_COLUMNS])
    return stream.getvalue()


def _cell(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
