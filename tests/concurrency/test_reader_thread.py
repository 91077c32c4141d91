from __future__ import annotations

import signal
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from airflow_provider_adobe_target.concurrency.reader_thread import read_and_process
from airflow_provider_adobe_target.concurrency.worker_pool import TaskCancelledError


class Source:
    """Numbers, and what happens to them."""

    def __init__(self, count, error=None):
        self.count, self.error = count, error
        self.read, self.threads, self.closed_in = 0, set(), None

    def items(self):
        try:
            for number in range(self.count):
                self.threads.add(threading.current_thread())
                self.read += 1
                yield number
            if self.error:
                raise self.error
        finally:
            self.closed_in = threading.current_thread()


def test_items_read_in_one_thread_arrive_in_order_in_another():
    source, taken, threads = Source(100), [], set()

    def work(items):
        for item in items:
            taken.append(item)
            threads.add(threading.current_thread())

    read_and_process(source.items(), work, threading.Event())
    assert taken == list(range(100))
    assert source.threads == {source.closed_in} == {threading.current_thread()}
    assert threads.isdisjoint(source.threads)


def test_a_thread_bound_cursor_is_read_in_its_own_thread():
    def rows():
        with closing(sqlite3.connect(":memory:")) as connection:
            yield from connection.execute("VALUES (1), (2), (3)")

    taken = []
    read_and_process(rows(), taken.extend, threading.Event())
    assert taken == [(1,), (2,), (3,)]


def test_no_more_is_read_than_may_wait():
    source, most = Source(30), []

    def work(items):
        for number, _ in enumerate(items, start=1):
            time.sleep(0.01)
            most.append(source.read - number)

    read_and_process(source.items(), work, threading.Event(), ahead=2)
    assert max(most) == 2 + 1  # the one more is in the reader's hand


def test_reading_continues_while_items_are_processed():
    at_the_same_time = threading.Barrier(2, timeout=10)

    def items():
        yield 1
        at_the_same_time.wait()
        yield 2

    def work(items):
        next(items)
        at_the_same_time.wait()
        assert list(items) == [2]

    read_and_process(items(), work, threading.Event())


def test_an_error_of_the_source_follows_the_items_before_it():
    error = LookupError("the source's")
    taken, seen = [], []

    def work(items):
        try:
            for item in items:
                time.sleep(0.01)
                taken.append(item)
        except LookupError as seen_error:
            seen.append(seen_error)
            raise

    with pytest.raises(LookupError) as raised:
        read_and_process(Source(10, error).items(), work, threading.Event())
    assert taken == list(range(10))
    assert seen == [error]
    assert raised.value is error


@pytest.mark.parametrize("error", [None, ValueError("the work's")])
def test_a_source_is_closed_when_the_work_ends_early(error):
    source = Source(1_000_000)

    def work(items):
        next(items)
        time.sleep(0.05)  # the queue fills up
        if error:
            raise error

    if error:
        with pytest.raises(ValueError, match="the work's"):
            read_and_process(source.items(), work, threading.Event())
    else:
        read_and_process(source.items(), work, threading.Event())
    assert source.closed_in is threading.current_thread()
    assert source.read < 10


class TimeoutOfTheTaskError(BaseException):
    """As Airflow's ``AirflowTaskTimeout``."""


@pytest.fixture
def _interrupted():
    def interrupt(number, frame):
        raise TimeoutOfTheTaskError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    yield
    signal.signal(signal.SIGALRM, before)


def slow_reading(source):
    for item in source.items():
        yield item
        time.sleep(10)


@pytest.mark.usefixtures("_interrupted")
@pytest.mark.parametrize(("count", "wrap"), [(10, slow_reading), (1_000, Source.items), (1, Source.items)])
def test_an_interruption_ends_reading_and_processing(count, wrap):
    """While reading, while there is no room, and while the work is waited for."""
    source, stop, ends = Source(count), threading.Event(), []

    def work(items):
        try:
            for _ in items:
                stop.wait(10)
        except TaskCancelledError:
            ends.append("stopped")
        ends.append("ended")

    started = time.monotonic()
    with pytest.raises(TimeoutOfTheTaskError):
        read_and_process(wrap(source), work, stop)
    assert time.monotonic() - started < 5
    assert ends[-1] == "ended"
    assert source.closed_in is threading.current_thread()
