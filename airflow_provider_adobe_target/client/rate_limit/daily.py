"""Rate limiter for calls with a daily quota: single updates and profile look-ups, one million in any 24 hours.

These calls do not count towards the 50 calls per minute. Adobe documents no limit per second. The limiter still spaces
the calls evenly, so that a task with many calls does not use up the daily quota at once.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_adobe_target.client.rate_limit.daily_count import SharedQuota
    from airflow_provider_adobe_target.concurrency.clock import Clock

CALLS_PER_SECOND = 10.0
"""Default rate. 10 calls per second are 864,000 calls a day, which is less than the daily quota."""
CALLS_PER_DAY = 1_000_000
"""Daily quota of an account (Adobe's Single Profile Update page; an older page gives the same quota for look-ups)."""

_MINUTE = 60.0
_DAY = 24 * 60 * _MINUTE


class DailyRateLimiter:
    """Limit the calls per second and the calls in any 24 hours.

    All calls of one kind in a task share one limiter. The class is thread-safe.

    Algorithm: fixed spacing between calls, and a sliding window counter with buckets of one minute.

    :param per_second: Maximum number of calls per second.
    :param per_day: Maximum number of calls in any 24 hours.
    :param clock: Clock.
    :param quota: Quota of the account, shared with other tasks; None for none.
    """

    def __init__(self, per_second: float, per_day: int, clock: Clock, quota: SharedQuota | None = None) -> None:
        self._quota = quota
        self._pause = 1 / per_second
        self._per_day = per_day
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock.monotonic()
        self._minutes: deque[list[float]] = deque()  # buckets: [time at which the bucket expires, number of calls]
        self._calls = 0  # sum over the buckets

    def permit(self) -> DailyRateLimiter:
        """Return the permit for one call. The limiter is its own permit, because it has no state per call."""
        return self

    def __enter__(self) -> DailyRateLimiter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def try_acquire(self) -> float:
        """Try to acquire the permit; see :meth:`Permit.try_acquire`."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._next:
                return self._next - now
            while self._minutes and now >= self._minutes[0][0]:
                self._calls -= int(self._minutes.popleft()[1])
            if self._calls >= self._per_day:
                return self._minutes[0][0] - now
            if self._quota and (wait := self._quota.take()):
                return wait
            if not self._minutes or now >= self._minutes[-1][0] - _DAY:
                self._minutes.append([now + _MINUTE + _DAY, 0])
            self._minutes[-1][1] += 1
            self._calls += 1
            self._next = now + self._pause
            return 0.0

    def back_off(self, seconds: float) -> None:
        """Pause all calls; see :meth:`Permit.back_off`."""
        with self._lock:
            self._next = max(self._next, self._clock.monotonic() + seconds)
