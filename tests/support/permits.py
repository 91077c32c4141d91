"""Calls that a rate limiter permits."""

from __future__ import annotations

from typing import Any


def take(limiter: Any) -> float:
    """Begin and end a call. Return the wait in seconds if there is no permit, otherwise 0."""
    with limiter.permit() as permit:
        wait: float = permit.try_acquire()
        return wait


def calls_until_a_wait(limiter: Any, most: int = 100) -> int:
    """Return how many calls are permitted without a wait."""
    for number in range(most):
        if take(limiter):
            return number
    return most
