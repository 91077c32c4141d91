"""Check a batch file that another program wrote, before it is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_adobe_target.exceptions import ProfileDataError

MAX_ROWS = 499_999
MAX_BYTES = 49_999_999

_PREFIX = b"batch="
_BOM = b"\xef\xbb\xbf"
_ID_TYPES = (b"thirdPartyId", b"pcId")
_RESERVED = re.compile(rb"%(?![0-9A-Fa-f]{2})|[&+=]|[^\x20-\x7e\n]")
_ENCODED_DELIMITER = re.compile(rb"%(?:2[Cc]|0[AaDd])")
_PROBLEMS = {
    b"%": ("a '%' without two hexadecimal digits", "Adobe Target refuses the whole file. Write it as %25."),
    b"&": ("a bare '&'", "Adobe Target drops the rest of the file without a message. Write it as %26."),
    b"+": ("a bare '+'", "Adobe Target reads it as a space. Write it as %2B."),
    b"=": ("a bare '='", "Adobe Target may read it as the start of another field. Write it as %3D."),
    b"\r": ("a carriage return", "Lines must end with a line feed only."),
}
_CONTROL = ("a control character", "Remove it, or percent-encode it.")
_NOT_ASCII = ("a byte that is not ASCII", "Percent-encode names, ids and values as UTF-8.")


@dataclass(frozen=True)
class CheckedBatchFile:
    """What a checked batch file contains.

    :param id_type: The first column, ``thirdPartyId`` or ``pcId``.
    :param rows: Rows, without the header.
    :param encoded_delimiters: Encoded commas and line breaks. Adobe Target very likely decodes a file before it splits
        it, so that each of them may shift columns or start another row.
    """

    id_type: str
    rows: int
    encoded_delimiters: int


def check_batch_file(body: bytes) -> CheckedBatchFile:
    """Check that Adobe Target interprets a batch file as intended.

    Source: "URL-encoding requirements" and "Batch file" of Adobe's Bulk Profile Update page.

    :param body: The HTTP body. It may end with one line feed.
    :raises ProfileDataError: If the file cannot be sent as it is. The message names line and column, both counted from
        1, and never shows the content.
    """
    if body.startswith(_BOM):
        raise ProfileDataError("The batch file starts with a byte order mark. Write it as ASCII without one.")
    if not body.startswith(_PREFIX):
        raise ProfileDataError("The batch file must start with 'batch='.")
    if len(body) > MAX_BYTES:
        raise ProfileDataError(f"The batch file has {len(body):,} bytes; at most {MAX_BYTES:,} are allowed. Split it.")
    problem = _RESERVED.search(body, len(_PREFIX))
    if problem:
        what, remedy = _problem(problem.group()[:1])
        raise ProfileDataError(f"The batch file has {what} in {_place(body, problem.start())}. {remedy}")
    blank = body.find(b"\n\n")
    if blank >= 0:
        raise ProfileDataError(f"{_place(body, blank + 1).capitalize()} of the batch file is empty. Remove the line.")
    lines = body[len(_PREFIX) :].removesuffix(b"\n")
    header, _, _ = lines.partition(b"\n")
    id_column, *names = header.split(b",")
    if id_column not in _ID_TYPES:
        raise ProfileDataError("The first column of the batch file must be named thirdPartyId or pcId.")
    if not names or b"" in names:
        raise ProfileDataError(
            "The header of the batch file must name at least one attribute, and no name may be empty."
        )
    rows = lines.count(b"\n")
    if not 1 <= rows <= MAX_ROWS:
        raise ProfileDataError(f"The batch file has {rows:,} rows; it must have 1 to {MAX_ROWS:,}.")
    _check_cells(lines, len(names))
    return CheckedBatchFile(id_column.decode(), rows, len(_ENCODED_DELIMITER.findall(lines)))


def _check_cells(lines: bytes, attributes: int) -> None:
    """Reject a row with more values than the header has names. Fewer are allowed, as in the sample of Adobe.

    :raises ProfileDataError: If there is such a row. The message names the line.
    """
    for number, line in enumerate(lines.split(b"\n"), 1):
        if line.count(b",") > attributes:
            raise ProfileDataError(
                f"Line {number:,} of the batch file has {line.count(b',') + 1} values, but the header has "
                f"{attributes + 1} names. Replace a comma inside a value by a space."
            )


def _problem(byte: bytes) -> tuple[str, str]:
    return _PROBLEMS.get(byte) or (_CONTROL if byte < b"\x80" else _NOT_ASCII)


def _place(body: bytes, position: int) -> str:
    """Return line and column of a byte, counted from 1; the first line starts with ``batch=``."""
    line = body.count(b"\n", 0, position) + 1
    column = position - body.rfind(b"\n", 0, position)
    return f"line {line:,}, column {column:,}"
