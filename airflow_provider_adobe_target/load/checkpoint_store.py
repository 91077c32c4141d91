"""Stores of checkpoints: Airflow's task state store, or a file."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.load.checkpoint import Entries, Store
from airflow_provider_adobe_target.load.private_file import is_local, new_private_file
from airflow_provider_adobe_target.version_compat import ObjectStoragePath

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context

log = logging.getLogger(__name__)


class StateStore:
    """Airflow's task state store (since 3.3), which persists across the tries of a task instance.

    :param store: ``context["task_state_store"]``.
    """

    _FILES_A_KEY = 100  # about 45 KB: Airflow recommends values below 64 KB

    def __init__(self, store: Any) -> None:
        self._store = store

    def read(self) -> Entries:
        """Return all entries."""
        entries: Entries = {}
        page = 0
        while (stored := self._store.get(self._key(page))) is not None:
            entries.update((int(number), entry) for number, entry in stored.items())
            page += 1
        return entries

    def write(self, entries: Entries, changed: int | None) -> None:
        """Save the entries: one key if one entry changed, otherwise all keys."""
        pages = range(self._page(max(entries, default=0)) + 1) if changed is None else [self._page(changed)]
        for page in pages:
            content = {str(number): entry for number, entry in entries.items() if self._page(number) == page}
            self._store.set(self._key(page), content)
        if changed is None:
            self._delete_from(len(pages))

    def _delete_from(self, page: int) -> None:
        while self._store.get(self._key(page)) is not None:
            self._store.delete(self._key(page))
            page += 1

    def _page(self, number: int) -> int:
        return number // self._FILES_A_KEY

    def _key(self, page: int) -> str:
        return f"adobe_target_receipts_{page}"


class CheckpointFile:
    """A JSON file, local or in object storage.

    :param path: Path of the file.
    :param owner: DAG, run, task and map index that the checkpoint belongs to.
    """

    def __init__(self, path: str, owner: Mapping[str, Any]) -> None:
        self._path = ObjectStoragePath(path)
        self._owner = dict(owner)

    def read(self) -> Entries:
        """Return the entries of this DAG run. Entries of another run of the same task are ignored.

        :raises ProfileDataError: If the file belongs to another task, or is not a checkpoint file.
        """
        self._claim()
        if not self._path.exists():
            return {}
        try:
            content = json.loads(self._path.read_text())
            owner, entries = content["owner"], {int(number): entry for number, entry in content["files"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ProfileDataError(
                f"checkpoint_path is not a checkpoint file: {self._path}. Use another path."
            ) from None
        if {**owner, "run_id": ""} != {**self._owner, "run_id": ""}:
            raise ProfileDataError(
                f"checkpoint_path holds the checkpoint of another task: {self._path}. Give each task its "
                "own path, each mapped one: '…/{{ ti.dag_id }}-{{ ti.task_id }}-{{ ti.map_index }}.json'."
            )
        return entries if owner == self._owner else {}

    def write(self, entries: Entries, changed: int | None) -> None:
        """Replace the file atomically."""
        self._put(entries, os.replace)

    def _claim(self) -> None:
        """Create the file for this task if it does not exist, so that a second task with the same path detects it.

        A failure logs a warning and does not fail the task.
        """
        try:
            if not self._path.exists():
                self._put({}, os.link)  # fails if another task has created the file since
        except FileExistsError:
            return
        except Exception as error:
            log.warning("The checkpoint file cannot be created: %s", error)

    def _put(self, entries: Entries, move: Callable[[str, Path], object]) -> None:
        """Write the complete file, with mode 0600.

        :param move: Function that moves the temporary file to its final path: ``os.replace``, or ``os.link`` to fail
            if the path exists.
        """
        content = json.dumps({"owner": self._owner, "files": entries}, indent=1)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if is_local(self._path):
            with new_private_file(Path(self._path.path), move) as stream:
                stream.write(content.encode())
        else:
            self._path.write_text(content)  # object storage writes objects atomically


def checkpoint_store(context: Context, checkpoint_path: str | None) -> Store | None:
    """Return the store for the checkpoint of a task.

    :param checkpoint_path: Path of the checkpoint file; None for Airflow's task state store.
    :return: The store; None without a path on Airflow versions that have no task state store.
    """
    if checkpoint_path:
        ti = context["ti"]
        return CheckpointFile(
            checkpoint_path, {n: getattr(ti, n) for n in ("dag_id", "run_id", "task_id", "map_index")}
        )
    store = context.get("task_state_store")
    if store is None:
        log.info("No checkpoint_path, and no state store (Airflow 3.3): another try would send all files again.")
        return None
    return StateStore(store)
