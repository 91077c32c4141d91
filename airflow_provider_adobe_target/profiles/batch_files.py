"""Encoded rows to batch files: exact limits of bytes and rows, no row split, a checksum of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airflow_provider_adobe_target.profiles.encoding import Lines, encode_header


@dataclass(frozen=True)
class BatchFile:
    """One HTTP body for Adobe Target.

    :param path: the file; whoever takes it removes it after use
    :param rows: rows in it, without the header line
    :param size: its bytes, as they are sent
    :param sha256: checksum of these bytes, in hexadecimal
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
    """Write blocks of rows to files, and hand each out as soon as it is finished.

    :param blocks: attribute names, and the encoded rows that have them; other names begin another file.
        No row may be longer than what a file can hold beside its header (:func:`room_for_a_row`)
    :param folder: where the files are written
    :param id_type: asked once rows are there: the first column of every file, ``thirdPartyId`` or ``pcId``
    :param max_rows: the most rows a file holds
    :param max_bytes: the most bytes a file holds
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
    """Return the bytes that a row, with its line end, may have to fit a file."""
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
        """Take as many rows as fit, from ``row`` on, and return the first that did not."""
        start = int(lines.starts[row])
        budget = start + max_bytes - self._size
        fitting = int(np.searchsorted(lines.starts, budget, side="right")) - 1
        end = max(row, min(fitting, row + max_rows - self.rows))
        self._append(lines.data[start : int(lines.starts[end])].data)
        self.rows += end - row
        return end

    def finish(self) -> BatchFile:
        self._stream.close()
        return BatchFile(self._path, self.rows, self._size, self._checksum.hexdigest())
