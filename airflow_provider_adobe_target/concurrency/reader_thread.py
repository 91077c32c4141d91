"""Read items in the calling thread and process them in a second thread, connected by a bounded queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any, TypeVar

from airflow_provider_adobe_target.concurrency.cancellation import cancel
from airflow_provider_adobe_target.concurrency.worker_pool import TaskCancelledError

T = TypeVar("T")

_QUEUE_SIZE = 2


def read_and_process(
    items: Generator[T, None, None],
    work: Callable[[Iterator[T]], None],
    stop: threading.Event,
    *,
    ahead: int = _QUEUE_SIZE,
) -> None:
    """Read items in the calling thread and process them in a second thread, until both have ended.

    Reading stays in the calling thread for three reasons. A database cursor must be used in the thread that opened it
    (sqlite3 enforces this). Airflow 3 fetches connections through a channel of the task's main thread. Airflow raises
    the exception of ``execution_timeout`` in that thread, where it must interrupt a slow statement.

    :param items: Generator that is started, read and closed in the calling thread. An error that it raises reaches
        ``work`` after all items that were read before it, and is raised here unchanged.
    :param work: Function that processes the items. If it returns early, reading stops.
    :param stop: Event that cancels ``work``. It is set here if the calling thread is interrupted, for example by
        ``execution_timeout``.
    :param ahead: Size of the queue, in items.
    """
    queue: Queue[T | _End] = Queue(ahead)
    ended = threading.Event()

    def run() -> None:
        try:
            work(_queued_items(queue, stop))
        finally:
            ended.set()
            _drain(queue)  # unblocks the reader if the queue is full

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="adobe-target-files") as thread:
        running = thread.submit(run)
        try:
            queue.put(_read(items, queue, ended))
            running.result()
        except BaseException as error:
            cancel(stop, error)
            _drain(queue)
            queue.put(_End())
            raise


@dataclass(frozen=True)
class _End:
    """End marker of the queue.

    :param error: Error that the source raised, if any.
    """

    error: Exception | None = None


def _read(items: Generator[T, None, None], queue: Queue[T | _End], ended: threading.Event) -> _End:
    try:
        with closing(items):
            for item in items:
                queue.put(item)
                if ended.is_set():
                    break
    except Exception as error:
        return _End(error)
    return _End()


def _queued_items(queue: Queue[T | _End], stop: threading.Event) -> Iterator[T]:
    while not isinstance(item := queue.get(), _End):
        if stop.is_set():
            raise TaskCancelledError
        yield item
    if item.error:
        raise item.error


def _drain(queue: Queue[Any]) -> None:
    try:
        while True:
            queue.get_nowait()
    except Empty:
        pass
