"""Bringing many customer profiles into Adobe Target, in batch files."""

from __future__ import annotations

import errno
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.client.endpoints.api_version import check_version
from airflow_provider_adobe_target.client.verdict import check_limits, evaluate_batches
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.concurrency.reader_thread import read_and_process
from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder
from airflow_provider_adobe_target.concurrency.worker_pool import check_concurrency, run_pool
from airflow_provider_adobe_target.execution_timeout import deferral_timeout, earlier, execution_end
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.inputs.arguments import (
    check_arguments,
    check_one_source,
    check_sql,
    to_seconds,
)
from airflow_provider_adobe_target.inputs.empty_source import check_row_counts
from airflow_provider_adobe_target.inputs.row_source import resolve_id_map, resolve_rows
from airflow_provider_adobe_target.inputs.templating import RowsArgument, RowsPartial, with_hidden_rows
from airflow_provider_adobe_target.inputs.treasure_data import check_client_code, read_export
from airflow_provider_adobe_target.load.batch_sender import BatchSender
from airflow_provider_adobe_target.load.checkpoint import Checkpoint, SourceChangedError
from airflow_provider_adobe_target.load.checkpoint_store import checkpoint_store
from airflow_provider_adobe_target.load.output_files import write_rejects
from airflow_provider_adobe_target.load.resubmission import Resubmission, reset_failed_batches
from airflow_provider_adobe_target.operators.base import exclusive_run
from airflow_provider_adobe_target.version_compat import BaseOperator, conf

if TYPE_CHECKING:
    from pathlib import Path

    from pyarrow import RecordBatch
    from typing_extensions import Self

    from airflow_provider_adobe_target.concurrency.clock import Clock
    from airflow_provider_adobe_target.profiles.batch_files import BatchFile
    from airflow_provider_adobe_target.profiles.options import ProfileOptions
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
    from airflow_provider_adobe_target.profiles.sources.rows import Rows
    from airflow_provider_adobe_target.version_compat import Context


