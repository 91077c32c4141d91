"""Checks for a source that has no rows, or no valid rows."""

from __future__ import annotations

import logging

from airflow_provider_adobe_target.exceptions import EmptySourceError, ProfileDataError

log = logging.getLogger(__name__)


def check_row_counts(rows_read: int, rows_invalid: int, on_no_rows: str, max_invalid_pct: float | None = None) -> None:
    """Check the row counts of a source after all rows were read.

    :param rows_read: Number of rows of the source.
    :param rows_invalid: Number of rows that were rejected before a call was made for them.
    :param on_no_rows: ``succeed``, ``skip`` or ``fail``.
    :param max_invalid_pct: Limit on invalid rows, in percent. 100 permits a source without valid rows.
    :raises EmptySourceError: If there are no rows and ``on_no_rows`` is ``skip``.
    :raises ProfileDataError: If there are no rows and ``on_no_rows`` is ``fail``, or if every row was rejected, unless
        ``max_invalid_pct`` is 100.
    """
    if rows_read == 0:
        message = f"The source has no rows (on_no_rows={on_no_rows!r})."
        if on_no_rows == "skip":
            raise EmptySourceError(message)
        if on_no_rows == "fail":
            raise ProfileDataError(message)
        log.warning(message)
    elif rows_invalid == rows_read and max_invalid_pct != 100:
        raise ProfileDataError(
            f"Every row was rejected, {rows_read:,} of {rows_read:,}: nothing was sent. The log has the reasons."
        )
