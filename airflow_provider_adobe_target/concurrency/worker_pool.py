"""Sending batch files, some at once, while the next is being made."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.exceptions import AdobeTargetError

_MAX_UPLOADS = 10

log = logging.getLogger(__name__)


class WorkItem(Protocol):
    """What is sent by one thread: a batch file, or a block of profiles."""

    @property
    def rows(self) -> int:
        """Rows in it."""


T = TypeVar("T", bound=WorkItem)


class TaskCancelledError(Exception):
    """The task ended while a file was being made, or was waiting for its next try."""


def check_concurrency(max_concurrent_uploads: int) -> None:
    """Check how many files may be sent at once.

    :raises AdobeTargetError: where it is no whole number from 1 to 10
    """
    value = max_concurrent_uploads
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_UPLOADS:
        raise AdobeTargetError(f"max_concurrent_uploads={value!r} is not a whole number from 1 to {_MAX_UPLOADS}.")


def run_pool(
    files: Iterable[T],
    send: Callable[[int, T, clock.Clock], None],
    *,
    max_workers: int,
    stop: threading.Event,
) -> None:
    """Call ``send`` for each file in a thread of its own, while the next file is being made.

    At most ``max_workers + 1`` items exist at a time: those in work, and one that waits for a thread.

    Where anything fails no further file is begun. Calls that are under way are waited for, since their outcome counts,
    but not tried again. The first error is raised, others are logged.

    :param files: finished files
    :param send: sends a file, of which it gets the number, from 0 on; the clock it gets ends its waiting when the task
        ends
    :param max_workers: how many files may be under way
    :param stop: set where anything fails; where somebody else sets it, this ends without an error
    """
    errors: list[BaseException] = []
    room = threading.Semaphore(max_workers)

    def fail(error: BaseException) -> None:
        errors.append(error)
        stop.set()

    def upload(number: int, file: T) -> None:
        try:
            send(number, file, CancellableClock(stop))
        except TaskCancelledError:
            log.warning(
                "A file of %s rows is not tried again, as the task ends. Whether Adobe Target took it is unknown.",
                f"{file.rows:,}",
            )
        except BaseException as error:
            fail(error)
        finally:
            room.release()

    with ThreadPoolExecutor(max_workers=max_workers, thread_name_prefix="adobe-target-upload") as threads:
        try:
            for number, file in enumerate(files):
                room.acquire()
                if stop.is_set():
                    break
                threads.submit(upload, number, file)
        except TaskCancelledError:
            pass
        except BaseException as error:
            fail(error)
    for other in errors[1:]:
        log.error("This failed, too: %s", other)
    if errors:
        raise errors[0]


class CancellableClock:
    """The system's clock, whose sleepers wake when the task ends.

    :param stop: set when the task ends
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def now(self) -> float:
        """Return seconds since the epoch."""
        return clock.SYSTEM.now()

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        return clock.SYSTEM.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the thread for so many seconds.

        :raises TaskCancelledError: where the task ends
        """
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:
            if self._stop.is_set():
                raise TaskCancelledError
            clock.SYSTEM.sleep(min(left, 1.0))

    async def asleep(self, seconds: float) -> None:
        """Let the event loop go on for so many seconds."""
        await clock.SYSTEM.asleep(seconds)
