"""Time that passes only during a sleep, shared by the processes of the task and the sandbox."""

from __future__ import annotations

import asyncio
import mmap
import struct
import threading
import time
from pathlib import Path

_START = 1_800_000_000.0  # of the calendar
_BOOT = 5_000.0  # of the clock that never goes back
_FORM = struct.Struct("d")


class SharedTime:
    """Seconds that have passed, in a file: a process that is killed leaves the time as it is."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_FORM.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _FORM.size)
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Start again."""
        self._memory[:] = _FORM.pack(0.0)

    @property
    def passed(self) -> float:
        """Seconds since the beginning."""
        return float(_FORM.unpack(self._memory)[0])

    def pass_by(self, seconds: float) -> None:
        """Let time go by."""
        with self._lock:
            self._memory[:] = _FORM.pack(self.passed + max(0.0, seconds))

    def now(self) -> float:
        """Return the sandbox's time, seconds since the epoch."""
        return _START + self.passed


class TaskClock:
    """The clock of a task process. Its wall clock is changed at times.

    :param time: what passes.
    :param jumps: after how many looks at the wall clock it is set by how many seconds.
    """

    def __init__(self, time: SharedTime, jumps: dict[int, float]) -> None:
        self._time = time
        self._jumps = jumps
        self._looks = 0
        self._set_by = 0.0

    def now(self) -> float:
        self._looks += 1
        self._set_by += self._jumps.get(self._looks, 0.0)
        return self._time.now() + self._set_by

    def monotonic(self) -> float:
        return _BOOT + self._time.passed

    def sleep(self, seconds: float) -> None:
        self._time.pass_by(seconds)
        time.sleep(0)  # another thread's turn

    async def asleep(self, seconds: float) -> None:
        self._time.pass_by(seconds)
        await asyncio.sleep(0)
