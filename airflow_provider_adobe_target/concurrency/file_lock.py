"""Advisory file locks (``flock``) in a private folder that all processes of one user on a machine share.

The operating system releases a lock when its process ends, even by SIGKILL. A lock cannot outlive its process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER_VARIABLE = "ADOBE_TARGET_SHARED_FOLDER"
"""Environment variable with the path of the shared folder. Default: a folder in the system's temporary folder."""

_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK_ATTEMPTS = 20
_LOCK_PAUSE = 0.002  # seconds between two attempts


def shared_folder() -> Path:
    """Return the folder that all tasks of this user on the machine share. Create it if it does not exist.

    :raises OSError: If the folder cannot be created, has another owner, or is writable by other users.
    """
    user = os.geteuid()
    configured = os.environ.get(FOLDER_VARIABLE)
    folder = Path(configured) if configured else Path(tempfile.gettempdir(), f"adobe-target-{user}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o022:
        raise PermissionError(f"{folder} must be a folder that user {user} owns and no other user can write to")
    return folder


def digest(*words: str) -> str:
    """Return a SHA-256 digest (24 hex digits) of words, for file names and file contents."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:24]


def lock(path: Path) -> int:
    """Take an exclusive lock on a file. Create the file if it does not exist.

    :return: The file descriptor. Closing it releases the lock.
    :raises BlockingIOError: If the file is already locked.
    """
    descriptor = os.open(path, _OPEN_FLAGS, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock_shared(path: Path, group: str) -> int | None:
    """Take a shared lock on behalf of ``group``. The caller must serialize calls.

    :return: The file descriptor. Closing it releases this share of the lock. None if another group holds the lock.
    """
    descriptor = os.open(path, _OPEN_FLAGS, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            write_line(descriptor, group.encode())
        except BlockingIOError:
            if read_line(descriptor) != group.encode():
                os.close(descriptor)
                return None
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on a file and yield its descriptor.

    The attempts end after about 40 milliseconds, so that an event loop is not blocked for longer.

    :raises BlockingIOError: If the file is still locked then.
    """
    for attempts_left in reversed(range(_LOCK_ATTEMPTS)):
        try:
            descriptor = lock(path)
            break
        except BlockingIOError:
            if not attempts_left:
                raise
            time.sleep(_LOCK_PAUSE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether a process, this one included, holds a lock on a file. A missing file is not locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_line(descriptor: int) -> bytes:
    """Return the first line of a file without its line end, or ``b""`` for an empty file."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return content.partition(b"\n")[0]


def write_line(descriptor: int, line: bytes) -> None:
    """Replace the contents of a file with one line.

    The write is not atomic: after a crash the file may contain a partial line.

    :raises OSError: If not all bytes were written.
    """
    data = line + b"\n"
    if os.pwrite(descriptor, data, 0) != len(data):
        raise OSError("the file was not written completely")
    os.ftruncate(descriptor, len(data))
