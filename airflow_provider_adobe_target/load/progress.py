"""Log lines about the progress of a long read."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow import RecordBatch

    from airflow_provider_adobe_target.concurrency.clock import Clock

log = logging.getLogger(__name__)

INTERVAL = 30.0


def log_progress(
    batches: Generator[RecordBatch, None, None], total: int | None, clock: Clock, interval: float = INTERVAL
) -> Generator[RecordBatch, None, None]:
    """Yield record batches, and log the rows so far, the rate, the share and the time left.

    :param batches: Record batches.
    :param total: Number of all rows, if it is known.
    :param clock: Clock.
    :param interval: Seconds between two lines.
    """
    started = logged = clock.monotonic()
    rows = 0
    with closing(batches):
        for batch in batches:
            yield batch
            rows += len(batch)
            now = clock.monotonic()
            if now - logged >= interval:
                log.info("%s", progress_line(rows, total, now - started))
                logged = now


def progress_line(rows: int, total: int | None, seconds: float) -> str:
    """Return a line such as ``Progress: 500,000 of 2,000,000 rows (25 %), 10,000 rows/s, about 2 min 30 s left``."""
    rate = rows / seconds
    if not total or rows > total:
        return f"Progress: {rows:,} rows, {rate:,.0f} rows/s"
    left = duration((total - rows) / rate)
    share = f"{100 * rows / total:.0f} %"
    return f"Progress: {rows:,} of {total:,} rows ({share}), {rate:,.0f} rows/s, about {left} left"


def duration(seconds: float) -> str:
    """Return a duration such as ``2 h 5 min``, ``3 min 20 s`` or ``12 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
