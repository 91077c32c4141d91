"""Read newline-delimited JSON files."""

from __future__ import annotations

import codecs
import io
import json
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.dicts import Names, note_names, records_batch, records_schema
from airflow_provider_adobe_target.profiles.sources.file import (
    _READ_BYTES,
    File,
    _opened,
)
from airflow_provider_adobe_target.profiles.sources.record_batches import (
    MAX_ROWS,
    project,
    recut,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


_NDJSON_BLOCK_BYTES = 4 * 1024 * 1024
_NDJSON_LINE_BYTES = 8 * 1024 * 1024


class NdjsonRows:
    """Rows of a file of one JSON object a line.

    :param file: its path.
    """

    def __init__(self, file: File) -> None:
        self._file = file

    @cached_property
    def schema(self) -> pa.Schema:
        """Every column of any row; the whole file is read for it."""
        names: Names = {}
        for number, line in self._lines():
            try:
                note_names(names, _record(line))
            except ProfileDataError as error:
                raise ProfileDataError(f"{self._file}, line {number}: {error}") from None
        return records_schema(names)

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows, as every source does."""
        schema = project(self.schema, columns)
        for records in self._blocks():
            yield from recut(records_batch(records, schema))

    def _blocks(self) -> Iterator[list[dict[str, Any]]]:
        records: list[dict[str, Any]] = []
        size = 0
        for _, line in self._lines():
            records.append(_record(line))
            size += len(line)
            if len(records) == MAX_ROWS or size >= _NDJSON_BLOCK_BYTES:
                yield records
                records, size = [], 0
        if records:
            yield records

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with _opened(self._file) as stream:
            lines = io.BufferedReader(stream, _READ_BYTES)
            for number, line in enumerate(iter(partial(lines.readline, _NDJSON_LINE_BYTES), b""), start=1):
                if len(line) == _NDJSON_LINE_BYTES:
                    raise ProfileDataError(
                        f"{self._file}, line {number}: it has more than {_NDJSON_LINE_BYTES >> 20} MiB. Leave it out."
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


_JSON = json.JSONDecoder(object_pairs_hook=_unique)


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = _JSON.decode(line.decode())
    except _DuplicateKeyError:
        raise ProfileDataError("a key comes up twice in one object. Rename or drop one.") from None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ProfileDataError("this is no JSON object in UTF-8. NDJSON is one JSON object a line.")
    return record
