"""Open a file of rows, local or in object storage, decompressed and in UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from airflow_provider_adobe_target.exceptions import ProfileDataError

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_BYTES = 1024 * 1024
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class File(Protocol):
    """What is used of a ``pathlib.Path`` or of Airflow's ``ObjectStoragePath``."""

    @property
    def name(self) -> str:
        """Its last part, whose suffixes tell what the file holds."""

    def open(self, mode: str) -> Any:
        """Open it to read bytes."""


class LineBytes(io.RawIOBase):
    """The bytes of anything that has ``read``, object storage included.

    Ends the last line, without which pyarrow takes a lone header for no CSV.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._end = b"\n"

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read, as ``io.RawIOBase`` does."""
        data = self._stream.read(len(buffer))
        if not data:
            data, self._end = self._end, b""
        buffer[: len(data)] = data
        return len(data)


class Recoded:
    """Text of any encoding, read as UTF-8.

    :param stream: the bytes.
    :param encoding: a Python codec.
    :param file: how an error names the file.
    """

    def __init__(self, stream: Any, encoding: str, file: File) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._file = file
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, none at the end.

        :raises ProfileDataError: if the file does not have this encoding.
        """
        while not self._rest:
            data = self._stream.read(size)
            try:
                self._rest = self._decoder.decode(data, final=not data).encode()
            except UnicodeError:
                raise ProfileDataError(
                    f"{self._file} is not {self._encoding}. Name its encoding in csv_options."
                ) from None
            if not data:
                break
        part, self._rest = self._rest[:size], self._rest[size:]
        return part


@contextmanager
def opened(file: File, encoding: str = "utf-8") -> Iterator[LineBytes]:
    """Open a file of lines, decompressed by its suffix ``.gz`` or ``.zst``, otherwise by its first bytes.

    :param file: the file.
    :param encoding: its encoding; the bytes that are read are UTF-8.
    """
    with file.open("rb") as stream, damage_named(file):
        data = _decompressed(file.name.lower(), stream)
        is_utf8 = codecs.lookup(encoding).name == "utf-8"
        yield LineBytes(data if is_utf8 else Recoded(data, encoding, file))


def _decompressed(name: str, stream: Any) -> Any:
    start = stream.read(len(_ZSTD))
    stream.seek(0)
    if name.endswith(".gz") or start.startswith(_GZIP):
        return gzip.GzipFile(fileobj=stream)
    if name.endswith(".zst") or start.startswith(_ZSTD):
        return pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")
    return stream


_DAMAGE = (pa.ArrowException, UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError)


@contextmanager
def damage_named(file: File) -> Iterator[None]:
    """Tell a file that is broken, which stays so, from a storage that fails, which may be tried again."""
    try:
        yield
    except _DAMAGE:
        raise damaged(file) from None
    except OSError as error:
        if type(error) is not OSError or error.errno is not None:
            raise
        raise damaged(file) from None  # as pyarrow tells what it cannot decode


def damaged(file: File) -> ProfileDataError:
    """Return the error of a broken file."""
    return ProfileDataError(f"{file} is damaged, cut short, or not what its name says. Write it again.")
