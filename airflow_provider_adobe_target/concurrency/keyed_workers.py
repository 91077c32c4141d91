"""Process items in parallel, keeping the order within each key."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from queue import Empty, Full, Queue
from typing import Any, TypeVar

from airflow_provider_adobe_target.concurrency.cancellation import cancel, cancelled_by
from airflow_provider_adobe_target.concurrency.worker_pool import TaskCancelledError

T = TypeVar("T")

_QUEUE_SIZE = 100
_POLL_SECONDS = 0.2  # how often a blocked thread checks whether the task was cancelled

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
    """Read items in the calling thread and process them in one worker thread per key slot.

    Items with the same key go to the same worker, in order. Each worker has a queue of 100 items. After an error, each
    worker finishes its current item and stops. The first error is raised, the others are logged.

    :param items: Generator that is started, read and closed in the calling thread.
    :param key_of: Function that returns an item's key, an integer of any size.
    :param work: Function that processes the items of one worker.
    :param workers: Number of worker threads.
    :param stop: Event that is set after an error, so that ``work`` can end a wait.
    """
    queues: list[Queue[T]] = [Queue(_QUEUE_SIZE) for _ in range(workers)]
    errors: list[BaseException] = []

    def run(queue: Queue[T]) -> None:
        try:
            with cancelled_by(stop):
                work(_queued_items(queue, stop))
        except TaskCancelledError:
            pass
        except BaseException as error:
            errors.append(error)
            cancel(stop, error)

    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="adobe-target-lane") as threads:
        running = [threads.submit(run, queue) for queue in queues]
        try:
            with closing(items):
                for item in items:
                    if not _put(queues[key_of(item) % workers], item, stop):
                        break
            for queue in queues:
                _put(queue, _END, stop)
            wait(running)  # here, where an exception cancels the workers
        except BaseException as error:
            cancel(stop, error)
            raise
    for other in errors[1:]:
        log.error("Another worker also failed: %s", other)
    if errors:
        raise errors[0]


def _put(queue: Queue[T], item: T, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            queue.put(item, timeout=_POLL_SECONDS)
        except Full:
            continue
        return True
    return False


def _queued_items(queue: Queue[T], stop: threading.Event) -> Iterator[T]:
    while not stop.is_set():
        try:
            item = queue.get(timeout=_POLL_SECONDS)
        except Empty:
            continue
        if item is _END:
            return
        yield item
