"""Open a file of rows, local or in object storage, decompressed."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from airflow_provider_adobe_target.exceptions import ProfileDataError

if TYPE_CHECKING:
    from collections.abc import Iterator


_READ_BYTES = 1024 * 1024


class File(Protocol):
    """What is used of a ``pathlib.Path`` or of Airflow's ``ObjectStoragePath``."""

    @property
    def name(self) -> str:
        """Its last part, whose suffixes tell what the file holds."""

    def open(self, mode: str) -> Any:
        """Open it to read bytes."""


class _Bytes(io.RawIOBase):
    """The bytes of anything that has ``read``, object storage included.

    Ends the last line, without which pyarrow takes a lone header for no CSV.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._end = b"\n"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        if not data:
            data, self._end = self._end, b""
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _opened(file: File) -> Iterator[_Bytes]:
    with file.open("rb") as stream, _damage_named(file):
        yield _Bytes(gzip.GzipFile(fileobj=stream) if file.name.lower().endswith(".gz") else stream)


_DAMAGE = (pa.ArrowException, UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError)


@contextmanager
def _damage_named(file: File) -> Iterator[None]:
    """Tell a file that is broken, which stays so, from a storage that fails, which may be tried again."""
    try:
        yield
    except _DAMAGE:
        raise _damaged(file) from None
    except OSError as error:
        if type(error) is not OSError or error.errno is not None:
            raise
        raise _damaged(file) from None  # as pyarrow tells what it cannot decode


def _damaged(file: File) -> ProfileDataError:
    return ProfileDataError(f"{file} is damaged, cut short, or not what its name says. Write it again.")
