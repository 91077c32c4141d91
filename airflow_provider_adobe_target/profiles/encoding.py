"""Columns of text to the lines of a batch file, percent-encoded a whole column at a time.

How two rows walk through (⏎ is LF)::

    id   tier                 each column encoded              joined to lines, in one buffer
    U1   50% off       ─▶     U1   50%25%20off          ─▶     ⏎U1,50%25%20off⏎U2,Z%C3%BCrich
    U2   Zürich               U2   Z%C3%BCrich

An Arrow column is one buffer of bytes with the offset at which each cell begins. A byte either stands for itself or
becomes ``%XX``, so that a cell grows by two for each of the latter, and every cell's new offset is its old one plus the
growth before it. A column in which nothing grows stays as it is. The others are looked up in a table, two bytes at a
time, padded with NUL, which is then cut out. No value can forge a separator: a comma or a line break in it is encoded
before separators are put in.

A line begins with its LF, so that a file ends without one: an empty last line might be counted as a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"  # RFC 3986 §2.3
_BLOCK_BYTES = 128 * 1024  # what is looked up at once, so that it stays in the processor's cache


def _pair_table() -> npt.NDArray[np.uint64]:
    """Return the encoded form of every pair of bytes, each byte's padded with NUL to four."""
    single = np.zeros((256, 4), np.uint8)
    for byte in range(256):
        encoded = bytes([byte]) if byte in _UNRESERVED else b"%%%02X" % byte
        single[byte, : len(encoded)] = list(encoded)
    low, high = np.arange(65_536) & 0xFF, np.arange(65_536) >> 8
    return np.hstack([single[low], single[high]]).view(np.uint64).ravel()


_PAIRS = _pair_table()
_GROWTH = bytes(0 if byte in _UNRESERVED else 2 for byte in range(256))


@dataclass(frozen=True)
class Lines:
    """Encoded rows: ``data`` holds each as LF and its cells; ``starts`` is where each begins, and the last ends."""

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1


def encode_header(key: str, names: Sequence[str]) -> bytes:
    """Return the first line of a batch file, without its line end: ``batch=thirdPartyId,tier``."""
    return b"batch=" + ",".join(quote(name, safe="") for name in (key, *names)).encode("ascii")


def encode_lines(columns: Sequence[pa.Array]) -> Lines:
    """Percent-encode rows of text.

    :param columns: at least one column of type string, all of one length; null is written as an empty cell
    """
    encoded = [percent_encode(column) for column in columns]
    lines = _join([_join([pa.scalar(""), encoded[0]], "\n"), *encoded[1:]], ",")
    starts = cell_starts(lines).astype(np.int64)
    if starts[-1] != sum(len(string_bytes(column)) for column in encoded) + len(lines) * len(columns):
        raise RuntimeError("the number of separators is not what it must be")
    return Lines(string_bytes(lines), starts)


def percent_encode(column: pa.StringArray) -> pa.StringArray:
    """Percent-encode each cell as RFC 3986 has it, ``urllib.parse.quote(cell, safe="")``; null stays null."""
    data = string_bytes(column)
    growth = np.frombuffer(data.tobytes().translate(_GROWTH), np.uint8)
    if not growth.any():
        return column
    growth_before = np.zeros(len(data) + 1, np.int32)
    np.cumsum(growth, out=growth_before[1:])
    starts = cell_starts(column)
    starts = starts + growth_before[starts]
    encoded = _look_up(data, int(starts[-1]))
    valid = pc.is_valid(column).buffers()[1] if column.null_count else None
    return pa.Array.from_buffers(pa.string(), len(column), [valid, pa.py_buffer(starts), pa.py_buffer(encoded)])


def cell_starts(array: pa.StringArray) -> npt.NDArray[np.int32]:
    """Return where in :func:`string_bytes` each cell begins, and the last ends."""
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    return offsets - offsets[0] if len(array) else np.zeros(1, np.int32)


def string_bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of all cells of a string or binary array, one after the other, without a copy."""
    _, offsets_buffer, data_buffer = array.buffers()
    if data_buffer is None or len(array) == 0:
        return np.empty(0, np.uint8)
    offsets = np.frombuffer(offsets_buffer, np.int32)
    data = np.frombuffer(data_buffer, np.uint8)
    return data[offsets[array.offset] : offsets[array.offset + len(array)]]


def _look_up(data: npt.NDArray[np.uint8], size: int) -> bytearray:
    """Encode bytes, to ``size`` bytes."""
    scratch = bytearray(_BLOCK_BYTES * 4)
    looked_up = np.frombuffer(scratch, np.uint64)
    pieces = []
    for start in range(0, len(data), _BLOCK_BYTES):
        block = data[start : start + _BLOCK_BYTES]
        if len(block) % 2:
            block = np.append(block, np.uint8(0))  # its %00 is beyond size
        pairs = block.view("<u2")
        np.take(_PAIRS, pairs, out=looked_up[: len(pairs)], mode="clip")
        pieces.append(scratch[: len(pairs) * 8].translate(None, b"\0"))
    return bytearray().join(pieces)[:size]


def _join(columns: Sequence[pa.Array | pa.Scalar], separator: str) -> pa.StringArray:
    return pc.binary_join_element_wise(*columns, separator, null_handling="replace", null_replacement="")
