"""Folders for what is on disk while a task runs, of which none stays, however a task ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from airflow_provider_adobe_target.concurrency.file_lock import is_locked, lock

_PREFIX = "adobe-target-"
_IN_USE = "in-use"
_REMOVED = ".removed"


class TempFolder:
    """A private folder within the system's folder for temporary files. A context manager.

    Its process holds a lock in it, which the operating system releases when the process ends, also by SIGKILL. So the
    next task on the machine knows which folders nobody uses any more, and removes them.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._lock: int | None = None

    def __enter__(self) -> Path:
        _remove_orphans(Path(tempfile.gettempdir()))
        new = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
        with suppress(OSError):  # where the file system knows no locks, nobody takes it for an orphan
            self._lock = lock(new / _IN_USE)
        if self._lock is None:
            (new / _IN_USE).unlink(missing_ok=True)
        # Only now it is where orphans are looked for.
        self._path = new.rename(new.with_name(new.name.removeprefix(".")))
        return self._path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Remove the folder, whatever thread still writes to it."""
        if self._path:
            _remove(self._path)


def _remove_orphans(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or somebody else was quicker
            if folder.stat().st_uid == os.geteuid() and (folder / _IN_USE).exists() and not is_locked(folder / _IN_USE):
                _remove(folder)
    for folder in parent.glob(f".{_PREFIX}*{_REMOVED}"):  # of one who was killed while he removed it
        shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    removed = folder.with_name(f".{folder.name}{_REMOVED}")
    with suppress(OSError):  # gone already
        folder.rename(removed)  # so that none can be added
    shutil.rmtree(removed, ignore_errors=True)
