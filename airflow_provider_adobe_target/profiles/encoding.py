"""Columns of text to the lines of a batch file, percent-encoded a whole buffer at a time.

How a block of rows walks through (two rows, one attribute; ``¦`` is byte 0xFF, ``¶`` byte 0xFE)::

    id      tier                 joined, one buffer              encoded, one buffer
    U1      50% off      ─▶      ¶U1¦50% off¶U2¦Zürich   ─▶      ⏎U1,50%25%20off⏎U2,Z%C3%BCrich
    U2      Zürich

0xFF and 0xFE occur in no UTF-8 text, so a comma or a line break in the data cannot be taken for a separator. Every
byte is looked up in a table, two at a time: it stands for itself or for ``%XX``, the two marks for ``,`` and LF. A
line starts with its LF, so that a file ends without one: an empty last line might be counted as a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError

_CELL_MARK, _LINE_MARK = b"\xff", b"\xfe"
_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"  # RFC 3986 §2.3
_BLOCK_BYTES = 128 * 1024  # what is looked up at once, so that it stays in the processor's cache


def _pair_table() -> npt.NDArray[np.uint64]:
    """Return the encoded form of every pair of bytes, each byte's padded with NUL to four."""
    single = np.zeros((256, 4), np.uint8)
    for byte in range(256):
        encoded = bytes([byte]) if byte in _UNRESERVED else b"%%%02X" % byte
        encoded = {_CELL_MARK[0]: b",", _LINE_MARK[0]: b"\n"}.get(byte, encoded)
        single[byte, : len(encoded)] = list(encoded)
    low, high = np.arange(65_536) & 0xFF, np.arange(65_536) >> 8
    return np.hstack([single[low], single[high]]).view(np.uint64).ravel()


_PAIRS = _pair_table()


@dataclass(frozen=True)
class Lines:
    """Encoded rows: ``data`` holds each as LF and its cells; ``starts`` is where each begins, and the last ends."""

    data: bytearray
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1


def encode_header(key: str, names: Sequence[str]) -> bytes:
    """Return the first line of a batch file, without its line end: ``batch=thirdPartyId,tier``."""
    return b"batch=" + ",".join(quote(name, safe="") for name in (key, *names)).encode("ascii")


def encode_lines(columns: Sequence[pa.Array]) -> Lines:
    """Percent-encode rows of text.

    :param columns: at least one column of type string, all of one length; null is written as an empty cell
    :raises ProfileDataError: where the number of separators is not what it must be, because a column is not valid UTF-8
    """
    first, *others = (column.cast(pa.binary()) for column in columns)
    first = pc.binary_join_element_wise(
        pa.scalar(b""), first, pa.scalar(_LINE_MARK), null_handling="replace", null_replacement=b""
    )
    joined = pc.binary_join_element_wise(
        first, *others, pa.scalar(_CELL_MARK), null_handling="replace", null_replacement=b""
    )
    data = _percent_encode(string_bytes(joined))
    encoded = np.frombuffer(data, np.uint8)
    starts = np.flatnonzero(encoded == ord("\n"))
    commas = int(np.count_nonzero(encoded == ord(",")))
    if len(starts) != len(joined) or commas != len(joined) * len(others):
        raise ProfileDataError(
            "A text column holds bytes that are not UTF-8, so its rows could not be told apart. Convert it to "
            "UTF-8 at its source."
        )
    return Lines(data, np.append(starts, len(data)))


def string_bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of all cells of a string or binary array, one after the other, without a copy."""
    _, offsets_buffer, data_buffer = array.buffers()
    if data_buffer is None or len(array) == 0:
        return np.empty(0, np.uint8)
    offsets = np.frombuffer(offsets_buffer, np.int32)
    data = np.frombuffer(data_buffer, np.uint8)
    return data[offsets[array.offset] : offsets[array.offset + len(array)]]


def _percent_encode(data: npt.NDArray[np.uint8]) -> bytearray:
    scratch = bytearray(_BLOCK_BYTES * 4)
    encoded = np.frombuffer(scratch, np.uint64)
    pieces = []
    for start in range(0, len(data), _BLOCK_BYTES):
        block = data[start : start + _BLOCK_BYTES]
        if len(block) % 2:
            block = np.append(block, np.uint8(0))  # NUL and its %00 are cut off below
        pairs = block.view("<u2")
        np.take(_PAIRS, pairs, out=encoded[: len(pairs)], mode="clip")
        pieces.append(scratch[: len(pairs) * 8].translate(None, b"\0"))
    if len(data) % 2:
        del pieces[-1][-len("%00") :]
    return bytearray().join(pieces)
