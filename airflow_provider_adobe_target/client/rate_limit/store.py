"""What is known of an account's calls, and the two places to keep it: a file for all of a machine, and memory."""

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
"""Seconds over which Target counts calls."""


@dataclass
class CallLog:
    """What is known of an account's calls. Times are those of the monotonic clock.

    :param at: when this was written.
    :param running: the places of calls under way.
    :param ended: when calls ended, in the last 60 seconds.
    :param queue: the places that are waited for, in the order in which they were asked for, and the second in which
        each is asked for again; by the calls a minute that who asks may make, as text, as JSON has it. There may be a
        thousand: they are kept so that they are quickly read and written.
    :param paused_until: when Target, which had enough, may be called again.
    :param reduced_limit: the calls a minute that Target seemed to have left for this machine then.
    """

    at: float = 0.0
    running: list[str] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    queue: dict[str, dict[str, int]] = field(default_factory=dict)
    paused_until: float = 0.0
    reduced_limit: int = MAX_CALLS_PER_MINUTE


class Store(Protocol):
    """Where a call_log is kept."""

    def open(self, clock: Clock) -> AbstractContextManager[CallLog]:
        """Let nobody else have the call_log for a moment, and keep what is changed in it.

        The call_log's ``at`` is the present time.

        :raises BlockingIOError: where others have it just now.
        :raises OSError: where it cannot be kept.
        """

    def lock(self, permit: str) -> None:
        """Show that a permit is taken, until it is left or this process ends. The call_log is open."""

    def unlock(self, permit: str) -> None:
        """Show no longer that a permit is taken, if it is."""

    def is_locked(self, permit: str) -> bool:
        """Say whether a permit is still taken. The call_log is open."""


class MemoryStore:
    """A call_log for the threads of one process, which ends with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._call_log = CallLog()

    @contextmanager
    def open(self, clock: Clock) -> Iterator[CallLog]:
        """Let no other thread have the call_log for a moment."""
        with self._lock:
            self._call_log.at = clock.monotonic()
            yield self._call_log

    def lock(self, permit: str) -> None:
        """Do nothing: with the process, the call_log ends."""

    def unlock(self, permit: str) -> None:
        """Do nothing."""

    def is_locked(self, permit: str) -> bool:
        """Say yes."""
        return True


class FileStore:
    """A call_log for all processes of a machine, and beside it, for each call under way, a file locked by its process.

    :param folder: where the files are.
    :param name: what the files' names begin with.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._locked: dict[str, int] = {}

    @contextmanager
    def open(self, clock: Clock) -> Iterator[CallLog]:
        """Let no other process and no other thread have the call_log for a moment."""
        with file_lock.locked(self._folder / f"{self._name}.calls") as descriptor:
            # Only now: whoever had the lock before is to have written an earlier time.
            now = clock.monotonic()
            call_log = _call_log(file_lock.read_line(descriptor), now)
            call_log.at = now
            yield call_log
            file_lock.write_line(descriptor, json.dumps(vars(call_log), separators=(",", ":")).encode())

    def lock(self, permit: str) -> None:
        """Lock a file of the permit's name."""
        self._locked[permit] = file_lock.lock(self._file(permit))

    def unlock(self, permit: str) -> None:
        """Remove the file of the permit's name."""
        descriptor = self._locked.pop(permit, None)
        if descriptor is not None:
            with suppress(OSError):  # others see that it is no longer locked
                self._file(permit).unlink()
            os.close(descriptor)

    def is_locked(self, permit: str) -> bool:
        """Say whether the file of the permit's name is locked, and remove what a killed process left."""
        if file_lock.is_locked(self._file(permit)):
            return True
        with suppress(FileNotFoundError):
            self._file(permit).unlink()
        return False

    def _file(self, permit: str) -> Path:
        return self._folder / f"{self._name}.{permit}.call"


def _call_log(line: bytes, now: float) -> CallLog:
    if not line:
        return CallLog()
    try:
        call_log = CallLog(**json.loads(line))
        if call_log.at <= now:
            return call_log
    except (ValueError, TypeError):
        # Its writer was killed while it wrote: by then all calls that it knew of are forgotten by Target, too.
        return CallLog(paused_until=now + WINDOW)
    return CallLog()  # written before the machine was started again
