"""Vectorised check of the quotes of a CSV file while it is read."""

from __future__ import annotations

import codecs
import io
from typing import Any

import numpy as np


class QuoteChecker(io.RawIOBase):
    """Pass the bytes of a CSV file through and check the position of each quote.

    Algorithm: quote parity. In a well-formed file, quotes alternate between opening and closing a cell (RFC 4180,
    section 2). An escaped quote (``""``) is a closing quote followed by an opening one. Invariant: the byte before an
    opening quote, and the byte after a closing quote, is the delimiter, CR, LF or another quote. Blocks overlap by two
    bytes, so each quote is checked together with its neighbours.

    :param stream: Bytes of the file. They are returned unchanged.
    :param delimiter: ASCII character between cells.
    """

    def __init__(self, stream: io.RawIOBase, delimiter: str = ",") -> None:
        self._stream = stream
        self._is_neighbour = np.isin(np.arange(256), np.frombuffer(f'{delimiter}"\r\n'.encode(), np.uint8))
        self._tail = b"\n"  # the last byte, which is checked with the next block, and its predecessor
        self._is_quoted = False
        self._is_stopped = False
        self._is_misplaced = False

    @property
    def is_malformed(self) -> bool:
        """Whether a quote is misplaced or not closed. Always False after :meth:`stop`."""
        return self._is_misplaced and not self._is_stopped

    def stop(self) -> None:
        """Stop checking."""
        self._is_stopped = True

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer; see ``io.RawIOBase.readinto``."""
        count = self._stream.readinto(buffer)
        if not (self._is_misplaced or self._is_stopped):
            self._check(bytes(buffer[:count]))
        return count

    def _check(self, data: bytes) -> None:
        """Check the quotes up to the last byte of ``data``, exclusive. Empty data is the end of the file."""
        at_start = self._tail == b"\n"
        window = self._tail + (data.removeprefix(codecs.BOM_UTF8) if at_start else data or b"\n")
        self._tail = window[-2:]
        octets = np.frombuffer(window, np.uint8)
        quotes = np.flatnonzero(octets[1:-1] == ord('"')) + 1
        openings, closings = quotes[self._is_quoted :: 2], quotes[not self._is_quoted :: 2]
        is_neighbour = self._is_neighbour
        self._is_misplaced = not (is_neighbour[octets[openings - 1]].all() and is_neighbour[octets[closings + 1]].all())
        self._is_quoted ^= bool(len(quotes) % 2)
        self._is_misplaced |= self._is_quoted and not data
