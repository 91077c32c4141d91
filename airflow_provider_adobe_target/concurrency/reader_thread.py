"""Reading in one thread, and working on what was read in another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any, TypeVar

from airflow_provider_adobe_target.concurrency.worker_pool import TaskCancelledError

T = TypeVar("T")

_AHEAD = 2


def read_and_process(
    items: Generator[T, None, None], work: Callable[[Iterator[T]], None], stop: threading.Event, *, ahead: int = _AHEAD
) -> None:
    """Read in this thread, and work on what was read in a thread of its own, until both have ended.

    It is the work that moves to another thread, not the reading, since a source belongs to the task's own thread: a
    database cursor is to be used where it was opened (sqlite3 insists), Airflow 3 fetches connections over a line of
    that thread, and Airflow ends a task at its ``execution_timeout`` by an exception there, which is to end a statement
    that takes too long.

    :param items: what is read; begun, read and closed in this thread. Its error reaches the work after all that was
        read before it, and is raised here, too, as it was
    :param work: takes what was read. When it ends early, no more is read
    :param stop: tells the work to end soon; set here where this thread is interrupted, for example at the
        ``execution_timeout``
    :param ahead: how many items may wait for the work
    """
    waiting: Queue[T | _End] = Queue(ahead)
    ended = threading.Event()

    def worked() -> None:
        try:
            work(_taken(waiting, stop))
        finally:
            ended.set()
            _empty(waiting)  # so that no reader is stuck who finds no room

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="adobe-target-files") as thread:
        working = thread.submit(worked)
        try:
            waiting.put(_read(items, waiting, ended))
            working.result()
        except BaseException:
            stop.set()
            _empty(waiting)
            waiting.put(_End())
            raise


@dataclass(frozen=True)
class _End:
    """That no item follows, and why if not for the source's end."""

    error: Exception | None = None


def _read(items: Generator[T, None, None], waiting: Queue[T | _End], ended: threading.Event) -> _End:
    try:
        with closing(items):
            for item in items:
                waiting.put(item)
                if ended.is_set():
                    break
    except Exception as error:
        return _End(error)
    return _End()


def _taken(waiting: Queue[T | _End], stop: threading.Event) -> Iterator[T]:
    while not isinstance(item := waiting.get(), _End):
        if stop.is_set():
            raise TaskCancelledError
        yield item
    if item.error:
        raise item.error


def _empty(waiting: Queue[Any]) -> None:
    try:
        while True:
            waiting.get_nowait()
    except Empty:
        pass
