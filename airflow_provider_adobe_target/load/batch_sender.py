"""Submit batch files to Adobe Target, each at most once."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.client.batch import DRY_RUN, Batch
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.exceptions import AdobeTargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.concurrency.clock import Clock
    from airflow_provider_adobe_target.load.checkpoint import Checkpoint
    from airflow_provider_adobe_target.profiles.batch_files import BatchFile


log = logging.getLogger(__name__)


class BatchSender:
    """Submit the files of one upload. Methods may be called from several threads.

    :ivar must_restart: Whether a file that was sent before must be sent again, which needs another pass over the rows.

    :param session: Client session; None in a dry run.
    :param checkpoint: Checkpoint of the task. Files that an earlier try submitted are skipped.
    :param api_version: ``v1`` or ``v2``.
    :param wait_for_batch: Function that waits until a batch is final and returns it, or None if its file must be sent
        again. Without a function, files are sent without waiting for the previous batch.
    :param stop: Event that is set if :attr:`must_restart` becomes True.
    """

    def __init__(
        self,
        session: Session | None,
        checkpoint: Checkpoint,
        api_version: Any,
        wait_for_batch: Callable[[int, Batch, Clock], Batch | None] | None,
        stop: threading.Event,
    ) -> None:
        self._session = session
        self._checkpoint = checkpoint
        self._api_version = api_version
        self._wait_for_batch = wait_for_batch
        self._stop = stop
        self.must_restart = False
        self._started = clocks.SYSTEM.monotonic()
        self._sent: dict[int, Batch] = {}

    @property
    def batches(self) -> list[Batch]:
        """The batches submitted so far, ordered by file number."""
        return [self._sent[number] for number in sorted(self._sent)]

    def send(self, number: int, file: BatchFile, clock: Clock) -> None:
        """Submit a file unless the checkpoint contains it, then delete it.

        :param number: Number of the file, counted from 0.
        :raises AdobeTargetError: If Adobe Target does not accept the file.
        """
        if self._session is None:
            self._sent[number] = Batch(rows=file.rows, bytes=file.size, sha256=file.sha256, status=DRY_RUN)
        else:
            if not self._is_previous_final(number, clock):
                self.must_restart = True
                self._stop.set()
                return
            self._sent[number] = self._found(number, file) or self._submitted(self._session, number, file, clock)
        file.path.unlink()

    def _is_previous_final(self, number: int, clock: Clock) -> bool:
        """Wait for the batch of the previous file, if required. Return False if that file must be sent again."""
        if self._wait_for_batch is None or number == 0:
            return True
        batch = self._wait_for_batch(number - 1, self._sent[number - 1], clock)
        if batch is None:
            return False
        self._sent[number - 1] = batch
        return True

    def _found(self, number: int, file: BatchFile) -> Batch | None:
        batch = self._checkpoint.start(number, file)
        if batch:
            log.info("Batch %s was accepted with these %s rows before.", batch.batch_id, f"{file.rows:,}")
        return batch

    def _submitted(self, session: Session, number: int, file: BatchFile, clock: Clock) -> Batch:
        try:
            batch = session.replace(clock=clock).submit(file, self._api_version)
        except AdobeTargetError as error:
            if not error.maybe_accepted:
                self._checkpoint.discard(number)
            raise
        batch = self._checkpoint.accept(number, batch)
        so_far = [*self.batches, batch]
        log.info(
            "Batch %s accepted with %s rows (file %s); so far %s rows and %s bytes in %.0f s",
            batch.batch_id,
            f"{file.rows:,}",
            len(so_far),
            f"{sum(batch.rows or 0 for batch in so_far):,}",
            f"{sum(batch.bytes or 0 for batch in so_far):,}",
            clock.monotonic() - self._started,
        )
        return batch
