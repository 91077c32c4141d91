"""Rows of newline-delimited JSON (NDJSON) files."""

from __future__ import annotations

import codecs
import io
import json
from decimal import Decimal
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.dicts import (
    Names,
    json_number,
    note_names,
    records_batch,
    records_schema,
)
from airflow_provider_adobe_target.profiles.sources.file_streams import READ_BYTES, File, opened
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_ROWS, project, recut

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import pyarrow as pa

_BLOCK_BYTES = 4 * 1024 * 1024
_LINE_BYTES = 8 * 1024 * 1024
_NO_TEXT_FORM = Decimal("Infinity")


class NdjsonRows:
    """Rows of an NDJSON file, one JSON object per line.

    :param file: Path of the file.
    """

    def __init__(self, file: File) -> None:
        self._file = file

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of all rows, found by reading the whole file.

        :raises ProfileDataError: If a line is invalid.
        """
        names: Names = {}
        for number, line in self._lines():
            try:
                note_names(names, _record(line))
            except ProfileDataError as error:
                raise ProfileDataError(f"NDJSON line {number}: {error} File: {self._file}.") from None
        return records_schema(names)

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows; see :meth:`.Rows.record_batches`."""
        schema = project(self.schema, columns)
        for records in self._blocks():
            yield from recut(records_batch(records, schema))

    def _blocks(self) -> Iterator[list[dict[str, Any]]]:
        records: list[dict[str, Any]] = []
        size = 0
        for _, line in self._lines():
            records.append(_record(line))
            size += len(line)
            if len(records) == MAX_ROWS or size >= _BLOCK_BYTES:
                yield records
                records, size = [], 0
        if records:
            yield records

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with opened(self._file) as stream:
            lines = io.BufferedReader(stream, READ_BYTES)
            for number, line in enumerate(iter(partial(lines.readline, _LINE_BYTES), b""), start=1):
                if len(line) == _LINE_BYTES:
                    raise ProfileDataError(
                        f"NDJSON line {number}: it has more than {_LINE_BYTES >> 20} MiB. Remove it. "
                        f"File: {self._file}."
                    )
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield number, line


class _DuplicateKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise _DuplicateKeyError
    return record


def _integer(digits: str) -> int | Decimal:
    """Parse an integer. One with more digits than Python converts has no text form."""
    try:
        return int(digits)
    except ValueError:
        return _NO_TEXT_FORM


_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer, parse_float=json_number)


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = _JSON.decode(line.decode())
    except _DuplicateKeyError:
        raise ProfileDataError("an object has a duplicate key. Rename or remove one of the keys.") from None
    except json.JSONDecodeError as error:
        raise ProfileDataError(_layout(line, error)) from None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ProfileDataError(_layout(line))
    return record


def _layout(line: bytes, error: json.JSONDecodeError | None = None) -> str:
    """Return the error message for a line that is not an object, with the likely layout of the file.

    The message does not contain the line.
    """
    layout, program = "", "."
    if line.lstrip().startswith(b"["):
        layout, program = ", but a JSON array", "'.[]'"
    elif error and line.lstrip().startswith(b"{"):
        if error.msg == "Extra data":
            layout = ", but several on one line"
        elif error.pos >= len(line.decode().rstrip()):
            layout = ": the object does not end on this line. It is pretty-printed or truncated"
    return (
        f"this is not a JSON object in UTF-8{layout}. NDJSON has one JSON object per line: write the file again, for "
        f"example with jq -c {program} FILE."
    )
