"""Check a batch file that another program wrote, before it is sent."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from airflow_provider_adobe_target.exceptions import ProfileDataError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ROWS = 499_999
MAX_BYTES = 49_999_999
MAX_ID_CHARACTERS = {"thirdPartyId": 256, "pcId": 128}
MAX_PROFILE_BYTES = 64_000
MAX_PAGE_VALUE_CHARACTERS = 256

_PREFIX = b"batch="
_BOM = b"\xef\xbb\xbf"
_ID_TYPES = (b"thirdPartyId", b"pcId")
_RESERVED = re.compile(rb"%(?![0-9A-Fa-f]{2})|[&+=]|[^\x20-\x7e\n]")
_ENCODED_DELIMITER = re.compile(rb"%(?:2[Cc]|0[AaDd])")
_PLAIN_ID = re.compile(rb"[0-9A-Za-z_.~-]{1,128}")  # needs no further check
_FORBIDDEN_IN_ID = re.compile(r"[+/\x00-\x1f\x7f-\x9f]")
_PROBLEMS = {
    b"%": (
        "bare_percent",
        "a '%' without two hexadecimal digits",
        "Adobe Target refuses the whole file. Write it as %25.",
    ),
    b"&": (
        "bare_ampersand",
        "a bare '&'",
        "Adobe Target drops the rest of the file without a message. Write it as %26.",
    ),
    b"+": ("bare_plus", "a bare '+'", "Adobe Target reads it as a space. Write it as %2B."),
    b"=": ("bare_equals", "a bare '='", "Adobe Target may read it as the start of another field. Write it as %3D."),
    b"\r": ("carriage_return", "a carriage return", "Lines must end with a line feed only."),
}
_CONTROL = ("control_character", "a control character", "Remove it, or percent-encode it.")
_NOT_ASCII = ("not_ascii", "a byte that is not ASCII", "Percent-encode names, ids and values as UTF-8.")


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


@dataclass(frozen=True)
class Problem:
    """One problem of a batch file. No field contains content of the file, except a name of the header.

    :param rule: Name of the rule, such as ``bare_percent``.
    :param message: What is wrong.
    :param advice: What Adobe Target does, and what to do.
    :param line: Line, counted from 1; None if the whole file is concerned.
    :param column: Column in bytes, counted from 1. The first line starts with ``batch=``.
    :param is_error: Whether the file must not be sent. Otherwise it is a warning.
    """

    rule: str
    message: str
    advice: str
    line: int | None = None
    column: int | None = None
    is_error: bool = True


def check_batch_file(body: bytes) -> CheckedBatchFile:
    """Check that Adobe Target interprets a batch file as intended.

    Source: "URL-encoding requirements" and "Batch file" of Adobe's Bulk Profile Update page.

    :param body: The HTTP body. It may end with one line feed.
    :raises ProfileDataError: If the file cannot be sent as it is. The message names line and column, both counted from
        1, and never shows the content.
    """
    problem = next(format_problems(body), None)
    if problem is not None:
        raise ProfileDataError(_error_message(problem))
    lines = body[len(_PREFIX) :].removesuffix(b"\n")
    id_column = lines.partition(b",")[0]
    _check_rows(lines, lines.partition(b"\n")[0].count(b","), MAX_ID_CHARACTERS[id_column.decode()])
    return CheckedBatchFile(id_column.decode(), lines.count(b"\n"), len(_ENCODED_DELIMITER.findall(lines)))


def format_problems(body: bytes) -> Iterator[Problem]:
    """Yield what makes a file unreadable or lets Adobe Target read another content: all of it, grouped by rule.

    :param body: The HTTP body.
    """
    if body.startswith(_BOM):
        yield Problem(
            "byte_order_mark", "The batch file starts with a byte order mark.", "Write it as ASCII without one."
        )
        body = body.removeprefix(_BOM)
    if not body.startswith(_PREFIX):
        yield Problem(
            "prefix", "The batch file must start with 'batch='.", "Adobe Target refuses the whole file.", 1, 1
        )
    if len(body) > MAX_BYTES:
        size = f"The batch file has {len(body):,} bytes; at most {MAX_BYTES:,} are allowed."
        yield Problem("file_size", size, "Split it.")
    place = places(body)
    start = len(_PREFIX) if body.startswith(_PREFIX) else 0
    for match in _RESERVED.finditer(body, start):
        byte = match.group()[:1]
        rule, what, advice = _PROBLEMS.get(byte) or (_CONTROL if byte < b"\x80" else _NOT_ASCII)
        yield Problem(rule, f"The batch file has {what}.", advice, *place(match.start()))
    blank = body.find(b"\n\n", start)
    while blank >= 0:
        yield Problem("empty_line", "The line is empty.", "Remove the line.", *place(blank + 1))
        blank = body.find(b"\n\n", blank + 1)
    yield from _table_problems(body[start:].removesuffix(b"\n"))


def _table_problems(lines: bytes) -> Iterator[Problem]:
    id_column, *names = lines.partition(b"\n")[0].rstrip(b"\r").split(b",")
    if id_column not in _ID_TYPES:
        named = "The first column of the batch file must be named thirdPartyId or pcId."
        yield Problem("id_column", named, "Adobe Target refuses the file.", 1, len(_PREFIX) + 1)
    if not names or b"" in names:
        named = "The header of the batch file must name at least one attribute, and no name may be empty."
        yield Problem("attribute_names", named, "Name each column.", 1, len(_PREFIX) + 1)
    rows = lines.count(b"\n")
    if not 1 <= rows <= MAX_ROWS:
        count = f"The batch file has {rows:,} rows; it must have 1 to {MAX_ROWS:,}."
        yield Problem("row_count", count, "Split it." if rows else "Add rows.")


def _check_rows(lines: bytes, attributes: int, max_characters: int) -> None:
    """Reject a row with an invalid id, or without one, and a row with more values than the header has names.

    Fewer values are allowed, as in the sample of Adobe.

    :raises ProfileDataError: If there is such a row. The message names the line.
    """
    for number, line in enumerate(lines.split(b"\n"), 1):
        profile_id = line.partition(b",")[0]
        if not _PLAIN_ID.fullmatch(profile_id):
            for problem in _id_problems(profile_id, number, max_characters):
                raise ProfileDataError(_error_message(problem))
        if line.count(b",") > attributes:
            raise ProfileDataError(
                f"Line {number:,} of the batch file has {line.count(b',') + 1} values, but the header has "
                f"{attributes + 1} names. Replace a comma inside a value by a space."
            )


def _is_blank(profile_id: bytes) -> bool:
    return profile_id[:1] in (b"", b" ", b"%") and not _decoded(profile_id)[0].strip()


def row_problems(body: bytes) -> Iterator[Problem]:
    """Yield the problems of rows, in the order of the lines. They can be sent, but rows are refused or misread.

    Line breaks in the file separate rows, and commas separate cells, before anything is decoded. Encoded delimiters are
    warnings, because Adobe Target very likely decodes first.

    :param body: The HTTP body.
    """
    header, *rows = body.removeprefix(_BOM).removeprefix(_PREFIX).removesuffix(b"\n").split(b"\n")
    id_type, *names = header.rstrip(b"\r").split(b",")
    max_characters = MAX_ID_CHARACTERS.get(id_type.decode("ascii", "replace"), MAX_ID_CHARACTERS["thirdPartyId"])
    lines_of_ids: dict[bytes, int] = {}
    for line, row in enumerate(rows, 2):
        if not row:
            continue  # an empty line, see format_problems()
        profile_id, *cells = row.rstrip(b"\r").split(b",")
        if len(cells) > len(names):
            message = f"The row has {1 + len(cells):,} cells; the header has {1 + len(names):,}."
            column = sum(len(cell) + 1 for cell in (profile_id, *cells[: len(names)])) + 1
            yield Problem("too_many_cells", message, "A comma inside a value separates cells.", line, column)
        yield from _id_problems(profile_id, line, max_characters)
        first = lines_of_ids.setdefault(profile_id, line)
        if first != line and profile_id:
            message = f"Line {first:,} has the same id."
            advice = "Which of the rows counts is not documented. Write one row per id."
            yield Problem("duplicate_id", message, advice, line, 1, is_error=False)
        yield from _value_problems(profile_id, cells, line)


def _id_problems(profile_id: bytes, line: int, max_characters: int) -> Iterator[Problem]:
    text, is_utf8 = _decoded(profile_id)
    if _is_blank(profile_id):
        yield Problem("missing_id", "The row has no id.", "Remove the row.", line, 1)
    if not is_utf8:
        yield Problem("not_utf8", "The id is not UTF-8 after decoding.", "Percent-encode UTF-8 bytes.", line, 1)
    if len(text) > max_characters:
        message = f"The id has {len(text):,} characters; at most {max_characters} are allowed."
        yield Problem("id_too_long", message, "Remove the row.", line, 1)
    if _FORBIDDEN_IN_ID.search(text):
        message = "The id contains '+', '/' or a control character."
        yield Problem("id_forbidden_character", message, "Adobe Target does not allow these in ids.", line, 1)


def _value_problems(profile_id: bytes, cells: list[bytes], line: int) -> Iterator[Problem]:
    column = len(profile_id) + 2
    size = 0
    if not any(cells):
        message = "The row has no value."
        yield Problem("empty_row", message, "Adobe Target ignores it.", line, len(profile_id) + 1, is_error=False)
    if b"%" in profile_id:
        yield from _delimiter_problems(profile_id, line, 1)
    for cell in cells:
        if b"%" in cell:
            yield from _delimiter_problems(cell, line, column)
        text, is_utf8 = _decoded(cell) if b"%" in cell else (cell.decode("latin-1"), True)
        if not is_utf8:
            yield Problem("not_utf8", "The value is not UTF-8 after decoding.", "Encode UTF-8.", line, column)
        if len(text) > MAX_PAGE_VALUE_CHARACTERS:
            message = f"The value has {len(text):,} characters."
            advice = f"Target's limit for values from web pages is {MAX_PAGE_VALUE_CHARACTERS}."
            yield Problem("long_value", message, advice, line, column, is_error=False)
        if b'"' in cell:
            message, advice = "The value contains a double quote.", "Adobe's format has no quoting: it is stored."
            yield Problem("quote", message, advice, line, column + cell.index(b'"'), is_error=False)
        size += len(text.encode("utf-8", "replace"))
        column += len(cell) + 1
    if size > MAX_PROFILE_BYTES:
        message = f"The row has {size:,} bytes of values; a profile may have {MAX_PROFILE_BYTES:,}."
        yield Problem("profile_too_large", message, "Send fewer or shorter attributes.", line, 1)


def _delimiter_problems(cell: bytes, line: int, column: int) -> Iterator[Problem]:
    for match in _ENCODED_DELIMITER.finditer(cell):
        message = f"The {'value' if column > 1 else 'id'} contains an encoded comma or line break."
        advice = "Adobe Target very likely decodes before it splits: columns shift, or another profile is written."
        yield Problem("encoded_delimiter", message, advice, line, column + match.start(), is_error=False)


def _decoded(cell: bytes) -> tuple[str, bool]:
    data = unquote_to_bytes(cell)
    try:
        return data.decode(), True
    except UnicodeDecodeError:
        return data.decode(errors="replace"), False


def places(body: bytes) -> Callable[[int], tuple[int, int]]:
    """Return a function that converts a position to line and column, both counted from 1.

    It finds the line by binary search, in an index that is built on the first call.
    """
    line_starts: list[int] = []

    def place(position: int) -> tuple[int, int]:
        if not line_starts:
            line_starts.append(0)
            line_starts.extend(match.end() for match in re.finditer(rb"\n", body))
        line = bisect_right(line_starts, position)
        return line, position - line_starts[line - 1] + 1

    return place


def _error_message(problem: Problem) -> str:
    place = f"line {problem.line:,}, column {problem.column:,}" if problem.line else ""
    if problem.rule == "empty_line":
        return f"{place.capitalize()} of the batch file is empty. {problem.advice}"
    if not place or (problem.line == 1 and problem.rule in ("prefix", "id_column", "attribute_names")):
        return f"{problem.message} {problem.advice}"
    return f"{problem.message.removesuffix('.')} in {place}. {problem.advice}"
