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
class Ledger:
    """What is known of an account's calls. Times are those of the monotonic clock.

    :param at: when this was written.
    :param running: the places of calls under way.
    :param ended: when calls ended, in the last 60 seconds.
    :param waiting: the places that are waited for, in the order in which they were asked for, and the second in which
        each is asked for again; by the calls a minute that who asks may make, as text, as JSON has it. There may be a
        thousand: they are kept so that they are quickly read and written.
    :param held_until: when Target, which had enough, may be called again.
    :param share: the calls a minute that Target seemed to have left for this machine then.
    """

    at: float = 0.0
    running: list[str] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    waiting: dict[str, dict[str, int]] = field(default_factory=dict)
    held_until: float = 0.0
    share: int = MAX_CALLS_PER_MINUTE


class Store(Protocol):
    """Where a ledger is kept."""

    def open(self, clock: Clock) -> AbstractContextManager[Ledger]:
        """Let nobody else have the ledger for a moment, and keep what is changed in it.

        The ledger's ``at`` is the present time.

        :raises BlockingIOError: where others have it just now.
        :raises OSError: where it cannot be kept.
        """

    def occupy(self, place: str) -> None:
        """Show that a place is taken, until it is left or this process ends. The ledger is open."""

    def vacate(self, place: str) -> None:
        """Show no longer that a place is taken, if it is."""

    def is_occupied(self, place: str) -> bool:
        """Say whether a place is still taken. The ledger is open."""


class MemoryStore:
    """A ledger for the threads of one process, which ends with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ledger = Ledger()

    @contextmanager
    def open(self, clock: Clock) -> Iterator[Ledger]:
        """Let no other thread have the ledger for a moment."""
        with self._lock:
            self._ledger.at = clock.monotonic()
            yield self._ledger

    def occupy(self, place: str) -> None:
        """Do nothing: with the process, the ledger ends."""

    def vacate(self, place: str) -> None:
        """Do nothing."""

    def is_occupied(self, place: str) -> bool:
        """Say yes."""
        return True


class FileStore:
    """A ledger for all processes of a machine, and beside it, for each call under way, a file locked by its process.

    :param folder: where the files are.
    :param name: what the files' names begin with.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._occupied: dict[str, int] = {}

    @contextmanager
    def open(self, clock: Clock) -> Iterator[Ledger]:
        """Let no other process and no other thread have the ledger for a moment."""
        with file_lock.locked(self._folder / f"{self._name}.calls") as descriptor:
            # Only now: whoever had the lock before is to have written an earlier time.
            now = clock.monotonic()
            ledger = _ledger(file_lock.read_line(descriptor), now)
            ledger.at = now
            yield ledger
            file_lock.write_line(descriptor, json.dumps(vars(ledger), separators=(",", ":")).encode())

    def occupy(self, place: str) -> None:
        """Lock a file of the place's name."""
        self._occupied[place] = file_lock.lock(self._file(place))

    def vacate(self, place: str) -> None:
        """Remove the file of the place's name."""
        descriptor = self._occupied.pop(place, None)
        if descriptor is not None:
            with suppress(OSError):  # others see that it is no longer locked
                self._file(place).unlink()
            os.close(descriptor)

    def is_occupied(self, place: str) -> bool:
        """Say whether the file of the place's name is locked, and remove what a killed process left."""
        if file_lock.is_locked(self._file(place)):
            return True
        with suppress(FileNotFoundError):
            self._file(place).unlink()
        return False

    def _file(self, place: str) -> Path:
        return self._folder / f"{self._name}.{place}.call"


def _ledger(line: bytes, now: float) -> Ledger:
    if not line:
        return Ledger()
    try:
        ledger = Ledger(**json.loads(line))
        if ledger.at <= now:
            return ledger
    except (ValueError, TypeError):
        # Its writer was killed while it wrote: by then all calls that it knew of are forgotten by Target, too.
        return Ledger(held_until=now + WINDOW)
    return Ledger()  # written before the machine was started again
