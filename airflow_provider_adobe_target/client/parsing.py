"""Parsers for response bodies. Responses are untrusted input.

Target responds in XML. A body that starts with ``{`` is parsed as JSON with the same keys. White space, order,
namespaces and unknown elements are ignored. A response is invalid if a counter is not a number of at most 12 digits, or
if a field occurs twice with different values. An empty counter counts as missing. Limits on size, depth and number of
elements bound the time and the memory of parsing. The largest valid response lists half a million rows.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError  # nosec B405  # the exception only; the parser is from defusedxml

from airflow_provider_adobe_target.client.batch import BatchStatus
from airflow_provider_adobe_target.client.json_reader import JsonReader
from airflow_provider_adobe_target.exceptions import AdobeTargetError

if TYPE_CHECKING:
    from collections.abc import Iterable

_COUNTERS = ("batchSize", "consumedCount", "successfulUpdates", "profilesNotFound", "failedUpdates")
_NAMES = frozenset({"success", "batchId", "batchStatus", "message", "status", *_COUNTERS})
_OWN_NAMES = frozenset({"success", "batchId", "batchStatus"})
_CHECKED = _NAMES | {"response", "profile"}
_FAILURE_WORDS = frozenset({"failed", "error"})
_MAX_DEPTH = 32
_MAX_PARTS = 2_500_000  # XML elements, or rows of JSON
_MAX_TEXT = 1 << 18  # characters of the text of an element
_MAX_TAGS = 1_000  # distinct names of elements, attributes and namespaces
_FEED_BYTES = 1 << 16
_MAX_FAILED_IDS = 100_000
_MAX_WORD = 64
_MAX_MESSAGE = 500
_COUNTER = re.compile(r"[0-9]{1,12}")
_BOM = b"\xef\xbb\xbf"


class ResponseParseError(AdobeTargetError):
    """A response is neither Target's XML nor its JSON."""


@dataclass(frozen=True)
class SubmitResponse:
    """Parsed response to a batch upload. Missing fields are None or empty. The message is not sanitized."""

    success: bool | None
    status_url: str
    message: str


@dataclass(frozen=True)
class StatusResponse:
    """Parsed response to a status request.

    :param success: Value of ``success``, if any.
    :param status: Batch status; None if a well-formed response contains none.
    :param batch_id: Batch id of the response, or empty.
    :param is_own_form: Whether the structure is Target's own, as opposed to an error of a gateway.
    """

    success: bool | None
    status: BatchStatus | None
    batch_id: str = field(default="", compare=False)
    is_own_form: bool = field(default=False, compare=False)


@dataclass
class _Fields:
    """The children of the response's root, the number of failed ``profile`` entries, and the first of their ids."""

    values: dict[str, str] = field(default_factory=dict)
    failures: int = 0
    failed_ids: set[str] = field(default_factory=set, repr=False)
    is_own_form: bool = False

    def add_row(self, row_id: str, status: str) -> None:
        if status in _FAILURE_WORDS:
            self.failures += 1
            if len(self.failed_ids) < _MAX_FAILED_IDS:
                self.failed_ids.add(row_id)

    def note(self, name: str, text: str) -> None:
        if self.values.setdefault(name, text) != text:
            raise ResponseParseError(f"it has conflicting values of {name}")

    def success(self) -> bool | None:
        word = self.values.get("success", "").lower()
        return {"true": True, "false": False}.get(word)

    def counter(self, name: str) -> int | None:
        text = self.values.get(name, "")
        if text and not _COUNTER.fullmatch(text):
            raise ResponseParseError(f"its {name} is not a number")
        return int(text) if text else None


def parse_submit(body: bytes) -> SubmitResponse:
    """Parse the response to a batch upload.

    :raises ResponseParseError: If it is neither XML nor JSON.
    """
    fields = _read(body)
    return SubmitResponse(fields.success(), fields.values.get("batchStatus", ""), fields.values.get("message", ""))


def parse_status(body: bytes) -> StatusResponse:
    """Parse the response to a status request.

    :raises ResponseParseError: If it is neither XML nor JSON, or if a counter is not a number.
    """
    fields = _read(body)
    word = printable(fields.values.get("status", ""), _MAX_WORD)
    batch_id = fields.values.get("batchId", "")
    if not word or word.isdigit():  # a number is the HTTP status, repeated in the body
        return StatusResponse(fields.success(), None, batch_id, fields.is_own_form)
    size, consumed, successful, not_found, failed = map(fields.counter, _COUNTERS)
    status = BatchStatus(word, size, consumed, successful, not_found, failed, fields.failures)
    return StatusResponse(fields.success(), status, batch_id, fields.is_own_form)


def parse_failed_ids(body: bytes) -> set[str]:
    """Return the ids of the rows that a status response lists as failed, at most 100,000.

    :raises ResponseParseError: If it is neither XML nor JSON.
    """
    return _read(body).failed_ids - {""}


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Parse a response that must be a JSON object.

    :raises ResponseParseError: If it is not.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ResponseParseError("it is not JSON") from None
    if not isinstance(value, dict):
        raise ResponseParseError("it is not a JSON object")
    return value


