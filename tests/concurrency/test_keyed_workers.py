from __future__ import annotations

import threading
import time
from collections import defaultdict

import pytest

from airflow_provider_adobe_target.concurrency.keyed_workers import run_keyed


def numbers(count):
    yield from range(count)


def test_items_of_one_key_are_processed_in_order_by_one_thread():
    seen = defaultdict(list)

    def work(items):
        for item in items:
            seen[item % 4].append((threading.get_ident(), item))

    run_keyed(numbers(2_000), lambda item: item % 4 - 400, work, workers=4, stop=threading.Event())
    assert len(seen) == 4
    for lane, done in seen.items():
        assert [item for _, item in done] == list(range(lane, 2_000, 4))
        assert len({thread for thread, _ in done}) == 1


def test_a_slow_worker_pauses_reading_and_bounds_memory():
    begin, read = threading.Event(), []

    def items():
        for item in range(1_000):
            read.append(item)
            yield item

    def work(taken):
        assert begin.wait(10)
        for _ in taken:
            pass

    threading.Timer(0.5, begin.set).start()
    held = []
    threading.Timer(0.4, lambda: held.append(len(read))).start()
    run_keyed(items(), lambda item: 0, work, workers=2, stop=threading.Event())
    assert held[0] <= 102
    assert len(read) == 1_000


def test_the_first_failure_ends_all_workers_after_their_item():
    stop, begun = threading.Event(), []

    def work(items):
        for item in items:
            begun.append(item)
            if item == 5:
                raise LookupError("refused")
            time.sleep(0.001)

    with pytest.raises(LookupError, match="refused"):
        run_keyed(numbers(100_000), lambda item: item, work, workers=3, stop=stop)
    assert stop.is_set()
    assert len(begun) < 1_000


def test_an_error_of_the_source_ends_all_workers():
    def items():
        yield 1
        raise OSError("the database is gone")

    with pytest.raises(OSError, match="database is gone"):
        run_keyed(items(), lambda item: item, lambda taken: [*taken], workers=2, stop=threading.Event())
