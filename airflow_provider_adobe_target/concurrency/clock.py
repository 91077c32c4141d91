"""A clock protocol, so that tests can replace the system clock."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """The time functions that flows and their drivers use."""

    def now(self) -> float:
        """Return the time in seconds since the epoch."""

    def monotonic(self) -> float:
        """Return the time in seconds of a clock that never goes backwards."""

    def sleep(self, seconds: float) -> None:
        """Block the thread.

        :param seconds: Duration in seconds.
        """

    async def asleep(self, seconds: float) -> None:
        """Suspend the coroutine without blocking the event loop.

        :param seconds: Duration in seconds.
        """


class SystemClock:
    """The system clock."""

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return the time in seconds of a clock that never goes backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the thread; see :meth:`Clock.sleep`."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Suspend the coroutine; see :meth:`Clock.asleep`."""
        await asyncio.sleep(seconds)


SYSTEM: Clock = SystemClock()
"""The clock of hooks and triggers. Read it as ``clock.SYSTEM`` at each use, so that tests can replace it."""


def six_digits(text: str) -> str:
    """Return the text of a time with six digits in the fraction of a second, if it has one.

    Python 3.10 reads only three or six digits. Further digits are cut off.
    """
    whole, _, rest = text.partition(".")
    zone = rest.lstrip("0123456789")
    fraction = rest[: len(rest) - len(zone)]
    return f"{whole}.{fraction[:6]:0<6}{zone}" if fraction else text


def utc_time(seconds: float) -> str:
    """Format a time as ``2026-01-31T00:00:00Z``.

    :param seconds: Seconds since the epoch.
    """
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
