"""The calls that Adobe counts by the day: single updates and look-ups, a million in any 24 hours.

They are not among the 50 calls a minute. No limit a second is known; an even pace is kept all the same, so that a task
with many of them neither floods Target nor uses up the day's million at once.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_adobe_target.concurrency.clock import Clock

CALLS_PER_SECOND = 10.0
"""The usual pace: a task that ran at it for a whole day would make 864,000 calls, less than a million."""
CALLS_PER_DAY = 1_000_000
"""What Adobe's Single Profile Update page allows an account in any 24 hours; an older one says so of look-ups, too."""

_MINUTE = 60.0
_DAY = 24 * 60 * _MINUTE


class DailyRateLimiter:
    """Let calls begin one after the other, so many a second, and so many within any 24 hours.

    Shared by all calls of one kind that a task makes; may be used from several threads.

    :param per_second: calls that begin in a second.
    :param per_day: calls in any 24 hours, counted by the minute.
    :param clock: the time.
    """

    def __init__(self, per_second: float, per_day: int, clock: Clock) -> None:
        self._pause = 1 / per_second
        self._per_day = per_day
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock.monotonic()
        self._minutes: deque[list[float]] = deque()  # when each is a day ago, and its calls
        self._calls = 0  # of these minutes

    def permit(self) -> DailyRateLimiter:
        """Return what one call needs, which is the same for all."""
        return self

    def __enter__(self) -> DailyRateLimiter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def try_acquire(self) -> float:
        """Ask for a permit; see :class:`Permit`."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._next:
                return self._next - now
            while self._minutes and now >= self._minutes[0][0]:
                self._calls -= int(self._minutes.popleft()[1])
            if self._calls >= self._per_day:
                return self._minutes[0][0] - now
            if not self._minutes or now >= self._minutes[-1][0] - _DAY:
                self._minutes.append([now + _MINUTE + _DAY, 0])
            self._minutes[-1][1] += 1
            self._calls += 1
            self._next = now + self._pause
            return 0.0

    def back_off(self, seconds: float) -> None:
        """Let no call begin for so long; see :class:`Permit`."""
        with self._lock:
            self._next = max(self._next, self._clock.monotonic() + seconds)
