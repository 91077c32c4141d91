"""What Adobe Target has accepted of a task, kept where the task's next try finds it.

A receipt is a batch as the report has it: rows, bytes, checksum, batch id, status URL, time; nothing of a row, and no
token. A file gets one before it leaves (``sending``: from then on Target may have it), when Target has accepted it, and
when its end is known::

                      ┌─ refused, or no connection ─▶ to_send ◀─ stuck, lost or torn ─┐
    to_send ─▶ sending┤                                                               │
                      └─ accepted ─▶ submitted ─▶ … ─▶ complete ──────────────────────┘

A try that finds ``sending`` knows that an earlier one ended while the file was on its way: it sends it again, and says
so in the report.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_adobe_target.airflow_compat import ObjectStoragePath
from airflow_provider_adobe_target.client.batch import LOST_ANSWER, Batch
from airflow_provider_adobe_target.exceptions import ProfileDataError

if TYPE_CHECKING:
    from airflow_provider_adobe_target.airflow_compat import Context
    from airflow_provider_adobe_target.profiles.batch_files import BatchFile

_TO_SEND = "to_send"
_SENDING = "sending"

_logger = logging.getLogger(__name__)

Entries = dict[int, dict[str, Any]]


class SourceChangedError(Exception):
    """The files are not those that have receipts; says how that showed."""


class Store(Protocol):
    """A place for receipts, by the numbers of the files."""

    def read(self) -> Entries:
        """Return all receipts."""

    def write(self, entries: Entries, changed: int | None) -> None:
        """Keep the receipts, of which one has changed, or (None) several."""


class Receipts:
    """The receipts of a task's files, by the files' numbers from 0 on. May be used from several threads.

    :param store: where they are kept, or None to have them only as long as the task runs
    :param account: what they are good for: with another connection or API version they are worth nothing
    :param batches: what is known already, in the order of the files; by default what the store has of this account
    """

    def __init__(self, store: Store | None, account: str, batches: Iterable[Batch] | None = None) -> None:
        self._store = store
        self._account = account
        self._lock = threading.Lock()
        self._batches = dict(enumerate(batches)) if batches is not None else self._read()
        self._accepted_now: set[int] = set()

    def _read(self) -> dict[int, Batch]:
        entries = self._store.read() if self._store else {}
        return {
            number: _of_an_earlier_try(Batch.from_event(entry))
            for number, entry in entries.items()
            if entry["account"] == self._account
        }

    @property
    def are_all_earlier(self) -> bool:
        """Whether this try of the task has sent nothing."""
        return not self._accepted_now

    @property
    def accepted(self) -> list[Batch]:
        """What Target has accepted, in the order of the files."""
        return [self._batches[number] for number in sorted(self._batches) if self._batches[number].status_url]

    def check(self, number: int, file: BatchFile) -> None:
        """Compare a file with its receipt.

        :raises SourceChangedError: where it is another file
        """
        receipt = self._batches.get(number)
        if receipt and receipt.sha256 != file.sha256:
            raise SourceChangedError(f"File {number + 1} is not the one that was sent.")

    def check_count(self, files: int) -> None:
        """Compare the number of files with the receipts.

        :raises SourceChangedError: where there were more files
        """
        if any(number >= files for number in self._batches):
            raise SourceChangedError(f"There are {files} files, and there were {max(self._batches) + 1}.")

    def begin(self, number: int, file: BatchFile) -> Batch | None:
        """Return what a file became when it was sent, or None, and then it is to be sent now."""
        receipt = self._batches.get(number)
        if receipt and receipt.status_url:
            return receipt
        reasons = receipt.resubmitted_after if receipt else ()
        self._note(number, _unsent(_SENDING, file.rows, file.size, file.sha256).sent_before(*reasons))
        return None

    def accept(self, number: int, batch: Batch) -> Batch:
        """Note that Target has accepted a file; return the batch with the reasons for which it was sent before."""
        batch = batch.sent_before(*self._batches[number].resubmitted_after)
        self._accepted_now.add(number)
        self._note(number, batch)
        return batch

    def withdraw(self, number: int) -> None:
        """Note that a file that was to be sent did not arrive."""
        self._note(number, replace(self._batches[number], status=_TO_SEND))

    def finish(self, batches: Mapping[int, Batch]) -> None:
        """Note what became of batches."""
        with self._lock:
            self._batches.update(batches)
            self._write(None)

    def send_again(self, number: int, reason: str) -> None:
        """Note that a file is to be sent at the next walk through the rows, and why, for the report."""
        batch = self._batches[number]
        again = _unsent(_TO_SEND, batch.rows, batch.bytes, batch.sha256)
        self._note(number, again.sent_before(reason, *batch.resubmitted_after))

    def start_over(self) -> None:
        """Forget the receipts of earlier tries."""
        self._batches = {number: self._batches[number] for number in self._accepted_now}
        self._accepted_now = set()
        self._write(None)

    def _note(self, number: int, batch: Batch) -> None:
        with self._lock:
            self._batches[number] = batch
            self._write(number)

    def _write(self, changed: int | None) -> None:
        """Keep what is known. That it cannot be kept must not end a task whose files Target accepts."""
        if not self._store:
            return
        entries = {number: {**b.to_event(), "account": self._account} for number, b in self._batches.items()}
        try:
            self._store.write(entries, changed)
        except Exception as error:
            _logger.warning("Receipts cannot be kept, so that a retry would send files again: %s", error)
            self._store = None


def _unsent(status: str, rows: int | None, size: int | None, sha256: str | None) -> Batch:
    return Batch(None, None, rows, size, sha256, status=status)


def _of_an_earlier_try(batch: Batch) -> Batch:
    return batch.sent_before(LOST_ANSWER) if batch.status == _SENDING else batch


class StateStore:
    """Airflow's task state store (3.3): it belongs to the task instance, and outlives its tries.

    :param store: ``context["task_state_store"]``
    """

    _FILES_A_KEY = 100  # some 45 KB: Airflow wants values below 64 KB

    def __init__(self, store: Any) -> None:
        self._store = store

    def read(self) -> Entries:
        """Return all receipts."""
        entries: Entries = {}
        page = 0
        while (stored := self._store.get(self._key(page))) is not None:
            entries.update((int(number), entry) for number, entry in stored.items())
            page += 1
        return entries

    def write(self, entries: Entries, changed: int | None) -> None:
        """Keep the receipts."""
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
    """A file that the user names, local or in object storage.

    :param path: the file
    :param owner: DAG, run, task and map index whose receipts these are
    """

    def __init__(self, path: str, owner: Mapping[str, Any]) -> None:
        self._path = ObjectStoragePath(path)
        self._owner = dict(owner)

    def read(self) -> Entries:
        """Return all receipts; those of an earlier run are none.

        :raises ProfileDataError: where the file is another task's, or holds something else
        """
        if not self._path.exists():
            return {}
        try:
            content = json.loads(self._path.read_text())
            owner, entries = content["owner"], {int(number): entry for number, entry in content["files"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ProfileDataError(f"{self._path} holds no receipts. Name a checkpoint_path of its own.") from None
        if {**owner, "run_id": ""} != {**self._owner, "run_id": ""}:
            raise ProfileDataError(
                f"{self._path} holds the receipts of another task. Give each task a checkpoint_path of its own, each "
                "mapped one, too: '…/{{ ti.dag_id }}-{{ ti.task_id }}-{{ ti.map_index }}.json'."
            )
        return entries if owner == self._owner else {}

    def write(self, entries: Entries, changed: int | None) -> None:
        """Keep the receipts: at any moment the file holds these, or those of before."""
        content = json.dumps({"owner": self._owner, "files": entries}, indent=1)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.protocol not in ("", "file"):
            self._path.write_text(content)  # object storage puts whole objects
            return
        file = Path(self._path.path)
        new = file.with_name(f"{file.name}.new")
        with new.open("w") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)


def find_store(context: Context, checkpoint_path: str | None) -> Store | None:
    """Return where the receipts of a task are kept: in the file that is named, else where Airflow has a place."""
    if checkpoint_path:
        ti = context["ti"]
        return CheckpointFile(
            checkpoint_path, {n: getattr(ti, n) for n in ("dag_id", "run_id", "task_id", "map_index")}
        )
    store = context.get("task_state_store")
    return StateStore(store) if store is not None else None
