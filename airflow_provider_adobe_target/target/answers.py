"""Target's answers, from bytes to values. They come from outside: nothing in them is trusted.

Target answers in XML; a body that begins with ``{`` is read as JSON with the same keys. White space, order,
namespaces and unknown elements do not matter. A counter that is no plain number of at most 12 digits makes
the whole answer unreadable: to call it unknown would be as wrong as to guess. An empty one is a missing one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import ParseError  # the error only: the parser is the defused one

from defusedxml.ElementTree import DefusedXMLParser

from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.target.outcomes import BatchStatus

_COUNTERS = ("batchSize", "consumedCount", "successfulUpdates", "profilesNotFound", "failedUpdates")
_NAMES = frozenset({"success", "batchStatus", "message", "status", *_COUNTERS})
_FAILURE_WORDS = frozenset({"failed", "error"})
_MAX_DEPTH = 32
_MAX_FAILED_IDS = 100_000
_MAX_WORD = 64
_MAX_MESSAGE = 500
_COUNTER = re.compile(r"[0-9]{1,12}")
_BOM = b"\xef\xbb\xbf"


class UnreadableAnswerError(AdobeTargetError):
    """An answer that is neither Target's XML nor its JSON."""


@dataclass(frozen=True)
class SubmitAnswer:
    """The body of a submit's answer; None or empty is what it does not say. The message is as it came."""

    success: bool | None
    status_url: str
    message: str


@dataclass(frozen=True)
class StatusAnswer:
    """The body of a status answer; ``status`` is None where a well-formed one names none."""

    success: bool | None
    status: BatchStatus | None


@dataclass
class _Fields:
    """The children of the answer's root, how many of its ``profile`` entries failed, and the first of their ids."""

    values: dict[str, str]
    failures: int = 0
    failed_ids: set[str] = field(default_factory=set, repr=False)

    def add_row(self, row_id: str, status: str) -> None:
        if status in _FAILURE_WORDS:
            self.failures += 1
            if len(self.failed_ids) < _MAX_FAILED_IDS:
                self.failed_ids.add(row_id)

    def success(self) -> bool | None:
        word = self.values.get("success", "").lower()
        return {"true": True, "false": False}.get(word)

    def counter(self, name: str) -> int | None:
        text = self.values.get(name, "")
        if text and not _COUNTER.fullmatch(text):
            raise UnreadableAnswerError(f"its {name} is no plain number")
        return int(text) if text else None


def parse_submit(body: bytes) -> SubmitAnswer:
    """Read the answer to a submit.

    :raises UnreadableAnswerError: where it is neither XML nor JSON.
    """
    fields = _read(body)
    return SubmitAnswer(fields.success(), fields.values.get("batchStatus", ""), fields.values.get("message", ""))


def parse_status(body: bytes) -> StatusAnswer:
    """Read the answer to a status request.

    :raises UnreadableAnswerError: where it is neither XML nor JSON, or a counter is no plain number.
    """
    fields = _read(body)
    word = printable(fields.values.get("status", ""), _MAX_WORD)
    if not word or word.isdigit():  # a number is an HTTP status that a gateway repeats in its body
        return StatusAnswer(fields.success(), None)
    size, consumed, successful, not_found, failed = map(fields.counter, _COUNTERS)
    status = BatchStatus(word, size, consumed, successful, not_found, failed, fields.failures)
    return StatusAnswer(fields.success(), status)


def parse_failed_ids(body: bytes) -> set[str]:
    """Read the ids of the rows that a status answer lists as failed, 100,000 of them at most.

    :raises UnreadableAnswerError: where it is neither XML nor JSON.
    """
    return _read(body).failed_ids - {""}


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Read an answer that is to be one JSON object.

    :raises UnreadableAnswerError: where it is not.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableAnswerError("it is not JSON") from None
    if not isinstance(value, dict):
        raise UnreadableAnswerError("it is not a JSON object")
    return value


def printable(text: str, limit: int = _MAX_MESSAGE) -> str:
    """Return text of an answer fit for a log line: cut, on one line, without control characters."""
    line = "".join(character if character.isprintable() else " " for character in text[: 4 * limit])
    return " ".join(line.split())[:limit]


def excerpt(body: bytes) -> str:
    """Return the first of an answer's visible text, as it came, or nothing where it repeats what was sent."""
    if b"batch=" in body:
        return ""
    text = body[:8192].decode("utf-8", "replace")
    return re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^<>]*>", " ", text)


def _read(body: bytes) -> _Fields:
    text = body.removeprefix(_BOM).lstrip()
    if text.startswith(b"{"):
        return _read_json(text)
    collector = _Collector()
    parser = DefusedXMLParser(target=collector, forbid_dtd=True)
    try:
        parser.feed(text)
        parser.close()
    except (ParseError, ValueError, LookupError):  # all of defusedxml's refusals are ValueErrors
        raise UnreadableAnswerError("it is neither XML nor JSON of Target's") from None
    return collector.fields


def _read_json(text: bytes) -> _Fields:
    values = parse_json_object(text)
    if isinstance(values.get("response"), dict):  # the XML's root, where a gateway has turned XML into JSON
        values = values["response"]
    entries = values.pop("profile", None) or []
    rows = entries if isinstance(entries, list) else [entries]
    fields = _Fields({name: _text(value) for name, value in values.items() if name in _NAMES and value is not None})
    for row in rows:
        if isinstance(row, dict):
            fields.add_row(_text(row.get("id", "")), _text(row.get("status")))
    return fields


def _text(value: Any) -> str:
    """Return a JSON value as XML would show it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, (str, int, float)) else "?"


class _Collector:
    """Take from the parser's events the root's children, so that no tree of half a million rows is built."""

    def __init__(self) -> None:
        self.fields = _Fields({})
        self._path: list[str] = []
        self._text: list[str] = []
        self._row: dict[str, str] = {}

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag.rpartition("}")[2])
        self._text = []
        if len(self._path) > _MAX_DEPTH or self._path[0].lower() == "html":
            raise ValueError("not an answer of Target's")

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        text = "".join(self._text).strip()
        self._text = []
        match self._path:
            case [_, "profile"]:
                self.fields.add_row(self._row.get("id", ""), self._row.get("status", ""))
                self._row = {}
            case [_, name] if name in _NAMES:
                self.fields.values[name] = text
            case [_, "profile", "id" | "status" as name]:
                self._row[name] = text
        self._path.pop()
