"""Local files with personal data or the state of a task: readable for their owner only, and written atomically."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def is_local(path: Any) -> bool:
    """Return whether an ``ObjectStoragePath`` is a local one."""
    return path.protocol in ("", "file", "local")


@contextmanager
def new_private_file(path: Path, move: Callable[[str, Path], object] = os.replace) -> Iterator[IO[bytes]]:
    """Write a file with mode 0600, which appears under its name when it is complete and on disk.

    :param move: Function that moves the temporary file to its final path: ``os.replace``, or ``os.link`` to fail if
        the path exists.
    """
    # mkstemp: a new name for each process, mode 0600, and it does not follow symbolic links.
    descriptor, new = tempfile.mkstemp(prefix=f".{path.stem[:32]}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        move(new, path)
    finally:
        Path(new).unlink(missing_ok=True)
