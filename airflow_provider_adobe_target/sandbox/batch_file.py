"""Parse the body of a batch upload, ``batch=`` and a table, in either order of splitting and decoding."""

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
    """The sandbox refuses a file. The text is the message of its answer."""


def form_parameter(body: bytes) -> bytes:
    """Return the ``batch`` parameter of a form, percent-encoded. A bare ``&`` ends it, a bare ``+`` is a space.

    :raises RefusedFileError: If the parameter is missing or empty, or two hexadecimal digits do not follow a ``%``.
    """
    if not body.startswith(PREFIX):
        raise RefusedFileError("Unexpected Error: the body must start with batch=")
    if BARE_PERCENT.search(body):
        raise RefusedFileError("Unexpected error")
    parameter = body[len(PREFIX) :].partition(b"&")[0].replace(b"+", b" ")
    if not parameter:
        raise RefusedFileError("Batch is empty")
    return parameter


class Row(NamedTuple):
    """One line of a file, decoded.

    :param profile_id: First cell.
    :param cells: Other cells, including empty ones. Their number may differ from that of the names.
    """

    profile_id: str
    cells: list[str]


class BatchFile:
    """A parsed batch body.

    :param body: HTTP body.
    :param order: Whether the body is split into cells before or after percent-decoding.
    :raises RefusedFileError: If the body has no ``batch=``, no valid header or no row.
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
            raise RefusedFileError("An attribute name is empty or starts with profile.")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._lines) - 1

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows."""
        for line in self._lines[1:]:
            profile_id, *cells = self._cells(line)
            yield Row(profile_id, cells)

    def _cells(self, line: str) -> list[str]:
        cells = line.split(",")
        return [unquote(cell) for cell in cells] if self._decodes_cells and "%" in line else cells


class CountedFile(BatchFile):
    """A batch body of which only the header and the number of rows are kept. Every row must have every cell.

    :raises RefusedFileError: As :class:`BatchFile`, or if the number of cells is wrong.
    """

    def __init__(self, body: bytes, order: DecodeOrder) -> None:
        parameter = form_parameter(body).lower() if order == "decode-then-split" else form_parameter(body)
        line_ends, commas = [b"\n"], [b","]
        if order == "decode-then-split":
            line_ends, commas = [b"\n", b"%0a"], [b",", b"%2c"]
        ends = next(len(end) for end in [*line_ends, b""] if parameter.endswith(end))
        parameter = parameter[: len(parameter) - ends]  # without the optional line end of the last row
        self._count = sum(parameter.count(end) for end in line_ends)
        super().__init__(b"\n".join(body.split(b"\n", 2)[:2]), order)
        if sum(parameter.count(comma) for comma in commas) != (1 + self._count) * len(self.names):
            raise RefusedFileError("A row has more or fewer cells than the header")
        self._lines.clear()

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._count
