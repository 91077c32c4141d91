"""Bulk upload: send rows in batch files, wait for the batches, and evaluate them.

The stages of one pass over the rows::

    source ─▶ profiles() ─▶ write_files() ─▶ BatchSender ─▶ UploadResult ─▶ wait ─▶ report
    └──────── ProfilePipeline ────────┘      └─ Session ─┘

A stage that selects profiles, such as a comparison with an earlier upload, belongs between ``profiles()`` and
``write_files()``. :class:`UploadOutputs` and :class:`UploadResult` are what an observer of the upload needs. What does
not depend on rows is in :class:`.FileUpload`.

This module does not depend on Airflow, so that operators and command lines can use it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.client.endpoints.api_version import check_version
from airflow_provider_adobe_target.client.verdict import OutcomeLimits, outcome_of
from airflow_provider_adobe_target.concurrency.reader_thread import read_and_process
from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder
from airflow_provider_adobe_target.concurrency.worker_pool import run_pool
from airflow_provider_adobe_target.inputs.empty_source import check_row_counts
from airflow_provider_adobe_target.load.batch_sender import BatchSender
from airflow_provider_adobe_target.load.checkpoint import Checkpoint
from airflow_provider_adobe_target.load.file_upload import FileUpload
from airflow_provider_adobe_target.load.full_disk import explain_full_disk
from airflow_provider_adobe_target.load.progress import log_progress
from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadOutputs, UploadResult

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from pyarrow import RecordBatch

    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.load.checkpoint import Archive
    from airflow_provider_adobe_target.load.ledger_stage import LedgerStage
    from airflow_provider_adobe_target.load.upload_options import UploadSource
    from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics
    from airflow_provider_adobe_target.profiles.batch_files import BatchFile
    from airflow_provider_adobe_target.profiles.options import ProfileOptions
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline

log = logging.getLogger(__name__)


class BulkUpload(FileUpload):
    """The upload of rows; see :class:`.FileUpload`.

    :param session: Client session.
    :param source: Source of the rows.
    :param profile_options: Options of the profile pipeline.
    :param options: Options of the upload.
    :param limits: Limits on the outcome of all batches together.
    :param checkpoint: Checkpoint of the upload. Default: one that is kept in memory only.
    :param outputs: Where the results go.
    :param ledger: Stage that selects the rows to send. It replaces the checkpoint.
    :param archive: Archive of the files that are sent. None for none.
    """

    def __init__(
        self,
        session: Session,
        source: UploadSource,
        profile_options: ProfileOptions,
        *,
        options: UploadOptions | None = None,
        limits: OutcomeLimits | None = None,
        checkpoint: Checkpoint | None = None,
        outputs: UploadOutputs | None = None,
        ledger: LedgerStage | None = None,
        archive: Archive | None = None,
    ) -> None:
        if ledger:
            checkpoint = ledger.checkpoint
        checkpoint = checkpoint or Checkpoint(None, "")
        checkpoint.archive = archive
        options = options or UploadOptions()
        super().__init__(session, options=options, limits=limits, checkpoint=checkpoint, outputs=outputs)
        self._source = source
        self._profile_options = profile_options
        self._ledger = ledger
        self._archive = archive

    # --- one pass over the rows ---------------------------------------------------------------------------------

    def _send_once(self) -> UploadResult | None:
        """Make one pass over the rows.

        :return: None if a failed batch of a guaranteed upload was scheduled for resubmission, which needs another pass.
        """
        stop = threading.Event()
        sender = self._sender(stop)
        self._folder = TempFolder()
        full_disk = explain_full_disk(
            lambda: sender.batches,
            rejects_path=self._outputs.rejects_path,
            files=self._options.max_workers + 1,
            max_bytes=self._profile_options.max_bytes_per_file,
        )
        with full_disk, self._folder as folder:
            sent_statistics = self._sent_statistics()
            pipeline = self._pipeline(
                folder,
                keep_rejects=bool(self._outputs.rejects_path),
                statistics=self._outputs.statistics(),
                sent_statistics=sent_statistics,
            )
            try:
                self._send_files(pipeline, sender, folder, stop)
            except BaseException:
                if self._ledger:
                    self._ledger.stop()
                self._outputs.on_batches(sender.batches)
                self._rescue_rejects(pipeline)
                raise
            self._outputs.on_batches(sender.batches)
            self._outputs.on_attributes(pipeline.attribute_names)
            if sender.must_restart:
                return None
            rejects_path = self._write_rejects(pipeline)
        self._log_counts(pipeline, len(sender.batches))
        if self._ledger and self._options.dry_run:
            log.info("%s", self._ledger.markdown(pipeline, sender.batches))
        max_invalid_pct = self._profile_options.max_invalid_pct
        check_row_counts(pipeline.rows_read, pipeline.rows_rejected, self._options.on_no_rows, max_invalid_pct)
        report = self._report(pipeline, sender.batches, rejects_path)
        if sent_statistics:
            report["plan"] = self._plan(sent_statistics, sender.batches)
        return UploadResult(report, sender.batches)

    def _sent_statistics(self) -> AttributeStatistics | None:
        from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics

        return AttributeStatistics(count_distinct=True) if self._options.dry_run else None

    def _plan(self, statistics: AttributeStatistics, batches: Sequence[Batch]) -> dict[str, Any]:
        """Log the plan of a dry run, and return it."""
        from airflow_provider_adobe_target.profiles.upload_plan import make_plan

        sizes = [batch.bytes or 0 for batch in batches]
        plan = make_plan(statistics, sizes, self._session.settings.calls_per_minute)
        plan = plan.compared_with(self._sent_attributes([attribute["name"] for attribute in plan.attributes]))
        log.info("The plan:\n%s", plan.to_markdown())
        return plan.to_dict()

    def _sent_attributes(self, names: Collection[str]) -> Collection[str] | None:
        """Return which attributes were sent before, by the ledger, otherwise by the sync log. None if it is unknown."""
        new = self._ledger.new_attributes if self._ledger else None
        return self._outputs.sent_attributes() if new is None else set(names).difference(new)

    def _pipeline(self, folder: Path, **options: Any) -> ProfilePipeline:
        from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline

        id_map = self._source.id_map()
        return ProfilePipeline(self._source.rows(folder), self._profile_options, folder, id_map=id_map, **options)

    def _send_files(self, pipeline: ProfilePipeline, sender: BatchSender, folder: Path, stop: threading.Event) -> None:
        """Read the rows in this thread, write files in a second one, and send them in worker threads."""
        self._check_version(pipeline)
        if not self._options.dry_run:
            self._session.authenticate()  # in this thread, and before a row is read
        if self._ledger:
            self._ledger.connect()

        def write_and_send(batches: Iterator[RecordBatch]) -> None:
            files = self._files(pipeline, batches, folder, stop)
            run_pool(
                list(files) if pipeline.checks_all_rows_first else files,
                sender.send,
                max_workers=self._options.max_workers,
                stop=stop,
            )

        batches = log_progress(pipeline.record_batches(), pipeline.row_count, self._session.clock)
        read_and_process(batches, write_and_send, stop)

    def _files(
        self, pipeline: ProfilePipeline, batches: Iterator[RecordBatch], folder: Path, stop: threading.Event
    ) -> Iterator[BatchFile]:
        """Write the files, and compare them with the checkpoint.

        :raises ConnectionSettingsError: If the id type, which may depend on the columns, does not fit the API version.
        :raises SourceChangedError: If an earlier try sent other files.
        """
        count = 0
        profiles = pipeline.profiles(batches)
        if self._ledger:
            profiles = self._ledger.select(pipeline, profiles, folder, stop)
        for file in pipeline.write_files(profiles):
            self._check_version(pipeline)
            self._checkpoint.check(count, file)
            count += 1
            yield file
        self._checkpoint.check_count(count)

    def _check_version(self, pipeline: ProfilePipeline) -> None:
        for id_type in pipeline.id_types:
            check_version(self._options.api_version, id_type, self._session.settings.uses_ecid, pipeline.id_column)

    # --- results ------------------------------------------------------------------------------------------------

    def _log_counts(self, pipeline: ProfilePipeline, files: int) -> None:
        counts = pipeline.counts
        log.info(
            "Rows read: %s; %s: %s, files: %s; rejected: %s; without a value: %s",
            f"{pipeline.rows_read:,}",
            "to be sent" if self._options.dry_run else "sent",
            f"{pipeline.rows_sent:,}",
            files,
            _with_reasons(pipeline.rows_rejected, counts["rejected_by_reason"]),
            f"{pipeline.rows_empty:,}",
        )
        if "rows_extended" in counts:
            log.info(
                "For linked ids: %s rows more; links dropped: %s",
                f"{pipeline.rows_extended:,}",
                counts["links_dropped"],
            )

    def _report(self, pipeline: ProfilePipeline, batches: Sequence[Batch], rejects_path: str | None) -> dict[str, Any]:
        return {
            "client_code": self._session.settings.client_code,
            "api_version": self._options.api_version,
            "id_type": pipeline.id_type,
            "dry_run": self._options.dry_run,
            "outcome": "dry_run" if self._options.dry_run else outcome_of(batches, pipeline.rows_rejected),
            **pipeline.counts,
            **(self._ledger.report() if self._ledger else {}),
            "rejects_path": rejects_path,
            **({"archive_folder": self._archive.location} if self._archive else {}),
            **({"rejects_folder": str(self._outputs.rejects_path)} if self._outputs.rejects_path else {}),
            "batches": [batch.to_dict() for batch in batches],
            **self._source.report_fields(),
        }

    def _settle(self, batches: Sequence[Batch]) -> Mapping[str, Any]:
        """Write the rows that Target lists as failed, and settle the ledger."""
        rejects_path = self._write_refused_rows(batches)
        if self._ledger:
            self._ledger.settle(batches)
        return {"rejects_path": rejects_path} if rejects_path else {}

    def _write_rejects(self, pipeline: ProfilePipeline) -> str | None:
        if not self._outputs.rejects_path:
            return None
        path = self._outputs.write_rejects(pipeline.rejects, self._outputs.rejects_path)
        if path:
            log.info("%s rejected rows are written to %s", f"{pipeline.rows_rejected:,}", path)
        return path

    def _rescue_rejects(self, pipeline: ProfilePipeline) -> None:
        """Write the rejected rows of a failed pass. An error is only logged, so that it does not hide the first one."""
        try:
            self._write_rejects(pipeline)
        except Exception as error:
            log.warning("The rejected rows cannot be written: %s", error)

    def _write_refused_rows(self, batches: Sequence[Batch]) -> str | None:
        """Read the source again, and write the rows that Target lists as failed together with the rejected rows.

        The counts of the report do not change: the rows were sent, and ``failed_updates`` of the batches counts them.

        :return: Path of the file. None if there are no such rows, or they cannot be written.
        """
        refused = [batch for batch in batches if batch.listed_failures]
        if not refused or not self._outputs.rejects_path:
            return None
        try:
            ids = self._session.failed_ids(refused)
            self._folder = TempFolder()
            with self._folder as folder:
                pipeline = self._pipeline(folder, keep_rejects=True, refused_ids=ids)
                for file in pipeline.files():
                    file.path.unlink()
                path = self._write_rejects(pipeline)
        except Exception as error:  # the evaluation of the batches matters more
            log.warning("The rows that Adobe Target refused cannot be kept: %s", error)
            return None
        found = pipeline.rejects.by_reason["refused_by_target"]
        if found < len(ids):
            log.warning("%s of %s refused ids are not among the rows as they are now.", len(ids) - found, len(ids))
        return path


def _with_reasons(rejected: int, by_reason: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in by_reason.items())
    return f"{rejected:,} ({reasons})" if reasons else f"{rejected:,}"
