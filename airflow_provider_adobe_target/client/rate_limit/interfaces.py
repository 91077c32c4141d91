"""Protocols that every rate limiter implements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType


class Permit(Protocol):
    """Permission for one call. A context manager around the call."""

    def __enter__(self) -> Permit: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def try_acquire(self) -> float:
        """Try to acquire the permit, without blocking.

        :return: 0 if the permit is acquired, otherwise the seconds to wait before the next attempt.
        """

    def back_off(self, seconds: float) -> None:
        """Pause all calls, because Adobe Target throttled this one.

        :param seconds: How long to pause all calls.
        """


class RateLimit(Protocol):
    """A rate limiter."""

    def permit(self) -> Permit:
        """Return a new permit for one call."""
