from __future__ import annotations

import logging

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.load.progress import duration, log_progress, progress_line


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def read(clock, batches, closed):
    try:
        for rows in batches:
            clock.now += 20
            yield pa.record_batch({"a": pa.nulls(rows)})
    finally:
        closed.append(True)


def test_a_line_follows_each_interval(caplog):
    caplog.set_level(logging.INFO)
    clock, closed = Clock(), []
    batches = list(log_progress(read(clock, [100] * 6, closed), 1_200, clock))
    assert [len(batch) for batch in batches] == [100] * 6
    assert caplog.messages == [
        "Progress: 200 of 1,200 rows (17 %), 5 rows/s, about 3 min 20 s left",
        "Progress: 400 of 1,200 rows (33 %), 5 rows/s, about 2 min 40 s left",
        "Progress: 600 of 1,200 rows (50 %), 5 rows/s, about 2 min 0 s left",
    ]
    assert closed


def test_the_source_is_closed_with_the_log():
    clock, closed = Clock(), []
    batches = log_progress(read(clock, [1, 1], closed), None, clock)
    next(batches)
    batches.close()
    assert closed


def test_without_a_total_only_the_rate_is_known():
    assert progress_line(50_000, None, 10) == "Progress: 50,000 rows, 5,000 rows/s"
    assert progress_line(11, 10, 1) == "Progress: 11 rows, 11 rows/s"


@pytest.mark.parametrize(("seconds", "text"), [(7_500, "2 h 5 min"), (200, "3 min 20 s"), (12.4, "12 s")])
def test_durations_are_readable(seconds, text):
    assert duration(seconds) == text
