"""Temporary folders that are removed even if the process is killed."""

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
    """A private folder in the system's temporary folder. A context manager.

    The process holds a lock on a file in the folder. The operating system releases the lock when the process ends, even
    by SIGKILL. Each new :class:`TempFolder` removes the folders of this user that are no longer locked.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._lock: int | None = None

    def __enter__(self) -> Path:
        _remove_orphans(Path(tempfile.gettempdir()))
        new = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
        with suppress(OSError):  # without a lock file the folder is never removed as an orphan
            self._lock = lock(new / _IN_USE)
        if self._lock is None:
            (new / _IN_USE).unlink(missing_ok=True)
        # The folder gets the prefix that _remove_orphans() searches for only after it is locked.
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
        """Remove the folder, even if a thread still writes to it."""
        if self._path:
            _remove(self._path)


def _remove_orphans(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # the folder has another owner, or another process has removed it
            if folder.stat().st_uid == os.geteuid() and (folder / _IN_USE).exists() and not is_locked(folder / _IN_USE):
                _remove(folder)
    for folder in parent.glob(f".{_PREFIX}*{_REMOVED}"):  # left by a process that was killed while it removed them
        shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    removed = folder.with_name(f".{folder.name}{_REMOVED}")
    with suppress(OSError):  # the folder no longer exists
        folder.rename(removed)  # no thread can create a file under the old path from here on
    shutil.rmtree(removed, ignore_errors=True)
