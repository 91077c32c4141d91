"""Write encoded rows to batch files with exact limits on bytes and rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airflow_provider_adobe_target.profiles.encoding import Lines, encode_header


@dataclass(frozen=True)
class BatchFile:
    """One batch file, the body of one HTTP request.

    :param path: Path of the file. The consumer deletes it after use.
    :param rows: Number of rows, without the header line.
    :param size: Size in bytes.
    :param sha256: SHA-256 checksum of the file, in hexadecimal.
    """

    path: Path
    rows: int
    size: int
    sha256: str


def cut_files(
    blocks: Iterable[tuple[Sequence[str], Lines]],
    folder: Path,
    *,
    id_type: Callable[[], str],
    max_rows: int,
    max_bytes: int,
) -> Iterator[BatchFile]:
    """Write blocks of rows to files and yield each file when it is complete. Rows are never split.

    :param blocks: Pairs of attribute names and encoded rows. A change of names starts a new file.
        A row must not be longer than :func:`room_for_a_row`.
    :param folder: Folder of the files.
    :param id_type: Function that returns the name of the first column, ``thirdPartyId`` or ``pcId``. It is called
        after the first block was read.
    :param max_rows: Maximum number of rows per file.
    :param max_bytes: Maximum size of a file in bytes.
    :raises ValueError: If a row is longer than a file may be.
    """
    file: _OpenFile | None = None
    count = 0
    for names, lines in blocks:
        header = encode_header(id_type(), names)
        if file and file.header != header:
            yield file.finish()
            file = None
        row = 0
        while row < len(lines):
            if file is None:
                file = _OpenFile(folder / f"batch-{count:06d}.txt", header)
                count += 1
            end = file.write(lines, row, max_rows, max_bytes)
            if end == row:
                if not file.rows:
                    raise ValueError("a row is longer than a batch file may be")
                yield file.finish()
                file = None
            row = end
    if file:
        yield file.finish()


def room_for_a_row(id_type: str, names: Sequence[str], max_bytes: int) -> int:
    """Return the maximum size of a row in bytes, including its line feed."""
    return max_bytes - len(encode_header(id_type, names))


class _OpenFile:
    def __init__(self, path: Path, header: bytes) -> None:
        self.header = header
        self._path = path
        self._stream = path.open("xb")
        self._checksum = hashlib.sha256()
        self.rows = self._size = 0
        self._append(header)

    def _append(self, data: bytes | memoryview) -> None:
        self._stream.write(data)
        self._checksum.update(data)
        self._size += len(data)

    def write(self, lines: Lines, row: int, max_rows: int, max_bytes: int) -> int:
        """Append as many rows as fit.

        :param row: Index of the first row to append.
        :return: Index of the first row that was not appended.
        """
        start = int(lines.starts[row])
        limit = start + max_bytes - self._size
        fitting = int(np.searchsorted(lines.starts, limit, side="right")) - 1
        end = max(row, min(fitting, row + max_rows - self.rows))
        self._append(lines.data[start : int(lines.starts[end])].data)
        self.rows += end - row
        return end

    def finish(self) -> BatchFile:
        self._stream.close()
        return BatchFile(self._path, self.rows, self._size, self._checksum.hexdigest())
