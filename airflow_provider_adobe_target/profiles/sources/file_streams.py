"""Open files, local or in object storage, decompressed and re-encoded to UTF-8."""

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
    """The common interface of ``pathlib.Path`` and Airflow's ``ObjectStoragePath`` that sources use."""

    @property
    def name(self) -> str:
        """Last part of the path. Its suffix determines the format."""

    def open(self, mode: str) -> Any:
        """Open the file for reading bytes."""


class LineBytes(io.RawIOBase):
    """Raw stream over any object with ``read``, with a line feed appended.

    pyarrow rejects a CSV file that is a header without a line feed.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._end = b"\n"

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer; see ``io.RawIOBase.readinto``."""
        data = self._stream.read(len(buffer))
        if not data:
            data, self._end = self._end, b""
        buffer[: len(data)] = data
        return len(data)


class Recoded:
    """Binary stream that converts text from any encoding to UTF-8.

    :param stream: Bytes of the file.
    :param encoding: Name of a Python codec.
    :param file: Path of the file, for the error message.
    """

    def __init__(self, stream: Any, encoding: str, file: File) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._file = file
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes; empty at the end.

        :raises ProfileDataError: If the bytes are invalid in the encoding.
        """
        while not self._rest:
            data = self._stream.read(size)
            try:
                self._rest = self._decoder.decode(data, final=not data).encode()
            except UnicodeError:
                raise ProfileDataError(
                    f"The file is not {self._encoding}: {self._file}. Set its encoding in csv_options."
                ) from None
            if not data:
                break
        part, self._rest = self._rest[:size], self._rest[size:]
        return part


@contextmanager
def opened(file: File, encoding: str = "utf-8") -> Iterator[LineBytes]:
    """Open a text file. Compression is detected by the suffix ``.gz`` or ``.zst``, otherwise by the first bytes.

    :param file: File to open.
    :param encoding: Encoding of the file. The stream returns UTF-8.
    :raises ProfileDataError: If the file is damaged or not in the encoding.
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
    """Raise errors of damaged files as ``ProfileDataError``. Errors of the storage, which may be transient, propagate.

    :raises ProfileDataError: If the file is damaged.
    """
    try:
        yield
    except _DAMAGE:
        raise damaged(file) from None
    except OSError as error:
        if type(error) is not OSError or error.errno is not None:
            raise
        raise damaged(file) from None  # a plain OSError without errno: pyarrow cannot decode the data


def damaged(file: File) -> ProfileDataError:
    """Return the error for a damaged file."""
    return ProfileDataError(
        f"The file is damaged, truncated, or not in the format of its suffix: {file}. Write it again."
    )
