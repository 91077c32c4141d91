"""Submit batch files to Adobe Target, each at most once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.exceptions import AdobeTargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adobe_target.concurrency.clock import Clock
    from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
    from airflow_provider_adobe_target.load.checkpoint import Checkpoint
    from airflow_provider_adobe_target.profiles.batch_files import BatchFile


log = logging.getLogger(__name__)


class BatchSender:
    """Submit the files of one upload. Methods may be called from several threads.

    :param hook: Hook that submits the files; None in a dry run.
    :param checkpoint: Checkpoint of the task. Files that an earlier try submitted are skipped.
    :param api_version: ``v1`` or ``v2``.
    :param finished: Callable that waits for a batch to reach a final status and returns it; None to submit files
        without waiting for the previous batch.
    """

    def __init__(
        self,
        hook: AdobeTargetHook | None,
        checkpoint: Checkpoint,
        api_version: Any,
        finished: Callable[[int, Batch, Clock], Batch] | None,
    ) -> None:
        self._hook = hook
        self._checkpoint = checkpoint
        self._api_version = api_version
        self._finished = finished
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
        if self._hook is None:
            self._sent[number] = Batch.planned(rows=file.rows, bytes=file.size, sha256=file.sha256)
        else:
            if self._finished and number:
                self._sent[number - 1] = self._finished(number - 1, self._sent[number - 1], clock)
            self._sent[number] = self._found(number, file) or self._submitted(self._hook, number, file, clock)
        file.path.unlink()

    def _found(self, number: int, file: BatchFile) -> Batch | None:
        batch = self._checkpoint.start(number, file)
        if batch:
            log.info("Batch %s was accepted with these %s rows before.", batch.batch_id, f"{file.rows:,}")
        return batch

    def _submitted(self, hook: AdobeTargetHook, number: int, file: BatchFile, clock: Clock) -> Batch:
        try:
            batch = hook.submit(file.path, file.rows, file.size, file.sha256, self._api_version, clock)
        except AdobeTargetError as error:
            if not error.maybe_accepted:
                self._checkpoint.discard(number)
            raise
        batch = self._checkpoint.accept(number, batch)
        so_far = [*self.batches, batch]
        log.info(
            "Batch %s accepted with %s rows; so far %s files, %s rows, %s bytes in %.0f s",
            batch.batch_id,
            f"{file.rows:,}",
            len(so_far),
            f"{sum(batch.rows or 0 for batch in so_far):,}",
            f"{sum(batch.bytes or 0 for batch in so_far):,}",
            clock.monotonic() - self._started,
        )
        return batch
