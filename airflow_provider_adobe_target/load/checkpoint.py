"""The checkpoint of an upload: the status of each batch file, persisted across the tries of a task.

An entry contains the fields of the batch in the report: rows, bytes, checksum, batch id, status URL and time. It
contains no row values and no token. The entry of a file is written before the file is sent (``sending``), when Target
has accepted it, and when its batch is final::

                      ┌─ refused, or no connection ─▶ to_send ◀─ stuck, lost or torn ─┐
    to_send ─▶ sending┤                                                               │
                      └─ accepted ─▶ submitted ─▶ … ─▶ complete ──────────────────────┘

An entry that is still ``sending`` when a try starts belongs to a try that ended during the request. The file is sent
again, and the report lists the reason.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_adobe_target.client.batch import LOST_ANSWER, Batch

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.batch_files import BatchFile

TO_SEND = "to_send"
SENDING = "sending"

log = logging.getLogger(__name__)


Entries = dict[int, dict[str, Any]]


class Store(Protocol):
    """A store of checkpoint entries, by file number."""

    def read(self) -> Entries:
        """Return all entries."""

    def write(self, entries: Entries, changed: int | None) -> None:
        """Save all entries.

        :param entries: All entries, by file number.
        :param changed: Number of the changed entry; None if several changed.
        """


class Archive(Protocol):
    """An archive of the batch files. Methods may be called from several threads, for different files."""

    @property
    def location(self) -> str:
        """Folder of the archive."""

    def keep(self, number: int, file: BatchFile, batch: Batch) -> None:
        """Write a file that is about to be sent. If it raises, the file is not sent."""

    def note(self, number: int, batch: Batch) -> None:
        """Note a new status of a batch."""


class SourceChangedError(Exception):
    """The source produced other files than those in the checkpoint. The message names the difference."""


class Checkpoint:
    """The batches of a task, by file number, counted from 0. Methods may be called from several threads.

    :param store: Store of the entries; None to keep them in memory only.
    :param account: Key of the connection and API version. Entries of other accounts are ignored.
    :param batches: Initial batches, in the order of the files. Default: the entries in the store.

    :ivar archive: Archive of the files that are sent; None for none.
    """

    archive: Archive | None = None

    def __init__(self, store: Store | None, account: str, batches: Iterable[Batch] | None = None) -> None:
        self._store = store
        self._account = account
        self._lock = threading.Lock()
        self._batches = dict(enumerate(batches)) if batches is not None else self._read()
        self._accepted_now: set[int] = set()

    def _read(self) -> dict[int, Batch]:
        entries = self._store.read() if self._store else {}
        return {
            number: _of_an_earlier_try(Batch.from_dict(entry))
            for number, entry in entries.items()
            if entry["account"] == self._account
        }

    @property
    def nothing_sent_now(self) -> bool:
        """Whether Target has accepted no file in this try of the task."""
        return not self._accepted_now

    @property
    def accepted(self) -> list[Batch]:
        """The batches that Target has accepted, in the order of the files."""
        return [self._batches[number] for number in sorted(self._batches) if self._batches[number].status_url]

    def check(self, number: int, file: BatchFile) -> None:
        """Compare the checksum of a file with the checkpoint.

        :raises SourceChangedError: If the checksums differ.
        """
        receipt = self._batches.get(number)
        if receipt and receipt.sha256 != file.sha256:
            raise SourceChangedError(f"File {number + 1} is not the one that was sent.")

    def check_count(self, files: int) -> None:
        """Compare the number of files with the checkpoint.

        :raises SourceChangedError: If the checkpoint contains more files.
        """
        if any(number >= files for number in self._batches):
            raise SourceChangedError(f"There are {files} files, and there were {max(self._batches) + 1}.")

    def start(self, number: int, file: BatchFile) -> Batch | None:
        """Return the batch of an accepted file. For any other file, record that it is sent now and return None.

        :raises OSError: If there is an archive that cannot be written.
        """
        receipt = self._batches.get(number)
        if receipt and receipt.status_url:
            return receipt
        reasons = receipt.resubmitted_after if receipt else ()
        batch = _unsent(SENDING, file.rows, file.size, file.sha256).sent_before(*reasons)
        if self.archive:
            self.archive.keep(number, file, batch)
        self._note(number, batch)
        return None

    def accept(self, number: int, batch: Batch) -> Batch:
        """Record an accepted file. Return the batch with the reasons of its earlier submissions."""
        batch = batch.sent_before(*self._batches[number].resubmitted_after)
        self._accepted_now.add(number)
        self._note(number, batch)
        self._note_in_archive(number, batch)
        return batch

    def discard(self, number: int) -> None:
        """Record that Target did not accept a file."""
        batch = replace(self._batches[number], status=TO_SEND)
        self._note(number, batch)
        self._note_in_archive(number, batch)

    def complete(self, batches: Mapping[int, Batch]) -> None:
        """Record the final status of batches, by file number."""
        with self._lock:
            self._batches.update(batches)
            self._write(None)
        for number, batch in batches.items():
            self._note_in_archive(number, batch)

    def finish(self, number: int, batch: Batch) -> None:
        """Record the final status of one batch."""
        self._note(number, batch)
        self._note_in_archive(number, batch)

    def reset(self, number: int, reason: str) -> None:
        """Schedule a file for resubmission in the next pass over the rows, with the reason for the report."""
        batch = self._batches[number]
        again = _unsent(TO_SEND, batch.rows, batch.bytes, batch.sha256)
        self._note(number, again.sent_before(reason, *batch.resubmitted_after))

    def clear(self) -> None:
        """Delete the entries of earlier tries."""
        self._batches = {number: self._batches[number] for number in self._accepted_now}
        self._accepted_now = set()
        self._write(None)

    def _note_in_archive(self, number: int, batch: Batch) -> None:
        if self.archive:
            self.archive.note(number, batch)

    def _note(self, number: int, batch: Batch) -> None:
        with self._lock:
            self._batches[number] = batch
            self._write(number)

    def _write(self, changed: int | None) -> None:
        """Save all entries. A failing store logs a warning and does not fail the task.

        :param changed: Number of the changed file; None if several changed.
        """
        if not self._store:
            return
        entries = {number: {**b.to_event(), "account": self._account} for number, b in self._batches.items()}
        try:
            self._store.write(entries, changed)
        except Exception as error:
            log.warning("Checkpoint cannot be kept, so that a retry would send files again: %s", error)
            self._store = None


def _unsent(status: str, rows: int | None, size: int | None, sha256: str | None) -> Batch:
    return Batch(rows=rows, bytes=size, sha256=sha256, status=status)


def _of_an_earlier_try(batch: Batch) -> Batch:
    return batch.sent_before(LOST_ANSWER) if batch.status == SENDING else batch
