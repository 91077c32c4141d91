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
        self._beside_quotes = np.isin(np.arange(256), np.frombuffer(f'{delimiter}"\r\n'.encode(), np.uint8))
        self._tail = b"\n"  # what is not judged before its neighbour is there, and the byte before it
        self._within = False
        self._is_content = False
        self._odd = False

    @property
    def is_malformed(self) -> bool:
        """Whether any quote was elsewhere, or the last is not closed; nothing more is odd to who is content."""
        return self._odd and not self._is_content

    def stop(self) -> None:
        """Look at no more quotes."""
        self._is_content = True

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer; see ``io.RawIOBase.readinto``."""
        count = self._stream.readinto(buffer)
        if not (self._odd or self._is_content):
            self._look(bytes(buffer[:count]))
        return count

    def _look(self, data: bytes) -> None:
        at_start = self._tail == b"\n"
        window = self._tail + (data.removeprefix(codecs.BOM_UTF8) if at_start else data or b"\n")
        self._tail = window[-2:]
        octets = np.frombuffer(window, np.uint8)
        places = np.flatnonzero(octets[1:-1] == ord('"')) + 1
        openings, closings = places[self._within :: 2], places[not self._within :: 2]
        beside = self._beside_quotes
        self._odd = not (beside[octets[openings - 1]].all() and beside[octets[closings + 1]].all())
        self._within ^= bool(len(places) % 2)
        self._odd |= self._within and not data
