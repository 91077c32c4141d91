"""An upload of batch files: send them, wait for the batches, and evaluate them.

This module does not depend on Airflow. Where the files come from is left to subclasses.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.client.verdict import NO_LIMITS, OutcomeLimits, evaluate_batches, outcome_of
from airflow_provider_adobe_target.load.batch_sender import BatchSender
from airflow_provider_adobe_target.load.checkpoint import Checkpoint, SourceChangedError
from airflow_provider_adobe_target.load.resubmission import Resubmission, reset_failed_batches
from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadOutputs, UploadResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.concurrency.clock import Clock
    from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder

log = logging.getLogger(__name__)


class FileUpload(ABC):
    """One upload. :meth:`run` does all of it; a caller that waits elsewhere uses the other methods.

    :param session: Client session.
    :param options: Options of the upload.
    :param limits: Limits on the outcome of all batches together.
    :param checkpoint: Checkpoint of the upload.
    :param outputs: Where the results go.
    """

    def __init__(
        self,
        session: Session,
        *,
        options: UploadOptions,
        limits: OutcomeLimits | None,
        checkpoint: Checkpoint,
        outputs: UploadOutputs | None,
    ) -> None:
        self._session = session
        self._options = options
        self._limits = limits or OutcomeLimits()
        self._checkpoint = checkpoint
        self._outputs = outputs or UploadOutputs()
        self._resubmission = Resubmission(options.on_stuck, options.on_status_lost)
        self._folder: TempFolder | None = None

    def run(self, wait: Callable[[UploadResult], Sequence[Batch]] | None = None) -> dict[str, Any]:
        """Send all files, wait until the batches are final, and evaluate them. Repeat this if files are resubmitted.

        :param wait: Function that waits until all batches are final, and returns them. It may raise to wait elsewhere;
            then call :meth:`schedule_resubmission` and :meth:`finish` after the wait. Default: :meth:`wait`.
        :return: Report.
        :raises AdobeTargetError: If the rows or a response do not allow the upload, or a batch failed.
        :raises OSError: If the disk is full.
        """
        while True:
            result = self.send()
            if self._options.dry_run or not result.batches:
                return result.report
            if not self._options.wait_for_completion:
                return self._resend_failed(result).report
            batches = (wait or self.wait)(result) if result.pending else result.batches
            if not self.schedule_resubmission(batches):
                return self.finish(result.report, batches)

    def send(self) -> UploadResult:
        """Send all files that the checkpoint does not contain.

        :raises AdobeTargetError: As :meth:`run`. ``outputs.on_batches`` was called with the accepted batches.
        """
        while True:
            try:
                result = self._send_once()
            except SourceChangedError as change:
                log.warning(
                    "The rows are not those that an earlier try read: %s All of them are sent again, when Adobe "
                    "Target has finished what it has of them. A query should say in which order (ORDER BY) it returns "
                    "its rows.",
                    change,
                )
                self._session.wait(self._checkpoint.accepted, self._options.poll_interval, self._deadline())
                self._checkpoint.clear()
            else:
                if result is not None:
                    self._outputs.on_report(result.report)
                    return result

    def wait(self, result: UploadResult) -> list[Batch]:
        """Poll until all batches are final, and return them.

        :raises BatchTimeoutError: If a batch is not final after the ``timeout``.
        """
        return self._session.wait(
            result.batches, self._options.poll_interval, self._deadline(), on_final=self._checkpoint.finish
        )

    def schedule_resubmission(self, batches: Sequence[Batch]) -> bool:
        """Record final batches in the checkpoint, and schedule failed ones for resubmission as the options allow.

        :return: Whether :meth:`run` must send files again.
        """
        self._outputs.on_batches(batches)
        return self._resubmission.schedule(dict(enumerate(batches)), self._checkpoint)

    def finish(self, report: Mapping[str, Any], batches: Sequence[Batch]) -> dict[str, Any]:
        """Evaluate final batches, and return the report with them.

        :param report: Report of :meth:`send`. It may lack ``batches``.
        :param batches: All batches.
        :raises BatchOutcomeError: If a batch failed or a limit is exceeded.
        """
        complete = {**report, "batches": [batch.to_dict() for batch in batches]}
        complete["outcome"] = outcome_of(batches, report.get("rows_rejected", 0))
        complete |= self._settle(batches)
        for warning in evaluate_batches(batches, self._limits):
            log.warning(warning)
        return complete

    def record(self, batches: Sequence[Batch]) -> None:
        """Record the last known status of all batches, if the wait ended with an error."""
        self._checkpoint.complete(dict(enumerate(batches)))

    def remove_files(self) -> None:
        """Remove the temporary files, even while other threads use them."""
        if self._folder:
            self._folder.remove()

    def _deadline(self) -> float:
        return self._session.clock.now() + self._options.timeout

    def _resend_failed(self, result: UploadResult) -> UploadResult:
        """Send the files of failed batches again, if an earlier try sent all files.

        A sensor may have failed because of these batches, after which the task was cleared.
        """
        if not self._checkpoint.nothing_sent_now:
            return result
        batches = self._session.poll(result.batches, on_final=self._checkpoint.finish)
        failed = reset_failed_batches(dict(enumerate(batches)), self._checkpoint)
        return self.send() if failed else result

    def _sender(self, stop: threading.Event) -> BatchSender:
        """Return what sends the files of one pass.

        :param stop: Event that is set if another pass is needed.
        """
        return BatchSender(
            None if self._options.dry_run else self._session,
            self._checkpoint,
            self._options.api_version,
            self._wait_for_batch if self._options.guaranteed_upload else None,
            stop,
        )

    def _wait_for_batch(self, number: int, batch: Batch, clock: Clock) -> Batch | None:
        """Wait until Target has finished a batch, so that the next one cannot overtake it.

        :return: Final batch. None if its file was scheduled for resubmission.
        :raises BatchOutcomeError: If the batch failed.
        """
        session = self._session.replace(clock=clock)
        [batch] = session.wait([batch], self._options.poll_interval, clock.now() + self._options.timeout)
        if self._resubmission.schedule({number: batch}, self._checkpoint):
            return None
        evaluate_batches([batch], NO_LIMITS)
        return batch

    @abstractmethod
    def _send_once(self) -> UploadResult | None:
        """Send all files that the checkpoint does not contain.

        :return: None if a failed batch of a guaranteed upload was scheduled for resubmission, which needs another pass.
        """

    def _settle(self, batches: Sequence[Batch]) -> Mapping[str, Any]:
        """Do what final batches require, and return further fields of the report."""
        return {}
