"""What the tasks of one machine share, whatever their process: a private folder, and locks on files in it.

The operating system releases a lock when its process ends, also by SIGKILL. So nothing here can stay locked.
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
"""The environment variable that names another folder than the one in the system's folder for temporary files."""

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES, _PAUSE = 20, 0.002


def shared_folder() -> Path:
    """Return the folder of this user that all tasks of the machine share, and make it where it is not there.

    :raises OSError: where it cannot be made, or where it belongs to, or is open to, somebody else.
    """
    user = os.geteuid()
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named) if named else Path(tempfile.gettempdir(), f"adobe-target-{user}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o022:
        raise PermissionError(f"{folder} is not a folder that only its owner, the user {user}, may write to")
    return folder


def digest(*words: str) -> str:
    """Return what stands for words in the name or the content of a file, without showing them."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:24]


def lock(path: Path) -> int:
    """Lock a file, which is made where it is not there.

    :return: its descriptor: closing it ends the lock.
    :raises BlockingIOError: where another holds it.
    """
    descriptor = os.open(path, _OPEN, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock_shared(path: Path, group: str) -> int | None:
    """Lock a file together with others of a group. Two who join at a time are to be kept apart.

    :return: its descriptor, and closing it ends this one's share in the lock; None where another group holds it.
    """
    descriptor = os.open(path, _OPEN, 0o600)
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
    """Hold a file's lock, which others hold for a moment only; yields its descriptor.

    :raises BlockingIOError: where it is not to be had within some 40 milliseconds: an event loop may wait for it.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            descriptor = lock(path)
            break
        except BlockingIOError:
            if not tries_left:
                raise
            time.sleep(_PAUSE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Say whether somebody, perhaps in this process, holds the lock of a file; one that is gone is nobody's."""
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
    """Return the first line of a file, without its end; nothing for a file without one."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return content.partition(b"\n")[0]


def write_line(descriptor: int, line: bytes) -> None:
    """Make a line all that is in a file. A reader sees the old line or the new one, or text that is neither."""
    data = line + b"\n"
    if os.pwrite(descriptor, data, 0) != len(data):
        raise OSError("the file could not be written as a whole")
    os.ftruncate(descriptor, len(data))
