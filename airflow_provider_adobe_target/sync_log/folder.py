"""The sync log as small JSON files in a folder, local or in object storage."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.sync_log.record import RunRecord
from airflow_provider_adobe_target.version_compat import ObjectStoragePath

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sync_log.store import RunFilter


class FolderLog:
    """Records in ``FOLDER/YYYY-MM/NAME.json``: one file per record, in the folder of the month of its start.

    Files that were read before are read again only if their size or time has changed.

    :param folder: The folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = ObjectStoragePath(folder)
        self._fs = self._folder.fs  # here, because it may fetch an Airflow connection
        self._known: dict[str, tuple[Any, RunRecord]] = {}
        self._lock = threading.Lock()

    def write(self, record: RunRecord) -> None:
        """Write the file of a record, or replace it."""
        month = self._folder / f"{record.started_at:%Y-%m}"
        month.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record.to_row(), ensure_ascii=False)
        _write(month / _file_name(record), text)

    def read(
        self, selected: RunFilter, limit: int | None = None, on_response: Callable[[], object] | None = None
    ) -> list[RunRecord]:
        """Return the selected records, the latest first."""
        start = _file_start(selected)
        records = self._records(selected, start, on_response or (lambda: None))
        found = [record for record in records if selected.matches(record)]
        found.sort(key=lambda record: record.started_at.timestamp() if record.started_at else 0, reverse=True)
        return found[:limit]

    def purge(self, before: datetime) -> None:
        """Delete the folders of months that ended earlier."""
        for month in self._months():
            if month < f"{before:%Y-%m}":
                for path, _ in self._list(month):
                    self._fs.rm_file(path)

    def _months(self) -> list[str]:
        if not self._folder.exists():
            return []
        names = (str(entry["name"]).rstrip("/").rpartition("/")[2] for entry in self._entries(self._folder.path))
        return sorted(name for name in names if len(name) == 7 and name[4] == "-")

    def _records(self, selected: RunFilter, start: str, on_response: Callable[[], object]) -> Iterator[RunRecord]:
        since = f"{selected.since:%Y-%m}" if selected.since else ""
        until = f"{selected.until:%Y-%m}" if selected.until else "9999-12"
        with self._lock:
            listed = {
                path: mark
                for month in self._months()
                if since <= month <= until
                for path, mark in self._list(month)
                if path.rpartition("/")[2].startswith(start)
            }
            on_response()
            self._load([path for path, mark in listed.items() if self._known.get(path, (None,))[0] != mark], listed)
            records = [self._known[path][1] for path in listed if path in self._known]
        yield from records

    def _load(self, paths: list[str], marks: Mapping[str, Any]) -> None:
        """Read files. One that another process is replacing is left for the next time."""
        for begin in range(0, len(paths), 500):
            contents = self._fs.cat(paths[begin : begin + 500], on_error="omit") if paths else {}
            for path, content in contents.items():
                try:
                    record = RunRecord.from_row(json.loads(content))
                except (ValueError, TypeError):
                    continue
                self._known[path] = (marks.get(path), record)

    def _list(self, month: str) -> list[tuple[str, Any]]:
        entries = self._entries(f"{self._folder.path.rstrip('/')}/{month}")
        return [(entry["name"], _mark(entry)) for entry in entries if str(entry["name"]).endswith(".json")]

    def _entries(self, path: str) -> list[dict[str, Any]]:
        self._fs.invalidate_cache()
        listed: list[dict[str, Any]] = self._fs.ls(path, detail=True)
        return listed


def _file_start(selected: RunFilter) -> str:
    """Return the prefix of the names of the selected files. All files of one DAG run share it."""
    if selected.run_id and selected.dag_ids is not None and len(selected.dag_ids) == 1:
        [dag_id] = selected.dag_ids
        return _run_prefix(dag_id, selected.run_id)
    return ""


def _mark(entry: Mapping[str, Any]) -> Any:
    """Return what changes when a file is replaced."""
    return [entry.get(name) for name in ("size", "mtime", "ETag", "LastModified", "last_modified", "ino")]


def _digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def _run_prefix(dag_id: str, run_id: str) -> str:
    return f"{_digest(dag_id, run_id)}-"


def _file_name(record: RunRecord) -> str:
    """Return the name of a record's file. The names of all tasks of a DAG run have the same prefix."""
    task = _digest(record.task_id, record.map_index, record.try_number)
    return f"{_run_prefix(record.dag_id, record.run_id)}{task}.json"


def _write(path: ObjectStoragePath, text: str) -> None:
    """Write a file. Object storage replaces it atomically; a local file is renamed, so that no reader sees a part."""
    if path.protocol not in ("file", "local"):
        path.write_text(text)
        return
    target = Path(path.path)
    part = target.with_name(f"{uuid.uuid4().hex}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, target)
