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

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.batch import LOST_ANSWER, Batch
from airflow_provider_adobe_target.load.checkpoint_store import Store

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.batch_files import BatchFile

_TO_SEND = "to_send"
_SENDING = "sending"

log = logging.getLogger(__name__)


class SourceChangedError(Exception):
    """The files are not those that have checkpoint; says how that showed."""


class Checkpoint:
    """The checkpoint of a task's files, by the files' numbers from 0 on. May be used from several threads.

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
    def nothing_sent_now(self) -> bool:
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
        """Compare the number of files with the checkpoint.

        :raises SourceChangedError: where there were more files
        """
        if any(number >= files for number in self._batches):
            raise SourceChangedError(f"There are {files} files, and there were {max(self._batches) + 1}.")

    def start(self, number: int, file: BatchFile) -> Batch | None:
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

    def discard(self, number: int) -> None:
        """Note that a file that was to be sent did not arrive."""
        self._note(number, replace(self._batches[number], status=_TO_SEND))

    def complete(self, batches: Mapping[int, Batch]) -> None:
        """Note what became of batches."""
        with self._lock:
            self._batches.update(batches)
            self._write(None)

    def finish(self, number: int, batch: Batch) -> None:
        """Keep the final status of a batch."""
        self._note(number, batch)

    def reset(self, number: int, reason: str) -> None:
        """Note that a file is to be sent at the next walk through the rows, and why, for the report."""
        batch = self._batches[number]
        again = _unsent(_TO_SEND, batch.rows, batch.bytes, batch.sha256)
        self._note(number, again.sent_before(reason, *batch.resubmitted_after))

    def clear(self) -> None:
        """Forget the checkpoint of earlier tries."""
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
            log.warning("Checkpoint cannot be kept, so that a retry would send files again: %s", error)
            self._store = None


def _unsent(status: str, rows: int | None, size: int | None, sha256: str | None) -> Batch:
    return Batch(None, None, rows, size, sha256, status=status)


def _of_an_earlier_try(batch: Batch) -> Batch:
    return batch.sent_before(LOST_ANSWER) if batch.status == _SENDING else batch
