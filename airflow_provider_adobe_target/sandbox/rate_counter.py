"""Counting of what is limited in a span of time."""

from __future__ import annotations

from collections import deque


class Meter:
    """What was used in the last so many seconds, refused uses included.

    :param seconds: the span.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._uses: deque[tuple[float, int]] = deque()
        self._total = 0

    def take(self, now: float, limit: int | None, amount: int = 1) -> bool:
        """Count a use, and tell whether it is within the limit; None or 0 is no limit."""
        while self._uses and self._uses[0][0] <= now - self._seconds:
            self._total -= self._uses.popleft()[1]
        self._uses.append((now, amount))
        self._total += amount
        return not limit or self._total <= limit
