"""Sending batch files in order, one while the next is being made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.target import clock

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.batch_files import BatchFile


class UploadStoppedError(Exception):
    """The task ended while a file was waiting for its next try."""


def send_in_order(files: Iterable[BatchFile], send: Callable[[BatchFile, clock.Clock], None]) -> None:
    """Call ``send`` for each file in a thread of its own, while the next file is being made.

    Where anything fails, a call that is under way is still waited for, since its outcome counts, but not tried again.

    :param files: finished files; the next is asked for once all but the newest were sent
    :param send: sends a file; the clock it gets ends its waiting when the task ends
    """
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="adobe-target-upload") as thread:
        under_way: Future[None] | None = None
        try:
            for file in files:
                if under_way:
                    under_way.result()
                under_way = thread.submit(send, file, _StoppableClock(stop))
            if under_way:
                under_way.result()
        except BaseException:
            stop.set()
            raise


class _StoppableClock:
    """The system's clock, whose sleepers wake when the task ends."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def now(self) -> float:
        return clock.SYSTEM.now()

    def monotonic(self) -> float:
        return clock.SYSTEM.monotonic()

    def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:
            if self._stop.is_set():
                raise UploadStoppedError
            clock.SYSTEM.sleep(min(left, 1.0))

    async def asleep(self, seconds: float) -> None:
        await clock.SYSTEM.asleep(seconds)
