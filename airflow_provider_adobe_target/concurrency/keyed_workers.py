"""Working on items side by side, but on those of one lane one after the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import Empty, Full, Queue
from typing import Any, TypeVar

from airflow_provider_adobe_target.concurrency.worker_pool import TaskCancelledError

T = TypeVar("T")

_AHEAD = 100
_LOOK = 0.2  # seconds after which one who waits looks whether the task has ended

_END: Any = object()
log = logging.getLogger(__name__)


def run_keyed(
    items: Generator[T, None, None],
    key_of: Callable[[T], int],
    work: Callable[[Iterator[T]], None],
    *,
    workers: int,
    stop: threading.Event,
) -> None:
    """Read in this thread, and work on what was read in a thread for each lane, until all have ended.

    Of the items, 100 may wait in each lane. Where anything fails, each lane ends with the item it is at. The first
    error is raised, others are logged.

    :param items: what is read; begun, read and closed in this thread
    :param key_of: tells the lane of an item, by a whole number of any size
    :param work: takes the items of one lane
    :param workers: how many there are
    :param stop: set where anything fails, so that who waits in ``work`` may end
    """
    queues: list[Queue[T]] = [Queue(_AHEAD) for _ in range(workers)]
    errors: list[BaseException] = []

    def run(queue: Queue[T]) -> None:
        try:
            work(_taken(queue, stop))
        except TaskCancelledError:
            pass
        except BaseException as error:
            errors.append(error)
            stop.set()

    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="adobe-target-lane") as threads:
        for queue in queues:
            threads.submit(run, queue)
        try:
            with closing(items):
                for item in items:
                    if not _put(queues[key_of(item) % workers], item, stop):
                        break
            for queue in queues:
                _put(queue, _END, stop)
        except BaseException:
            stop.set()
            raise
    for other in errors[1:]:
        log.error("This failed, too: %s", other)
    if errors:
        raise errors[0]


def _put(queue: Queue[T], item: T, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            queue.put(item, timeout=_LOOK)
        except Full:
            continue
        return True
    return False


def _taken(queue: Queue[T], stop: threading.Event) -> Iterator[T]:
    while not stop.is_set():
        try:
            item = queue.get(timeout=_LOOK)
        except Empty:
            continue
        if item is _END:
            return
        yield item
