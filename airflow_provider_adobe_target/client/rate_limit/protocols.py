"""The protocols that every rate limiter implements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType


class Permit(Protocol):
    """What one call needs: a permit, for a ``with`` block around the call."""

    def __enter__(self) -> Permit: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def try_acquire(self) -> float:
        """Ask for the permit.

        :return: 0 where it is taken; else the seconds after which to ask again.
        """

    def back_off(self, seconds: float) -> None:
        """Say that Target, in answer to this call, asked for patience.

        :param seconds: how long it is to be left in peace.
        """


class RateLimit(Protocol):
    """What hands out places for calls."""

    def permit(self) -> Permit:
        """Return what one call needs."""