def printable(text: str, limit: int = _MAX_MESSAGE) -> str:
    """Return text of a response for a log line: truncated, on one line, without control characters."""
    line = "".join(character if character.isprintable() else " " for character in text[: 4 * limit])
    return " ".join(line.split())[:limit]


def excerpt(body: bytes) -> str:
    """Return the start of a response's visible text, or an empty string if the response repeats the sent rows."""
    if b"batch=" in body:
        return ""
    text = body[:8192].decode("utf-8", "replace")
    return re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^<>]*>", " ", text)


def _read(body: bytes) -> _Fields:
    text = body.removeprefix(_BOM).lstrip()
    if text.startswith(b"{"):
        return _read_json(text)
    from defusedxml.ElementTree import DefusedXMLParser  # slow import: not at DAG parse time

    collector = _Collector()
    parser = DefusedXMLParser(target=collector, forbid_dtd=True)
    parser.parser.StartNamespaceDeclHandler = lambda prefix, uri: collector.note_tags([prefix])
    try:
        for start in range(0, len(text), _FEED_BYTES):
            collector.has_progress = False
            parser.feed(text[start : start + _FEED_BYTES])
            if (
                not collector.has_progress
            ):  # one very long tag or comment, which the parser would scan again for each block
                raise ValueError("not a response of Target")
        parser.close()
    except (ParseError, ValueError, LookupError):  # defusedxml's exceptions are ValueErrors
        raise ResponseParseError("it is neither XML nor JSON in Target's format") from None
    return collector.fields


def _read_json(body: bytes) -> _Fields:
    reader = JsonReader(body, _reject_conflicts)
    try:
        fields = _json_fields(reader, is_root=True)
        if reader.peek():
            raise ValueError("not a response of Target")
    except (ValueError, RecursionError):
        raise ResponseParseError("it is not JSON") from None
    return fields


def _json_fields(reader: JsonReader, *, is_root: bool) -> _Fields:
    fields, response = _Fields(), None
    names: set[str] = set()
    for name in reader.names():
        if name in names and name in ("profile", "response"):
            raise ResponseParseError(f"it has {name} twice")
        names.add(name)
        if len(names) > _MAX_TAGS:
            raise ValueError("not a response of Target")
        if name == "profile":
            _note_json_rows(reader, fields)
        elif name == "response" and is_root and reader.peek() == "{":
            response = _json_fields(reader, is_root=False)  # the XML root, if a gateway has converted XML to JSON
        else:
            value = reader.value()
            if name in _NAMES:
                fields.note(name, "" if value is None else _text(value))
    fields = response or fields
    fields.is_own_form = "response" in names or not _OWN_NAMES.isdisjoint(names) or names == {"status", "message"}
    return fields


def _note_json_rows(reader: JsonReader, fields: _Fields) -> None:
    rows = reader.elements() if reader.peek() == "[" else [reader.value()]
    for number, row in enumerate(rows):
        if number > _MAX_PARTS:
            raise ValueError("not a response of Target")
        if isinstance(row, dict):
            fields.add_row(_text(row.get("id", "")), _text(row.get("status")))


def _reject_conflicts(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs) and any(name in _CHECKED and values[name] != value for name, value in pairs):
        raise ResponseParseError("it has conflicting values of one name")
    return values


def _text(value: Any) -> str:
    """Return a JSON value as the text that XML would contain."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, (str, int, float)) else "?"


class _Collector:
    """Collect the children of the root from parser events, without building a tree of half a million rows."""

    def __init__(self) -> None:
        self.fields = _Fields()
        self.has_progress = False
        self._path: list[str] = []
        self._text: list[str] = []
        self._text_length = 0
        self._row: dict[str, str] = {}
        self._parts = 0
        self._tags: set[str] = set()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.note_tags([tag, *attributes])
        self._path.append(tag.rpartition("}")[2])
        self.fields.is_own_form = self._path[0] == "response"
        self._text, self._text_length = [], 0
        self._parts += 1
        if len(self._path) > _MAX_DEPTH or self._parts > _MAX_PARTS or self._path[0].lower() == "html":
            raise ValueError("not a response of Target")

    def note_tags(self, tags: Iterable[str]) -> None:
        """Limit the number of distinct names, because the parser stores each of them until its end."""
        self.has_progress = True
        self._tags.update(tags)
        if len(self._tags) > _MAX_TAGS:
            raise ValueError("not a response of Target")

    def data(self, text: str) -> None:
        self.has_progress = True
        self._text.append(text)
        self._text_length += len(text)
        if self._text_length > _MAX_TEXT:
            raise ValueError("not a response of Target")

    def end(self, tag: str) -> None:
        text = "".join(self._text).strip()
        self._text, self._text_length = ["?"], 0  # an element with children has no text value
        self.has_progress = True
        match self._path:
            case [_, "profile"]:
                self.fields.add_row(self._row.get("id", ""), self._row.get("status", ""))
                self._row = {}
            case [_, name] if name in _NAMES:
                self.fields.note(name, text)
            case [_, "profile", "id" | "status" as name] if self._row.get(name) not in _FAILURE_WORDS:
                self._row[name] = text
        self._path.pop()