class BulkProfileUpdateOperator(BaseOperator):
    """Turn rows into batch files, send them to Adobe Target, and report truly what became of them.

    :param sql: one statement whose result is the rows (templated, also a ``.sql`` file); give this, ``data`` or
        ``path``
    :param sql_conn_id: any database connection of Airflow's, read with a server-side cursor where the driver has one
        (templated)
    :param parameters: of the statement (templated)
    :param data: a pandas or polars DataFrame, an Arrow table, a list of dicts, or an upstream task's output of these;
        never rendered, and shown in Airflow as ``<rows>``
    :param path: Parquet, CSV or NDJSON: a file, a folder, a glob or a list of these, as text, ``pathlib.Path`` or
        ``ObjectStoragePath``, local or in object storage (templated)
    :param file_format: ``parquet``, ``csv`` or ``ndjson``; default: derived from each file's suffix
    :param csv_options: ``delimiter`` and ``encoding`` of CSV; default: ``{"delimiter": ",", "encoding": "utf-8"}``
    :param id_column: the column of ids; default: the one named thirdPartyId, third_party_id, mbox3rdPartyId, pcId,
        pc_id, mboxPC or tntId
    :param id_type: ``thirdPartyId`` or ``pcId``; default: told by the id column's name, else ``thirdPartyId``
    :param attributes: columns to send, or ``{column: parameter name}``; default: every other column under its own name
    :param attribute_case: ``lower`` writes attribute names in lower case, for databases that fold names to upper case;
        names that ``attributes`` maps to are kept
    :param id_map: further ids of a person, to which a row is written as well: a table as ``data`` with the columns
        ``id``, ``linked_id`` and ``linked_id_type``, or with the links of ``IdentityLinkOperator``
    :param id_map_sql: one statement whose result is the id map, on ``sql_conn_id`` (templated, also a ``.sql`` file)
    :param id_map_path: files that hold the id map (templated)
    :param max_linked_ids: how many linked ids of one id count, 1 to 1,000; later ones are dropped, and counted
    :param adobe_target_conn_id: the connection, of type ``adobe_target`` (templated)
    :param api_version: ``v2`` creates profiles that do not exist, ``v1`` does not
    :param guaranteed_upload: wait in the worker until Adobe Target has finished a file before sending the next
    :param max_concurrent_uploads: how many files may be on their way at once, 1 to 10; with ``guaranteed_upload`` it
        is one
    :param max_rows_per_file: at most 499,999
    :param max_bytes_per_file: encoded, below 50,000,000; with an id map 1,000,000 or more
    :param dry_run: do everything but the calls
    :param skip_invalid_records: ``False``: the first bad row (other than a duplicate) ends the task before anything
        is sent
    :param max_invalid_pct: more than this per cent of bad rows (other than duplicates) ends the task before anything
        is sent
    :param on_duplicate_id: which row of an id is sent, ``first`` or ``last``; ``fail`` ends the task before anything
        is sent
    :param on_risky_value: a comma, CR or LF inside a value: ``replace`` each run by a space, ``reject`` the row, or
        ``encode`` it with a warning, for accounts where a test has shown that this works
    :param max_value_length: characters; a row with a longer value is a bad row
    :param rejects_path: a folder for the bad rows, local or in object storage (templated)
    :param on_no_rows: if the source has no rows: ``succeed`` with a warning, ``skip`` or ``fail``. If every row was
        rejected, the task fails, unless ``max_invalid_pct`` is 100
    :param wait_for_completion: wait until Adobe Target has finished all files, and evaluate_batches what it says
    :param deferrable: wait in the triggerer
    :param poll_interval: seconds, or a timedelta, between two times of asking, growing to five times as many
    :param timeout: seconds, or a timedelta, of waiting until an unfinished batch ends the task with
        ``AirflowSensorTimeout``
    :param max_failed_pct: the per cent of all rows, 0 to 100, that may have failed
    :param max_not_found_pct: the per cent of all rows, 0 to 100, that may have found no profile; ``None``: any
    :param on_stuck: what to do about a batch that Adobe Target will not complete: ``fail``, or ``resubmit`` the same
        bytes, once
    :param on_status_lost: the same about a batch that Adobe Target no longer knows
    :param durable: keep a receipt of each file that Adobe Target accepted, so that another try of the task sends only
        what has none: in Airflow's task state store (3.3 and newer), or at ``checkpoint_path``
    :param checkpoint_path: a file for the checkpoint, local or in object storage, one for each task (templated)
    """

    template_fields: Sequence[str] = (
        "data",
        "sql",
        "parameters",
        "path",
        "rejects_path",
        "checkpoint_path",
        "id_map",
        "id_map_sql",
        "id_map_path",
        "sql_conn_id",
        "adobe_target_conn_id",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql", "parameters": "json", "id_map_sql": "sql"}
    ui_color = "#f6e1e1"

    def __init__(
        self,
        *,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Iterable[Any] | Mapping[str, Any] | None = None,
        data: Any = None,
        path: Any = None,
        file_format: Literal["parquet", "csv", "ndjson"] | None = None,
        csv_options: Mapping[str, Any] | None = None,
        id_column: str | None = None,
        id_type: Literal["thirdPartyId", "pcId"] | None = None,
        attributes: Sequence[str] | Mapping[str, str] | None = None,
        attribute_case: Literal["keep", "lower"] = "keep",
        id_map: Any = None,
        id_map_sql: str | None = None,
        id_map_path: Any = None,
        max_linked_ids: int = 10,
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        api_version: Literal["v1", "v2"] = "v2",
        guaranteed_upload: bool = False,
        max_concurrent_uploads: int = 2,
        max_rows_per_file: int = 50_000,
        max_bytes_per_file: int = 49_000_000,
        dry_run: bool = False,
        skip_invalid_records: bool = True,
        max_invalid_pct: float | None = None,
        on_duplicate_id: Literal["first", "last", "fail"] = "first",
        on_risky_value: Literal["replace", "reject", "encode"] = "replace",
        max_value_length: int = 5_000,
        rejects_path: str | None = None,
        on_no_rows: Literal["succeed", "skip", "fail"] = "succeed",
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 60,
        timeout: float | timedelta = 24 * 60 * 60,
        max_failed_pct: float = 0.0,
        max_not_found_pct: float | None = None,
        on_stuck: Literal["fail", "resubmit"] = "fail",
        on_status_lost: Literal["fail", "resubmit"] = "fail",
        durable: bool = True,
        checkpoint_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_one_source({"data": data, "sql": sql, "path": path})
        check_sql("sql", sql)
        check_one_source({"id_map": id_map, "id_map_sql": id_map_sql, "id_map_path": id_map_path}, required=False)
        check_sql("id_map_sql", id_map_sql)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.data = RowsArgument.of(data)
        self.path = path
        self.file_format = file_format
        self.csv_options = csv_options
        self.id_column = id_column
        self.id_type = id_type
        self.attributes = attributes
        self.attribute_case = attribute_case
        self.id_map = RowsArgument.of(id_map)
        self.id_map_sql = id_map_sql
        self.id_map_path = id_map_path
        self.max_linked_ids = max_linked_ids
        self.adobe_target_conn_id = adobe_target_conn_id
        self.api_version = api_version
        self.guaranteed_upload = guaranteed_upload
        self.max_concurrent_uploads = max_concurrent_uploads
        self.max_rows_per_file = max_rows_per_file
        self.max_bytes_per_file = max_bytes_per_file
        self.is_dry_run = dry_run  # Airflow has a method of the argument's name
        self.skip_invalid_records = skip_invalid_records
        self.max_invalid_pct = max_invalid_pct
        self.on_duplicate_id = on_duplicate_id
        self.on_risky_value = on_risky_value
        self.max_value_length = max_value_length
        self.rejects_path = rejects_path
        self.on_no_rows = on_no_rows
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = to_seconds("poll_interval", poll_interval)
        self.timeout = to_seconds("timeout", timeout)
        self.max_failed_pct = max_failed_pct
        self.max_not_found_pct = max_not_found_pct
        self.on_stuck = on_stuck
        self.on_status_lost = on_status_lost
        self.durable = durable
        self.checkpoint_path = checkpoint_path
        self._folder: TempFolder | None = None
        self._ends_at: float | None = None
        self._client_code: str | None = None
        check_arguments(self)

    @classmethod
    def from_treasure_data(cls, settings: Mapping[str, Any] | str | None = None, /, **arguments: Any) -> Self:
        """Make the operator of Treasure Data's settings of an export to Adobe Target.

        :param settings: the JSON, as text or as a dict; it may also be given as keyword arguments
        :param arguments: the operator's own, such as ``task_id`` and ``sql``; they win
        :raises ProfileDataError: naming a setting that has no counterpart, and what to do
        """
        export = read_export(settings, arguments, cls)
        operator = cls(**export.arguments)
        operator._client_code = export.client_code
        return operator

    @classmethod
    def partial(cls, **arguments: Any) -> RowsPartial:  # type: ignore[override]  # Airflow's is a descriptor
        """Begin a mapped task, as with every operator; rows given here are shown as ``<rows>``, too."""
        return RowsPartial(super().partial(**with_hidden_rows(arguments)))

    @cached_property
    def hook(self) -> AdobeTargetHook:
        """The connection to Adobe Target."""
        return AdobeTargetHook(adobe_target_conn_id=self.adobe_target_conn_id)

    @property
    def _uploads_at_once(self) -> int:
        return 1 if self.guaranteed_upload else self.max_concurrent_uploads

    def execute(self, context: Context) -> dict[str, Any]:
        """Send the rows, and wait for what becomes of them.

        :returns: the report: counts of rows by outcome, and the batches with their status; nothing of a row
        :raises AirflowFailException: where a retry cannot help
        :raises AirflowSensorTimeout: where a batch is unfinished at the ``timeout``
        :raises AdobeTargetUnavailableError: where Adobe Target gives no usable answer
        :raises OSError: where the disk is full
        """
        self._ends_at = execution_end(self)
        with translate_errors():
            check_limits(self.max_failed_pct, self.max_not_found_pct)
            check_concurrency(self.max_concurrent_uploads)
            _ = self._resubmission  # refused before anything is read
            check_client_code(self._client_code, self.hook.settings.client_code)
            with nullcontext() if self.is_dry_run else exclusive_run(self, context, self.hook.settings):
                return self._upload_and_wait(context, self._checkpoint(context))

    def execute_complete(
        self, context: Context, event: dict[str, Any], ends_at: float | None = None, is_execution_timeout: bool = False
    ) -> dict[str, Any]:
        """Judge what the trigger saw; returns and raises as :meth:`execute`."""
        from airflow_provider_adobe_target.triggers.adobe_target import batches_of_event, raise_error_of_event

        self._ends_at = ends_at
        with translate_errors():
            batches = batches_of_event(event, lambda: self._deferred_batches(context))
            checkpoint = self._checkpoint(context, batches)
            if "error" in event:
                if batches:
                    checkpoint.complete(dict(enumerate(batches)))  # what the trigger saw before
                raise_error_of_event(event, is_execution_timeout)
            return self._conclude(context, event["report"], batches, checkpoint)

    def _deferred_batches(self, context: Context) -> list[Batch]:
        """Return the batches as they were when the task was deferred: from XCom, or from the checkpoint."""
        ti: Any = context["ti"]
        entries = ti.xcom_pull(task_ids=ti.task_id, key="batches", map_indexes=ti.map_index)
        if entries:
            return [Batch.from_dict(entry) for entry in entries]
        return self._checkpoint(context).accepted

    def on_kill(self) -> None:
        """Remove the batch files: Airflow 3 ends a killed task some seconds later, wherever it is."""
        if self._folder:
            self._folder.remove()

    @cached_property
    def _resubmission(self) -> Resubmission:
        return Resubmission(self.on_stuck, self.on_status_lost)

    def _checkpoint(self, context: Context, batches: Sequence[Batch] | None = None) -> Checkpoint:
        """Return the checkpoint of earlier tries, or of the batches that this one sent before it was deferred."""
        store = checkpoint_store(context, self.checkpoint_path) if self.durable and not self.is_dry_run else None
        if store is None and self.durable and not self.is_dry_run:
            self.log.info(
                "No checkpoint_path, and no state store (Airflow 3.3): another try would send all files again."
            )
        settings = self.hook.settings
        return Checkpoint(store, f"{settings.base_url} {settings.client_code} {self.api_version}", batches)

    def _upload_and_wait(self, context: Context, checkpoint: Checkpoint) -> dict[str, Any]:
        report, batches = self._upload(context, checkpoint)
        if self.is_dry_run or not batches:
            return report
        if not self.wait_for_completion:
            # All was sent before: a sensor may have seen how it ended, and the task been cleared.
            if checkpoint.nothing_sent_now and reset_failed_batches(
                dict(enumerate(self.hook.poll(batches, on_final=checkpoint.finish))), checkpoint
            ):
                report, _ = self._upload(context, checkpoint)
            return report
        if all(batch.final for batch in batches):  # what an earlier try saw
            return self._conclude(context, report, batches, checkpoint)
        deadline = clocks.SYSTEM.now() + self.timeout
        if self.deferrable:
            from airflow_provider_adobe_target.triggers.adobe_target import BatchStatusTrigger
            from airflow_provider_adobe_target.triggers.packing import pack_urls

            self._push_batches(context, batches)
            ends_at = self._ends_at
            self.defer(
                trigger=BatchStatusTrigger(
                    adobe_target_conn_id=self.adobe_target_conn_id,
                    batches=pack_urls([batch for batch in batches if not batch.final]),
                    poll_interval=self.poll_interval,
                    deadline=earlier(deadline, ends_at),
                    report={name: value for name, value in report.items() if name != "batches"},
                ),
                method_name="execute_complete",
                kwargs={"ends_at": ends_at, "is_execution_timeout": ends_at is not None and ends_at <= deadline},
                timeout=deferral_timeout(ends_at),
            )
        batches = self.hook.wait(batches, self.poll_interval, deadline, on_final=checkpoint.finish)
        return self._conclude(context, report, batches, checkpoint)

    def _conclude(
        self, context: Context, report: dict[str, Any], batches: Sequence[Batch], checkpoint: Checkpoint
    ) -> dict[str, Any]:
        """Judge batches that are final, unless some of them are to be sent again."""
        report = {**report, "batches": self._push_batches(context, batches)}
        if self._resubmission.schedule(dict(enumerate(batches)), checkpoint):
            with exclusive_run(self, context, self.hook.settings):  # it ended where the task was deferred
                return self._upload_and_wait(context, checkpoint)
        report = self._with_refused_rows(context, report, batches)
        for warning in evaluate_batches(
            batches, max_failed_pct=self.max_failed_pct, max_not_found_pct=self.max_not_found_pct
        ):
            self.log.warning(warning)
        return report

    def _upload(self, context: Context, checkpoint: Checkpoint) -> tuple[dict[str, Any], list[Batch]]:
        """Send all files that have no receipt; return the report and all batches as far as they are known."""
        while True:
            try:
                return self._upload_once(context, checkpoint)
            except SourceChangedError as change:
                self.log.warning(
                    "The rows are not those that an earlier try read: %s All of them are sent again, when Adobe "
                    "Target has finished what it has of them. A query should say in which order (ORDER BY) it returns "
                    "its rows.",
                    change,
                )
                self.hook.wait(checkpoint.accepted, self.poll_interval, clocks.SYSTEM.now() + self.timeout)
                checkpoint.clear()
            except _RestartError:
                continue

    def _upload_once(self, context: Context, checkpoint: Checkpoint) -> tuple[dict[str, Any], list[Batch]]:
        """Walk through all rows once. The batches are in XCom before anything waits for them."""
        sender = BatchSender(
            None if self.is_dry_run else self.hook,
            checkpoint,
            self.api_version,
            partial(self._wait_for_batch, checkpoint) if self.guaranteed_upload else None,
        )
        self._folder = TempFolder()
        with self._full_disk_explained(sender), self._folder as folder:
            run = self._run(folder, keep_rejects=bool(self.rejects_path))
            try:
                self._upload_files(run, sender, checkpoint)
            except BaseException:
                self._push_batches(context, sender.batches)
                self._rescue_rejects(context, run)
                raise
            self._push_batches(context, sender.batches)
            rejects_path = self._write_rejects(context, run)
        self.log.info(
            "Rows read: %s; %s: %s, files: %s; rejected: %s %s; without a value: %s",
            f"{run.rows_read:,}",
            "to be sent" if self.is_dry_run else "sent",
            f"{run.rows_sent:,}",
            len(sender.batches),
            f"{run.rows_rejected:,}",
            dict(run.rejects.by_reason),
            f"{run.rows_empty:,}",
        )
        check_row_counts(run.rows_read, run.rows_rejected, self.on_no_rows, self.max_invalid_pct)
        report = self._report(run, sender.batches, rejects_path)
        if "rows_extended" in report:
            self.log.info(
                "For linked ids: %s rows more; links dropped: %s", f"{run.rows_extended:,}", report["links_dropped"]
            )
        return report, sender.batches

    def _upload_files(self, run: ProfilePipeline, sender: BatchSender, checkpoint: Checkpoint) -> None:
        """Read the rows here, make files of them in a second thread, and send these in others."""
        stop = threading.Event()
        # Made here, since a connection is to be fetched in the task's own thread, and all uploads share one budget.
        settings, _ = self.hook.settings, self.hook.rate_limiter
        for key in run.id_types:
            check_version(self.api_version, key, settings.uses_ecid)
        if not self.is_dry_run:
            self.hook.authenticate()  # here, too, and before a row is read

        def make_and_send(batches: Iterator[RecordBatch]) -> None:
            files = self._files(run, batches, checkpoint)
            max_workers = self._uploads_at_once
            run_pool(
                list(files) if run.checks_all_rows_first else files, sender.send, max_workers=max_workers, stop=stop
            )

        read_and_process(run.record_batches(), make_and_send, stop)

    def _files(
        self, run: ProfilePipeline, batches: Iterator[RecordBatch], checkpoint: Checkpoint
    ) -> Iterator[BatchFile]:
        """Make the files, and refuse them where Adobe warns of their key with this version."""
        count = 0
        for file in run.files(batches):
            # Only now the columns of sql are known.
            for key in run.id_types:
                check_version(self.api_version, key, self.hook.settings.uses_ecid)
            checkpoint.check(count, file)
            count += 1
            yield file
        checkpoint.check_count(count)

    def _rules(self) -> ProfileOptions:
        from airflow_provider_adobe_target.profiles.options import ProfileOptions

        return ProfileOptions(**{field.name: getattr(self, field.name) for field in fields(ProfileOptions)})

    def _run(self, folder: Path, **options: Any) -> ProfilePipeline:
        """Prepare one walk through all rows; the id map is read here."""
        from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline

        sources = (self.id_map, self.id_map_sql, self.id_map_path)
        id_map = resolve_id_map(*sources, self.sql_conn_id, self.max_linked_ids, self.on_risky_value)
        return ProfilePipeline(self._rows(folder), self._rules(), folder, id_map=id_map, **options)

    def _rows(self, folder: Path) -> Rows:
        """Return the rows; what a subclass sets aside on disk to make them goes to ``folder``."""
        return resolve_rows(
            self.data,
            self.sql,
            self.path,
            self.sql_conn_id,
            self.parameters,
            file_format=self.file_format,
            csv_options=self.csv_options,
        )

    def _wait_for_batch(self, checkpoint: Checkpoint, number: int, batch: Batch, clock: Clock) -> Batch:
        """Wait until Adobe Target has finished a batch, so that the next cannot overtake it.

        :raises BatchOutcomeError: where it did not end well
        """
        [batch] = self.hook.wait([batch], self.poll_interval, clock.now() + self.timeout, clock)
        if self._resubmission.schedule({number: batch}, checkpoint):
            raise _RestartError
        evaluate_batches([batch], max_failed_pct=100, max_not_found_pct=None)
        return batch

    def _push_batches(self, context: Context, batches: Sequence[Batch]) -> list[dict[str, Any]]:
        entries = [batch.to_dict() for batch in batches]
        context["ti"].xcom_push(key="batches", value=entries)
        return entries

    @contextmanager
    def _full_disk_explained(self, sender: BatchSender) -> Iterator[None]:
        """Say of a full disk what is full, what is needed, and what was sent before, in an error Airflow may retry."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            places = filter(None, [tempfile.gettempdir(), self.rejects_path])
            accepted = [batch for batch in sender.batches if not batch.is_planned]
            raise OSError(
                error.errno,
                f"No space is left in {' or '.join(places)}. Room is needed for {self._uploads_at_once + 1} files of "
                f"max_bytes_per_file={self.max_bytes_per_file:,} (for all files, where all rows are checked before the "
                "first call), for all ids, and for rows that have to wait. Make room, let the environment variable "
                "TMPDIR name a folder that has it, or lower max_bytes_per_file. Before this, Adobe Target accepted "
                f"{len(accepted)} files with {sum(batch.rows or 0 for batch in accepted):,} rows: they are in XCom "
                "under 'batches'.",
            ) from error

    def _rescue_rejects(self, context: Context, run: ProfilePipeline) -> None:
        """Write the bad rows of a run that failed, if that can be done: its own error matters more."""
        try:
            self._write_rejects(context, run)
        except Exception as error:
            self.log.warning("The bad rows cannot be kept: %s", error)

    def _with_refused_rows(self, context: Context, report: dict[str, Any], batches: Sequence[Batch]) -> dict[str, Any]:
        """Add the rows that Adobe Target lists as failed to the bad rows. The source is read again for them.

        They were sent: the report's counts stay as they are, and ``failed_updates`` of the batches counts them.
        """
        refused = [batch for batch in batches if batch.listed_failures]
        if not refused or not self.rejects_path:
            return report
        try:
            ids = self.hook.failed_ids(refused)
            self._folder = TempFolder()
            with self._folder as folder:
                run = self._run(folder, keep_rejects=True, refused_ids=ids)
                for file in run.files():
                    file.path.unlink()
                path = self._write_rejects(context, run)
        except Exception as error:  # the verdict matters more
            self.log.warning("The rows that Adobe Target refused cannot be kept: %s", error)
            return report
        found = run.rejects.by_reason["refused_by_target"]
        if found < len(ids):
            self.log.warning("%s of %s refused ids are not among the rows as they are now.", len(ids) - found, len(ids))
        return {**report, "rejects_path": path}

    def _write_rejects(self, context: Context, run: ProfilePipeline) -> str | None:
        if not self.rejects_path:
            return None
        path = write_rejects(run.rejects, self.rejects_path, context["ti"])
        if path:
            self.log.info("%s bad rows are kept in %s", f"{run.rows_rejected:,}", path)
        return path

    def _report(self, run: ProfilePipeline, batches: Sequence[Batch], rejects_path: str | None) -> dict[str, Any]:
        return {
            "client_code": self.hook.settings.client_code,
            "api_version": self.api_version,
            "id_type": run.id_type,
            "dry_run": self.is_dry_run,
            **run.counts,
            "rejects_path": rejects_path,
            "batches": [batch.to_dict() for batch in batches],
        }


class _RestartError(Exception):
    """A file that was sent before is to be sent again: walk through the rows once more."""
