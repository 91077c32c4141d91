"""Reading of the batch body: ``batch=`` and a table, in both orders of splitting and decoding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

DecodeOrder = Literal["split-then-decode", "decode-then-split"]
PREFIX = b"batch="
KEYS = ("pcId", "thirdPartyId")
BARE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class RefusedFileError(Exception):
    """A file that the sandbox does not take; the text is the answer's message."""


def form_parameter(body: bytes) -> bytes:
    """Return the ``batch`` parameter of a form, percent-encoded: a bare ``&`` ends it, a bare ``+`` is a space.

    :raises RefusedFileError: if there is none, nothing is in it, or a ``%`` is not followed by two hexadecimal digits.
    """
    if not body.startswith(PREFIX):
        raise RefusedFileError("Unexpected Error: the body must begin with batch=")
    if BARE_PERCENT.search(body):
        raise RefusedFileError("Unexpected error")
    parameter = body[len(PREFIX) :].partition(b"&")[0].replace(b"+", b" ")
    if not parameter:
        raise RefusedFileError("Batch is empty")
    return parameter


class Row(NamedTuple):
    """One line of a file, decoded.

    :param profile_id: the first cell.
    :param cells: the further cells, empty ones included; there may be fewer or more than names.
    """

    profile_id: str
    cells: list[str]


class BatchFile:
    """A batch body that can be read.

    :param body: the HTTP body.
    :param order: whether cells are found before or after percent-decoding.
    :raises RefusedFileError: if the body has no ``batch=``, no usable header or no row.
    """

    def __init__(self, body: bytes, order: DecodeOrder) -> None:
        text = form_parameter(body).decode("utf-8", errors="replace")
        if order == "decode-then-split":
            text = unquote(text)
        self._decodes_cells = order == "split-then-decode"
        self._lines = text.removesuffix("\n").split("\n")
        self.key, *self.names = self._cells(self._lines[0])
        self._check_header()
        if len(self) == 0:
            raise RefusedFileError("Batch is empty")

    def _check_header(self) -> None:
        if self.key not in KEYS:
            raise RefusedFileError("The first column must be pcId or thirdPartyId")
        if not self.names:
            raise RefusedFileError("The header names no attribute")
        if len(set(self.names)) < len(self.names):
            raise RefusedFileError("The header names an attribute twice")
        if any(not name or name.startswith("profile.") for name in self.names):
            raise RefusedFileError("An attribute name is empty or begins with profile.")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._lines) - 1

    def __iter__(self) -> Iterator[Row]:
        """Go through the rows."""
        for line in self._lines[1:]:
            profile_id, *cells = self._cells(line)
            yield Row(profile_id, cells)

    def _cells(self, line: str) -> list[str]:
        cells = line.split(",")
        return [unquote(cell) for cell in cells] if self._decodes_cells and "%" in line else cells


class CountedFile(BatchFile):
    """A batch body of which only the header and the number of rows are kept; all rows must have all cells.

    :raises RefusedFileError: as :class:`BatchFile`, or if there are too many or too few cells.
    """

    def __init__(self, body: bytes, order: DecodeOrder) -> None:
        parameter = form_parameter(body).lower() if order == "decode-then-split" else form_parameter(body)
        line_ends, commas = [b"\n"], [b","]
        if order == "decode-then-split":
            line_ends, commas = [b"\n", b"%0a"], [b",", b"%2c"]
        ends = next(len(end) for end in [*line_ends, b""] if parameter.endswith(end))
        parameter = parameter[: len(parameter) - ends]  # the last line may end
        self._count = sum(parameter.count(end) for end in line_ends)
        super().__init__(b"\n".join(body.split(b"\n", 2)[:2]), order)
        if sum(parameter.count(comma) for comma in commas) != (1 + self._count) * len(self.names):
            raise RefusedFileError("A row has more or fewer cells than the header")
        self._lines.clear()

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._count
