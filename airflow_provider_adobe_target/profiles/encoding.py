r"""Percent-encode columns of text and join them to the lines of a batch file, one column at a time.

The result equals this reference implementation, which the tests compare with::

    b"".join(b"\n" + ",".join(quote(cell or "", safe="") for cell in row).encode() for row in rows)

Example with two rows (⏎ is LF)::

    id   tier                 each column encoded              joined to lines, in one buffer
    U1   50% off       ─▶     U1   50%25%20off          ─▶     ⏎U1,50%25%20off⏎U2,Z%C3%BCrich
    U2   Zürich               U2   Z%C3%BCrich

Algorithm: table lookup over pairs of bytes. An Arrow string column is a buffer of bytes and an array of cell offsets
(Arrow columnar format, variable-size binary layout). A column of unreserved bytes (RFC 3986, section 2.3) is returned
unchanged. Otherwise the buffer is read as 16-bit integers, ignoring cell boundaries, and each integer is an index into
an Arrow column with the 65,536 encoded pairs. ``take`` returns the encoded bytes and the offset of each encoded pair,
from which the new cell offsets are computed::

    bytes     5 0 │ % ␣    │ o f │ f Z │ C3 BC  │ r i │ c h      cells start at 0, 7; end at 14
                                   ╰ the second cell
    encoded   50  │ %25%20 │ of  │ fZ  │ %C3%BC │ ri  │ ch       pairs start at 0, 2, 8, 10, 12, 18, 20; end at 22

Byte 7 is the second byte of the fourth pair, which starts at 10. The encoded ``f`` has one byte, so the cell starts at
11.

Invariant: a value cannot inject a separator, because commas and line breaks are encoded before the separators are
added. :func:`encode_lines` verifies it by counting bytes.

Each line starts with its LF, so a file ends without one. Adobe might count an empty last line as a row.
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
_BLOCK_BYTES = 64 * 1024  # scanned at a time; a reserved byte is usually in the first block
_ENCODED = [bytes([byte]) if byte in _UNRESERVED else b"%%%02X" % byte for byte in range(256)]
_ENCODED_BYTES = np.array([len(encoded) for encoded in _ENCODED], np.int32)
# Indexed by the pair as a little-endian integer: the low byte is the first one.
_ENCODED_PAIRS = pa.array([first + second for second in _ENCODED for first in _ENCODED], pa.binary())


@dataclass(frozen=True)
class Lines:
    """Encoded rows.

    :param data: Bytes of all rows; each row is an LF followed by its cells.
    :param starts: Offset of each row in ``data``, and the end of the last row; one more element than rows.
    """

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1


def encode_header(id_type: str, names: Sequence[str]) -> bytes:
    """Return the first line of a batch file, such as ``batch=thirdPartyId,tier``, without a line feed."""
    return b"batch=" + ",".join(quote(name, safe="") for name in (id_type, *names)).encode("ascii")


def encode_lines(columns: Sequence[pa.Array]) -> Lines:
    """Percent-encode rows of text.

    :param columns: At least one column of type string, all of the same length. Null becomes an empty cell.
    :raises RuntimeError: If the number of separators is wrong.
    """
    encoded = [percent_encode(column) for column in columns]
    encoded[0] = pc.binary_replace_slice(encoded[0].fill_null(""), 0, 0, "\n")
    lines = pc.binary_join_element_wise(*encoded, ",", null_handling="replace", null_replacement="")
    starts = cell_starts(lines).astype(np.int64)
    if starts[-1] != sum(len(string_bytes(column)) for column in encoded) + len(lines) * (len(columns) - 1):
        raise RuntimeError("the number of separators is wrong")
    return Lines(string_bytes(lines), starts)


def percent_encode(column: pa.StringArray) -> pa.StringArray:
    """Percent-encode each cell as ``urllib.parse.quote(cell, safe="")`` does (RFC 3986). Null stays null."""
    data = string_bytes(column)
    if _is_unreserved(data):
        return column
    even = np.append(data, np.uint8(0)) if len(data) % 2 else data  # the padding follows the last cell
    encoded = pc.take(_ENCODED_PAIRS, pa.array(even.view("<u2")), boundscheck=False)
    starts = cell_starts(column)
    # If a cell starts at the second byte of a pair, add the encoded length of the first byte.
    starts = cell_starts(encoded)[starts >> 1] + _ENCODED_BYTES[data[starts - 1]] * (starts & 1)
    valid = pc.is_valid(column).buffers()[1] if column.null_count else None
    buffers = [valid, pa.py_buffer(starts), encoded.buffers()[2]]
    return pa.Array.from_buffers(pa.string(), len(column), buffers)


def cell_starts(array: pa.StringArray) -> npt.NDArray[np.int32]:
    """Return the offset of each cell in :func:`string_bytes`, and the end of the last; one more element than cells."""
    if not len(array):
        return np.zeros(1, np.int32)
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    return offsets - offsets[0] if offsets[0] else offsets


def string_bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    """Return the concatenated bytes of all cells of a string or binary array, without a copy."""
    _, offsets_buffer, data_buffer = array.buffers()
    if data_buffer is None or len(array) == 0:
        return np.empty(0, np.uint8)
    offsets = np.frombuffer(offsets_buffer, np.int32)
    data = np.frombuffer(data_buffer, np.uint8)
    return data[offsets[array.offset] : offsets[array.offset + len(array)]]


def _is_unreserved(data: npt.NDArray[np.uint8]) -> bool:
    blocks = (data[start : start + _BLOCK_BYTES] for start in range(0, len(data), _BLOCK_BYTES))
    return not any(block.tobytes().translate(None, _UNRESERVED) for block in blocks)
