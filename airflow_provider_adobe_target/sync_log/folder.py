"""The sync log as JSON files in a folder, local or in object storage."""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_adobe_target.sync_log.files import open_files
from airflow_provider_adobe_target.sync_log.record import (
    KEY,
    NESTED_COLUMNS,
    SENDING,
    SUBMITTED,
    SUMMARY_COLUMNS,
    Decoder,
    RunRecord,
    utc_now,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sync_log.store import RunFilter

_summary_of = attrgetter(*SUMMARY_COLUMNS)
_COMPACTED = "all-"
_UNFINISHED = frozenset((SENDING, SUBMITTED))
_SETTLED_AFTER = timedelta(days=2)
_FEWEST_FILES, _MOST_FILES = 100, 2_000  # in one compaction


class FolderLog:
    """Records in the folder ``YYYY-MM`` of the month of their start, one record a line.

    A record is written to a file of its own. Compaction moves the records of finished runs to larger files. Such a file
    is never changed; if a record is in several files, its own one applies, otherwise the latest one.

    Files that were read before are read again only if their size or time has changed.

    :param folder: The folder.
    """

    _WRITES_PER_COMPACTION = 64

    def __init__(self, folder: str) -> None:
        self._files = open_files(folder)
        self._known: dict[str, tuple[Any, list[_Stored]]] = {}
        self._lock = threading.Lock()

    def write(self, record: RunRecord) -> None:
        """Write the file of a record, or replace it. One in 64 records that end starts a compaction."""
        month, name = f"{record.started_at:%Y-%m}", _file_name(record)
        self._files.write(f"{month}/{name}", _line(record))
        if record.finished_at and int(name[:8], 16) % self._WRITES_PER_COMPACTION == 0:
            self.compact(month)

    def read(
        self, selected: RunFilter, limit: int | None = None, on_response: Callable[[], object] | None = None
    ) -> list[RunRecord]:
        """Return the selected records, the latest first."""
        months = self._months()
        if on_response:
            on_response()
        since = f"{selected.since:%Y-%m}" if selected.since else ""
        until = f"{selected.until:%Y-%m}" if selected.until else "9999-12"
        with self._lock:
            stored = self._latest([month for month in months if since <= month <= until], selected)
        found = [entry for entry in stored if selected.matches(entry.record)]
        found.sort(key=_started, reverse=True)
        return [entry.with_nested(selected.nested_decoders) for entry in found[:limit]]

    def purge(self, before: datetime) -> None:
        """Delete the files of months that ended earlier."""
        for month in self._months():
            if month < f"{before:%Y-%m}":
                for path in self._list(month):
                    self._files.delete(path)

    def compact(self, month: str) -> None:
        """Move the records of runs that ended at least two days ago to one file, if they are many.

        :param month: The month, as ``2026-01``.
        """
        listed = {path: mark for path, mark in self._list(month).items() if not _is_compacted(path)}
        if len(listed) < _FEWEST_FILES:
            return
        lines, moved = [], []
        for path, content in self._files.read(list(listed)[:_MOST_FILES]).items():
            entries = _parsed(content)
            if entries and all(entry.is_settled for entry in entries):
                lines += [_line(entry.with_nested(dict.fromkeys(NESTED_COLUMNS, json.loads))) for entry in entries]
                moved.append(path)
        if len(moved) < _FEWEST_FILES:
            return
        name = f"{_COMPACTED}{utc_now():%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}.json"
        self._files.write(f"{month}/{name}", "".join(lines))
        now = self._list(month)
        for path in moved:
            if now.get(path) == listed[path]:  # otherwise, it was replaced since
                self._files.delete(path)

    def _months(self) -> list[str]:
        return sorted(name for name in self._files.list() if len(name) == 7 and name[4] == "-")

    def _list(self, month: str) -> dict[str, Any]:
        names = self._files.list(month)
        return {f"{month}/{name}": names[name] for name in sorted(names) if name.endswith(".json")}

    def _latest(self, months: Sequence[str], selected: RunFilter) -> Iterable[_Stored]:
        """Return the stored records of some months; of several versions of a record, the one that applies."""
        start = _file_start(selected)
        has_compacted = selected.outcomes is None or not _UNFINISHED.issuperset(selected.outcomes)
        latest: dict[tuple[Any, ...], _Stored] = {}
        for month in months:
            listed = self._list(month)
            self._forget(month, listed)
            paths = [path for path in listed if has_compacted and _is_compacted(path)]
            paths += [path for path in listed if not _is_compacted(path) and path.startswith(start, len(month) + 1)]
            self._load([path for path in paths if self._known.get(path, (None,))[0] != listed[path]], listed)
            for path in paths:
                if path in self._known:
                    latest.update((entry.key, entry) for entry in self._known[path][1])
        return latest.values()

    def _load(self, paths: list[str], marks: Mapping[str, Any]) -> None:
        """Read files. One that was compacted since is missing here until the next time."""
        for path, content in self._files.read(paths).items() if paths else ():
            entries = _parsed(content)
            if entries:
                self._known[path] = (marks.get(path), entries)

    def _forget(self, month: str, listed: Mapping[str, Any]) -> None:
        for path in [path for path in self._known if path.startswith(month) and path not in listed]:
            del self._known[path]


class _Stored:
    """A record as it is in a file. Its nested values are parsed when they are needed."""

    __slots__ = ("key", "record", "texts")

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.key = tuple(row[name] for name in KEY)
        self.record = RunRecord.from_values([row.get(name) for name in SUMMARY_COLUMNS])
        self.texts = {name: row[name] for name in NESTED_COLUMNS if row.get(name)}

    @property
    def is_settled(self) -> bool:
        """Whether the record is not likely to change."""
        finished = self.record.finished_at
        is_final = self.record.outcome not in _UNFINISHED and finished is not None
        return is_final and finished < utc_now() - _SETTLED_AFTER  # type: ignore[operator]

    def with_nested(self, decoders: Mapping[str, Decoder]) -> RunRecord:
        """Return the record with some nested values."""
        nested = {name: decode(self.texts[name]) for name, decode in decoders.items() if name in self.texts}
        return RunRecord(*_summary_of(self.record), **nested) if nested else self.record


def _parsed(content: bytes) -> list[_Stored]:
    """Return the records of a file; none if it is no record, or only a part of one."""
    try:
        return [_Stored(msgspec.json.decode(line)) for line in content.splitlines()]
    except (ValueError, msgspec.DecodeError, TypeError, KeyError, AttributeError):
        return []


def _line(record: RunRecord) -> str:
    return json.dumps(record.to_row(), ensure_ascii=False) + "\n"


def _started(entry: _Stored) -> float:
    return entry.record.started_at.timestamp() if entry.record.started_at else 0.0


def _is_compacted(path: str) -> bool:
    return path.rpartition("/")[2].startswith(_COMPACTED)


def _file_start(selected: RunFilter) -> str:
    """Return the prefix of the names of the selected files. All files of one DAG run share it."""
    if selected.run_id and selected.dag_ids is not None and len(selected.dag_ids) == 1:
        [dag_id] = selected.dag_ids
        return _run_prefix(dag_id, selected.run_id)
    return ""


def _digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def _run_prefix(dag_id: str, run_id: str) -> str:
    return f"{_digest(dag_id, run_id)}-"


def _file_name(record: RunRecord) -> str:
    """Return the name of a record's file. The names of all tasks of a DAG run have the same prefix."""
    task = _digest(record.task_id, record.map_index, record.try_number)
    return f"{_run_prefix(record.dag_id, record.run_id)}{task}.json"
