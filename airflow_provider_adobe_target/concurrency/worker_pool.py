"""A worker pool with a bounded number of items, and a clock whose waits can be cancelled."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.concurrency.cancellation import cancel, cancelled_by

log = logging.getLogger(__name__)


class WorkItem(Protocol):
    """Work for one thread: a batch file, or a block of profiles."""

    @property
    def rows(self) -> int:
        """Number of rows in the item."""


T = TypeVar("T", bound=WorkItem)


class TaskCancelledError(Exception):
    """Raised in worker threads when the task is cancelled."""


def run_pool(
    files: Iterable[T],
    send: Callable[[int, T, clock.Clock], None],
    *,
    max_workers: int,
    stop: threading.Event,
) -> None:
    """Call ``send`` for each file in a worker thread while the next file is produced.

    At most ``max_workers + 1`` items exist at a time: one per worker, and one that waits for a free worker.

    After an error no further file is started. Running calls are completed, because their outcome counts, but they are
    not retried. If Airflow ends the task, they are interrupted (:func:`~.cancel`). The first error is raised, the
    others are logged.

    :param files: Iterable of finished files.
    :param send: Function that sends a file. Its arguments are the file's index (from 0), the file, and a clock whose
        waits end when the task is cancelled.
    :param max_workers: Number of worker threads.
    :param stop: Event that is set after an error. If the caller sets it, this function returns without an error.
    """
    errors: list[BaseException] = []
    free_workers = threading.Semaphore(max_workers)

    def fail(error: BaseException) -> None:
        errors.append(error)
        cancel(stop, error)

    def upload(number: int, file: T) -> None:
        try:
            with cancelled_by(stop):
                send(number, file, CancellableClock(stop))
        except TaskCancelledError:
            log.warning(
                "A file of %s rows is not retried, because the task ends. Adobe Target may have accepted it.",
                f"{file.rows:,}",
            )
        except BaseException as error:
            fail(error)
        finally:
            free_workers.release()

    with ThreadPoolExecutor(max_workers=max_workers, thread_name_prefix="adobe-target-upload") as threads:
        try:
            for number, file in enumerate(files):
                free_workers.acquire()
                if stop.is_set():
                    free_workers.release()
                    break
                threads.submit(upload, number, file)
            for _ in range(max_workers):  # wait here, where an exception cancels the workers
                free_workers.acquire()
        except TaskCancelledError:
            pass
        except BaseException as error:
            fail(error)
    for other in errors[1:]:
        log.error("Another worker also failed: %s", other)
    if errors:
        raise errors[0]


class CancellableClock:
    """The system clock, with waits that end when the task is cancelled.

    :param stop: Event that is set when the task is cancelled.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return clock.SYSTEM.now()

    def monotonic(self) -> float:
        """Return the time in seconds of a clock that never goes backwards."""
        return clock.SYSTEM.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the thread.

        :param seconds: Duration in seconds.
        :raises TaskCancelledError: If the task is cancelled in the meantime.
        """
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:
            if self._stop.is_set():
                raise TaskCancelledError
            clock.SYSTEM.sleep(min(left, 1.0))

    async def asleep(self, seconds: float) -> None:
        """Suspend the coroutine without blocking the event loop.

        :param seconds: Duration in seconds.
        """
        await clock.SYSTEM.asleep(seconds)
