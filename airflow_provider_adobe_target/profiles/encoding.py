r"""Columns of text to the lines of a batch file, percent-encoded a whole column at a time.

Cell by cell, which is what the tests hold it to, it would be::

    b"".join(b"\n" + ",".join(quote(cell or "", safe="") for cell in row).encode() for row in rows)

How two rows walk through (⏎ is LF)::

    id   tier                 each column encoded              joined to lines, in one buffer
    U1   50% off       ─▶     U1   50%25%20off          ─▶     ⏎U1,50%25%20off⏎U2,Z%C3%BCrich
    U2   Zürich               U2   Z%C3%BCrich

An Arrow column is one buffer of bytes, and the starts of its cells in it. A column of unreserved bytes alone stays as
it is. Of the others the bytes are taken two by two, whatever cells they belong to, and each pair is a number that is
looked up in an Arrow column of all 65,536 encoded pairs. That gives the encoded bytes, and where those of each pair
begin, which tells where the cells do::

    bytes     5 0 │ % ␣    │ o f │ f Z │ C3 BC  │ r i │ c h      the cells begin at 0, 7, end at 14
                                   ╰ the second cell
    encoded   50  │ %25%20 │ of  │ fZ  │ %C3%BC │ ri  │ ch       the pairs begin at 0, 2, 8, 10, 12, 18, 20, end at 22

Byte 7 is the second of the fourth pair, which begins at 10; the encoded ``f`` has one byte, so that the cell begins
at 11. No value can forge a separator: a comma or a line break in it is encoded before separators are put in.

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
_BLOCK_BYTES = 64 * 1024  # what is looked at before the next: mostly the first tells
_ENCODED = [bytes([byte]) if byte in _UNRESERVED else b"%%%02X" % byte for byte in range(256)]
_ENCODED_BYTES = np.array([len(encoded) for encoded in _ENCODED], np.int32)
# Of each two bytes, as a number whose lower half is the first of them.
_ENCODED_PAIRS = pa.array([first + second for second in _ENCODED for first in _ENCODED], pa.binary())


@dataclass(frozen=True)
class Lines:
    """Encoded rows: ``data`` holds each as LF and its cells; ``starts`` is where each begins, and the last ends."""

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1


def encode_header(id_type: str, names: Sequence[str]) -> bytes:
    """Return the first line of a batch file, without its line end: ``batch=thirdPartyId,tier``."""
    return b"batch=" + ",".join(quote(name, safe="") for name in (id_type, *names)).encode("ascii")


def encode_lines(columns: Sequence[pa.Array]) -> Lines:
    """Percent-encode rows of text.

    :param columns: at least one column of type string, all of one length; null is written as an empty cell
    """
    encoded = [percent_encode(column) for column in columns]
    encoded[0] = pc.binary_replace_slice(encoded[0].fill_null(""), 0, 0, "\n")
    lines = pc.binary_join_element_wise(*encoded, ",", null_handling="replace", null_replacement="")
    starts = cell_starts(lines).astype(np.int64)
    if starts[-1] != sum(len(string_bytes(column)) for column in encoded) + len(lines) * (len(columns) - 1):
        raise RuntimeError("the number of separators is not what it must be")
    return Lines(string_bytes(lines), starts)


def percent_encode(column: pa.StringArray) -> pa.StringArray:
    """Percent-encode each cell as RFC 3986 has it, ``urllib.parse.quote(cell, safe="")``; null stays null."""
    data = string_bytes(column)
    if _is_unreserved(data):
        return column
    even = np.append(data, np.uint8(0)) if len(data) % 2 else data  # what follows the last cell is never looked at
    encoded = pc.take(_ENCODED_PAIRS, pa.array(even.view("<u2")), boundscheck=False)
    starts = cell_starts(column)
    # Where a cell begins with the second byte of a pair, the first is encoded before it.
    starts = cell_starts(encoded)[starts >> 1] + _ENCODED_BYTES[data[starts - 1]] * (starts & 1)
    valid = pc.is_valid(column).buffers()[1] if column.null_count else None
    buffers = [valid, pa.py_buffer(starts), encoded.buffers()[2]]
    return pa.Array.from_buffers(pa.string(), len(column), buffers)


def cell_starts(array: pa.StringArray) -> npt.NDArray[np.int32]:
    """Return where in :func:`string_bytes` each cell begins, and the last ends."""
    if not len(array):
        return np.zeros(1, np.int32)
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    return offsets - offsets[0] if offsets[0] else offsets


def string_bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of all cells of a string or binary array, one after the other, without a copy."""
    _, offsets_buffer, data_buffer = array.buffers()
    if data_buffer is None or len(array) == 0:
        return np.empty(0, np.uint8)
    offsets = np.frombuffer(offsets_buffer, np.int32)
    data = np.frombuffer(data_buffer, np.uint8)
    return data[offsets[array.offset] : offsets[array.offset + len(array)]]


def _is_unreserved(data: npt.NDArray[np.uint8]) -> bool:
    blocks = (data[start : start + _BLOCK_BYTES] for start in range(0, len(data), _BLOCK_BYTES))
    return not any(block.tobytes().translate(None, _UNRESERVED) for block in blocks)
