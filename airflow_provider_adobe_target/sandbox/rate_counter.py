"""Sliding-window counter for rate limits."""

from __future__ import annotations

from collections import deque


class RateCounter:
    """Sliding-window log: the amounts of the last ``seconds``, including those over the limit.

    :param seconds: Length of the window in seconds.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._uses: deque[tuple[float, int]] = deque()
        self._total = 0

    def add(self, now: float, limit: int | None, amount: int = 1) -> bool:
        """Add an amount to the window. Return whether the total is within the limit; None or 0 means no limit."""
        while self._uses and self._uses[0][0] <= now - self._seconds:
            self._total -= self._uses.popleft()[1]
        self._uses.append((now, amount))
        self._total += amount
        return not limit or self._total <= limit
