"""Cancellation of the worker threads of a task, and interruption of their running calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakSet

_stop: ContextVar[threading.Event | None] = ContextVar("adobe_target_stop", default=None)
_interrupted: WeakSet[threading.Event] = WeakSet()


def cancel(stop: threading.Event, error: BaseException) -> None:
    """Set a stop event.

    Running calls are completed after an error. If Airflow ends the task (``execution_timeout``, SIGTERM), which it does
    by an exception that is not an ``Exception``, they are interrupted.

    :param stop: Stop event of the threads.
    :param error: Exception that ended the task.
    """
    if not isinstance(error, Exception):
        _interrupted.add(stop)
    stop.set()


@contextmanager
def cancelled_by(stop: threading.Event) -> Iterator[None]:
    """Cancel the waits of this thread in the ``with`` block if a stop event is set."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def current_stop() -> threading.Event | None:
    """Return the stop event of this thread, or None in the main thread, where Airflow raises exceptions itself."""
    return _stop.get()


def is_interrupted(stop: threading.Event) -> bool:
    """Return whether running calls must end."""
    return stop in _interrupted
