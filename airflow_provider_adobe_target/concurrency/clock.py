"""Time, as a thing that can be handed in."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """What the flows and their drivers ask of time."""

    def now(self) -> float:
        """Return seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""

    def sleep(self, seconds: float) -> None:
        """Block the thread for so many seconds."""

    async def asleep(self, seconds: float) -> None:
        """Let the event loop go on for so many seconds."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the thread for so many seconds."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Let the event loop go on for so many seconds."""
        await asyncio.sleep(seconds)


SYSTEM: Clock = SystemClock()
"""The clock of hooks and triggers: look it up as ``clock.SYSTEM`` at each use, so that it can be replaced."""


def utc_time(seconds: float) -> str:
    """Write a time as ``2026-01-31T00:00:00Z``.

    :param seconds: since the epoch.
    """
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
