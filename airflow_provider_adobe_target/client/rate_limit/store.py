"""Storage of the rate limiter's state: in a file that all processes of a machine share, or in memory."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from airflow_provider_adobe_target.client.settings_fields import MAX_CALLS_PER_MINUTE
from airflow_provider_adobe_target.concurrency import file_lock

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from airflow_provider_adobe_target.concurrency.clock import Clock

WINDOW = 60.0
"""Length of the sliding window in seconds."""


@dataclass
class CallLog:
    """Log of an account's calls. Times are seconds of the monotonic clock.

    The queue may hold a thousand entries, so its layout is chosen for fast JSON encoding and decoding.

    :param at: Time of the last access.
    :param running: Names of the permits of running calls.
    :param ended: End times of the calls that ended within the window.
    :param queue: Waiting permits in FIFO order with the time of their next attempt (full seconds), grouped by the
        waiter's ``calls_per_minute``. That key is text, because JSON has no other keys.
    :param paused_until: End of the pause after Adobe Target throttled a call.
    :param reduced_limit: Calls per minute that are allowed at the end of that pause.
    """

    at: float = 0.0
    running: list[str] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    queue: dict[str, dict[str, int]] = field(default_factory=dict)
    paused_until: float = 0.0
    reduced_limit: int = MAX_CALLS_PER_MINUTE


class Store(Protocol):
    """Storage of a call log."""

    def open(self, clock: Clock) -> AbstractContextManager[CallLog]:
        """Open the call log under an exclusive lock and save it on exit.

        :param clock: Clock. The log's ``at`` is set to its current time.
        :raises BlockingIOError: If another process holds the lock.
        :raises OSError: If the log cannot be read or written.
        """

    def lock(self, permit: str) -> None:
        """Mark a permit as in use until :meth:`unlock` or the end of the process. The call log must be open."""

    def unlock(self, permit: str) -> None:
        """Remove the mark of a permit, if it has one."""

    def is_locked(self, permit: str) -> bool:
        """Return whether a permit is in use. The call log must be open."""


class MemoryStore:
    """A call log in memory, shared by the threads of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._call_log = CallLog()

    @contextmanager
    def open(self, clock: Clock) -> Iterator[CallLog]:
        """Open the call log under a thread lock."""
        with self._lock:
            self._call_log.at = clock.monotonic()
            yield self._call_log

    def lock(self, permit: str) -> None:
        """Do nothing, because the log does not outlive the process."""

    def unlock(self, permit: str) -> None:
        """Do nothing."""

    def is_locked(self, permit: str) -> bool:
        """Return True."""
        return True


class FileStore:
    """A call log in a file, shared by all processes of a machine, plus a locked file for each running call.

    :param folder: Folder of the files.
    :param name: Prefix of the file names.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._locked: dict[str, int] = {}

    @contextmanager
    def open(self, clock: Clock) -> Iterator[CallLog]:
        """Open the call log under an exclusive file lock and save it on exit; see :meth:`Store.open`."""
        with file_lock.locked(self._folder / f"{self._name}.calls") as descriptor:
            # Read the clock under the lock, so that the times in the log never decrease.
            now = clock.monotonic()
            call_log = _parse_call_log(file_lock.read_line(descriptor), now)
            call_log.at = now
            yield call_log
            file_lock.write_line(descriptor, json.dumps(vars(call_log), separators=(",", ":")).encode())

    def lock(self, permit: str) -> None:
        """Create and lock the permit's file."""
        self._locked[permit] = file_lock.lock(self._file(permit))

    def unlock(self, permit: str) -> None:
        """Remove the permit's file and release its lock."""
        descriptor = self._locked.pop(permit, None)
        if descriptor is not None:
            with suppress(OSError):  # a file that remains is no longer locked
                self._file(permit).unlink()
            os.close(descriptor)

    def is_locked(self, permit: str) -> bool:
        """Return whether the permit's file is locked. Remove the file if a killed process left it unlocked."""
        if file_lock.is_locked(self._file(permit)):
            return True
        with suppress(FileNotFoundError):
            self._file(permit).unlink()
        return False

    def _file(self, permit: str) -> Path:
        return self._folder / f"{self._name}.{permit}.call"


def _parse_call_log(line: bytes, now: float) -> CallLog:
    if not line:
        return CallLog()
    try:
        call_log = CallLog(**json.loads(line))
        if call_log.at <= now:
            return call_log
    except (ValueError, TypeError):
        # The writer was killed during the write. After one window, the lost calls no longer count.
        return CallLog(paused_until=now + WINDOW)
    return CallLog()  # written before a reboot: the monotonic clock has restarted
