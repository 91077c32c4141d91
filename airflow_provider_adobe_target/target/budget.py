"""The calls one task may make: Target allows the whole account 50 a minute, polls perhaps included."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_adobe_target.target.clock import Clock

_WINDOW = 60.0


class CallBudget:
    """Let no more than so many calls begin within any 60 seconds, as Target would count them.

    Nobody says whether Target counts a call when it begins or when its last byte has come. So a call holds
    its place until 60 seconds after its end. Shared by all calls of a task; may be used from several threads.

    :param calls_per_minute: calls in any 60 seconds.
    :param clock: the time.
    """

    def __init__(self, calls_per_minute: int, clock: Clock) -> None:
        self._limit = calls_per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._ended: deque[float] = deque()

    def begin(self) -> float:
        """Take a place for a call.

        :return: 0 where it is taken, and :meth:`end` is owed; else the seconds after which to ask again.
        """
        with self._lock:
            now = self._clock.monotonic()
            while self._ended and now - self._ended[0] >= _WINDOW:
                self._ended.popleft()
            if self._running + len(self._ended) < self._limit:
                self._running += 1
                return 0.0
            # With no ended call all places are held by running ones: look again soon.
            return _WINDOW - (now - self._ended[0]) if self._ended else 1.0

    def end(self) -> None:
        """Say that a call that was begun has ended, well or not."""
        with self._lock:
            self._running -= 1
            self._ended.append(self._clock.monotonic())
