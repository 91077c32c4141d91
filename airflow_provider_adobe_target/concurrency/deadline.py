"""Bound the time of a call that cannot be cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def call_within(
    seconds: float, call: Callable[[], T], *, responded: threading.Event | None = None, more_seconds: float = 0.0
) -> T:
    """Run a call in a daemon thread and return its result.

    After the time limit, the thread is left behind. It ends with its call, or with the process.

    :param seconds: Time limit.
    :param call: The call. It must not depend on the calling thread.
    :param responded: Set by the call when the other side has responded.
    :param more_seconds: Further time for a call that has set ``responded``.
    :raises TimeoutError: If the call takes longer.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = call()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True, name="call-within")
    thread.start()
    thread.join(seconds)
    if responded and responded.is_set():
        thread.join(more_seconds)
    if "error" in outcome:
        raise outcome["error"]
    if "result" not in outcome:
        raise TimeoutError(f"no response within {seconds:g} seconds")
    result: T = outcome["result"]
    return result
