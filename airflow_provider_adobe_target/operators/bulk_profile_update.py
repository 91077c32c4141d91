"""Operator that sends many profiles to Adobe Target in batch files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.derived_attributes import DerivedAttributes
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.inputs.arguments import check_task_arguments, to_seconds
from airflow_provider_adobe_target.inputs.id_map_arguments import IdMapArguments
from airflow_provider_adobe_target.inputs.row_arguments import RowArguments
from airflow_provider_adobe_target.inputs.treasure_data import check_client_code, read_export
from airflow_provider_adobe_target.operators.batch_upload import BatchUploadOperator
from airflow_provider_adobe_target.operators.ledger import LedgerArgument, check_ledger
from airflow_provider_adobe_target.privacy import PrivacyOptions
from airflow_provider_adobe_target.version_compat import conf

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from airflow_provider_adobe_target.ledger import ProfileLedger
    from airflow_provider_adobe_target.load.archive import UploadArchive
    from airflow_provider_adobe_target.load.bulk_upload import BulkUpload
    from airflow_provider_adobe_target.load.checkpoint import Checkpoint
    from airflow_provider_adobe_target.profiles.row_counts import RowCountLimit
    from airflow_provider_adobe_target.profiles.sources.rows import Rows
    from airflow_provider_adobe_target.version_compat import Context


class BulkProfileUpdateOperator(LedgerArgument, IdMapArguments, RowArguments, BatchUploadOperator):  # type: ignore[misc]  # partial() is a descriptor
    """Send rows to Adobe Target as batch files, wait for the batches, and report the outcome of every row.

    :param sql: One statement whose result is the rows (templated, also a ``.sql`` file). Give exactly one of ``sql``,
        ``data`` and ``path``.
    :param sql_conn_id: ID of an Airflow database connection, read with a server-side cursor if the driver has one
        (templated).
    :param parameters: Parameters of the statement (templated).
    :param data: A pandas or polars DataFrame, an Arrow table, a list of dicts, or the output of an upstream task.
        Never rendered, and displayed in Airflow as ``<rows>``.
    :param path: A Parquet, CSV or NDJSON file, a folder, a glob, or a list of these, as text, ``pathlib.Path`` or
        ``ObjectStoragePath``, local or in object storage (templated).
    :param file_format: ``parquet``, ``csv`` or ``ndjson``. Default: derived from the suffix of each file.
    :param csv_options: ``delimiter`` and ``encoding`` of CSV files. Default: comma and UTF-8.
    :param id_column: Column of the ids. Default: the column named thirdPartyId, third_party_id, mbox3rdPartyId, pcId,
        pc_id, mboxPC or tntId.
    :param id_type: ``thirdPartyId`` or ``pcId``. Default: derived from the name of the id column, otherwise
        ``thirdPartyId``.
    :param attributes: Columns to send, or ``{column: parameter name}``. Default: every other column under its own name.
    :param attribute_case: ``lower`` writes attribute names in lower case, for databases that fold names to upper case.
        Parameter names in ``attributes`` are not changed.
    :param fallback_id_column: Column of ids of the other type, for rows without an id in ``id_column``. They are sent
        in separate files.
    :param derived: Further attributes of each row: constants, templates over columns, functions, and stamps of the run.
        They are never rendered.
    :param limit_rows: Number of rows that are read at most, for a first upload. Default: all.
    :param privacy: Rules that hash or block attributes and check values and ids for personal data. Default: warnings.
    :param id_map: Further ids of the same people, to which each row is also written: a table, as ``data``, with the
        columns ``id``, ``linked_id`` and ``linked_id_type``, or with the links of ``IdentityLinkOperator``.
    :param id_map_sql: One statement whose result is the id map, on ``sql_conn_id`` (templated, also a ``.sql`` file).
    :param id_map_path: Files that contain the id map (templated).
    :param id_map_file_format: As ``file_format``, for ``id_map_path``.
    :param id_map_csv_options: As ``csv_options``, for ``id_map_path``.
    :param max_linked_ids: Maximum number of linked ids per id, 1 to 1,000. Further ones are dropped and counted.
    :param adobe_target_conn_id: ID of the connection, of type ``adobe_target`` (templated).
    :param sync_log: Sync log of this task: ID of an Airflow connection, or a folder that contains a slash (templated).
        Default: that of the connection.
    :param api_version: ``v2`` creates profiles that do not exist, ``v1`` does not.
    :param guaranteed_upload: Wait in the worker until Adobe Target has finished a file before the next one is sent.
    :param max_concurrent_uploads: Maximum number of concurrent uploads, 1 to 10. With ``guaranteed_upload`` it is one.
    :param max_rows_per_file: Maximum number of rows per file, at most 499,999.
    :param max_bytes_per_file: Maximum size of an encoded file, below 50,000,000; with an id map at least 1,000,000.
    :param dry_run: Do everything except the calls.
    :param skip_invalid_records: If ``False``, the first invalid row (other than a duplicate) ends the task before
        anything is sent.
    :param max_invalid_pct: A higher percentage of invalid rows (other than duplicates) ends the task before anything is
        sent.
    :param max_rows_deviation_pct: If the number of rows read deviates from the median of the last 7 complete or partial
        runs of this task in the sync log by more than this percentage, the task ends before anything is sent. It is not
        compared if fewer than 3 runs are known, nor with ``limit_rows``.
    :param on_duplicate_id: Which row of an id is sent: ``first`` or ``last``. ``fail`` ends the task before anything is
        sent.
    :param on_risky_value: How a comma, CR or LF inside a value is handled: ``replace`` writes a space, ``reject``
        rejects the row, ``encode`` sends it with a warning, for accounts where a test has shown that this works.
    :param max_value_length: Maximum number of characters of a value. Rows with a longer value are rejected.
    :param rejects_path: Folder for rejected rows, local or in object storage (templated).
    :param on_no_rows: How a source without rows is handled: ``succeed`` with a warning, ``skip`` or ``fail``. If every
        row is rejected, the task fails, unless ``max_invalid_pct`` is 100.
    :param wait_for_completion: Wait until Adobe Target has finished all files, and evaluate their outcome.
    :param deferrable: Wait in the triggerer.
    :param poll_interval: Seconds, or a timedelta, before the first poll. The interval grows up to five times.
    :param timeout: Maximum wait as seconds or a timedelta. The task then fails with ``AirflowSensorTimeout``.
    :param max_failed_pct: Percentage of all rows, 0 to 100, that may have failed.
    :param max_not_found_pct: Percentage of all rows, 0 to 100, whose profile may not exist. ``None`` for no limit.
    :param max_failed_rows: Number of rows that may have failed. If ``max_failed_pct`` is 0, only this limit applies.
    :param max_not_found_rows: Number of rows whose profile may not exist.
    :param on_stuck: How a batch that Adobe Target does not complete is handled: ``fail``, or ``resubmit`` the same
        bytes once.
    :param on_status_lost: How a batch that Adobe Target no longer has is handled: as ``on_stuck``.
    :param durable: Keep a checkpoint of the files that Adobe Target accepted, so that a retry of the task sends only
        the others: in Airflow's task state store (3.3 and newer), or at ``checkpoint_path``.
    :param checkpoint_path: Path of a file for the checkpoint, local or in object storage, a different one for each task
        (templated).
    :param archive_path: Folder in which every batch file is kept before it is sent, for ``ReplayBatchesOperator``,
        local or in object storage (templated).
    :param ledger: Ledger of what Adobe Target was last confirmed to hold, to send only rows that differ (its ``path``,
        ``as_of`` and ``suppress`` are templated). It replaces the checkpoint.
    """

    template_fields: Sequence[str] = (
        *RowArguments.template_fields,
        "rejects_path",
        "checkpoint_path",
        "archive_path",
        *IdMapArguments.id_map_fields,
        "ledger",
    )
    template_fields_renderers = {**RowArguments.template_fields_renderers, "id_map_sql": "sql"}

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
        fallback_id_column: str | None = None,
        derived: DerivedAttributes | None = None,
        privacy: PrivacyOptions | None = None,
        limit_rows: int | None = None,
        id_map: Any = None,
        id_map_sql: str | None = None,
        id_map_path: Any = None,
        id_map_file_format: Literal["parquet", "csv", "ndjson"] | None = None,
        id_map_csv_options: Mapping[str, Any] | None = None,
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
        max_rows_deviation_pct: float | None = None,
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
        max_failed_rows: int | None = None,
        max_not_found_rows: int | None = None,
        on_stuck: Literal["fail", "resubmit"] = "fail",
        on_status_lost: Literal["fail", "resubmit"] = "fail",
        durable: bool = True,
        checkpoint_path: str | None = None,
        archive_path: str | None = None,
        ledger: ProfileLedger | None = None,
        sync_log: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(sync_log=sync_log, **kwargs)
        self._set_rows(
            sql=sql,
            sql_conn_id=sql_conn_id,
            parameters=parameters,
            data=data,
            path=path,
            file_format=file_format,
            csv_options=csv_options,
        )
        self.id_column = id_column
        self.id_type = id_type
        self.attributes = attributes
        self.attribute_case = attribute_case
        self.fallback_id_column = fallback_id_column
        self.derived = derived
        self.privacy = privacy
        self.limit_rows = limit_rows
        self._set_id_map(
            id_map=id_map,
            id_map_sql=id_map_sql,
            id_map_path=id_map_path,
            id_map_file_format=id_map_file_format,
            id_map_csv_options=id_map_csv_options,
            max_linked_ids=max_linked_ids,
        )
        self.adobe_target_conn_id = adobe_target_conn_id
        self.api_version = api_version
        self.guaranteed_upload = guaranteed_upload
        self.max_concurrent_uploads = max_concurrent_uploads
        self.max_rows_per_file = max_rows_per_file
        self.max_bytes_per_file = max_bytes_per_file
        self.is_dry_run = dry_run  # Airflow has a method of the argument's name
        self.skip_invalid_records = skip_invalid_records
        self.max_invalid_pct = max_invalid_pct
        self.max_rows_deviation_pct = max_rows_deviation_pct
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
        self.max_failed_rows = max_failed_rows
        self.max_not_found_rows = max_not_found_rows
        self.on_stuck = on_stuck
        self.on_status_lost = on_status_lost
        self.durable = durable
        self.checkpoint_path = checkpoint_path
        self.archive_path = archive_path
        self.ledger = ledger
        self._client_code: str | None = None
        check_task_arguments(self)
        check_ledger(self)

    @classmethod
    def from_treasure_data(cls, settings: Mapping[str, Any] | str | None = None, /, **arguments: Any) -> Self:
        """Create the operator from the settings of a Treasure Data export to Adobe Target.

        :param settings: JSON as text or as a dict. Settings may also be keyword arguments.
        :param arguments: Arguments of the operator, such as ``task_id`` and ``sql``. They override the settings.
        :raises ProfileDataError: If a setting has no counterpart. The message names it and the alternative.
        """
        export = read_export(settings, arguments, cls)
        operator = cls(**export.arguments)
        operator._client_code = export.client_code
        return operator

    def _check(self) -> None:
        self._profile_options()
        check_client_code(self._client_code, self.hook.settings.client_code)

    def _upload(self, context: Context, batches: Sequence[Batch] | None = None) -> BulkUpload:
        from airflow_provider_adobe_target.load.bulk_upload import BulkUpload
        from airflow_provider_adobe_target.load.output_files import write_rejects
        from airflow_provider_adobe_target.load.upload_options import UploadOutputs, UploadSource

        ti: Any = context["ti"]

        return BulkUpload(
            self.hook.session,
            UploadSource(self._rows, self._id_map, self._report_fields),
            self._profile_options(
                privacy_rules=self._privacy_rules(self.hook.settings),
                run_stamp=self._run_stamp(context),
                row_count_limit=self._row_count_limit(),
            ),
            options=self._upload_options(),
            limits=self._limits(),
            checkpoint=self._checkpoint(context, batches),
            ledger=self._ledger_stage(context),
            archive=self._archive(ti),
            outputs=UploadOutputs(
                on_batches=lambda batches: self._note_batches(ti, batches),
                on_report=lambda report: self._note_report(ti, report),
                statistics=self._recorder.attribute_statistics,
                on_attributes=lambda names: self._note_attributes(ti, names),
                sent_attributes=self._recorder.sent_attributes,
                rejects_path=self.rejects_path,
                write_rejects=lambda rejects, folder: write_rejects(rejects, folder, ti),
            ),
        )

    def _row_count_limit(self) -> RowCountLimit | None:
        from airflow_provider_adobe_target.profiles.row_counts import RowCountLimit

        limit = self.max_rows_deviation_pct
        return None if limit is None else RowCountLimit(limit, self._recorder.earlier_row_counts())

    def _archive(self, ti: Any) -> UploadArchive | None:
        if not self.archive_path or self.is_dry_run:
            return None
        from airflow_provider_adobe_target.load.archive import UploadArchive

        return UploadArchive(
            str(self.archive_path),
            ti,
            client_code=self.hook.settings.client_code,
            api_version=self.api_version,
            uses_ledger=self.ledger is not None,
        )

    def _rows(self, folder: Path) -> Rows:
        """Return the rows. Subclasses may spill to ``folder``."""
        return self._row_source.read()

    def _report_fields(self) -> Mapping[str, Any]:
        """Return further fields of the report, for subclasses."""
        return {}

    def _checkpoint(self, context: Context, batches: Sequence[Batch] | None = None) -> Checkpoint:
        """Return the checkpoint of earlier tries, or of the batches that were sent before the deferral."""
        from airflow_provider_adobe_target.load.checkpoint import Checkpoint
        from airflow_provider_adobe_target.load.checkpoint_store import checkpoint_store

        keeps = self.durable and not self.is_dry_run and self.ledger is None
        store = checkpoint_store(context, self.checkpoint_path) if keeps else None
        settings = self.hook.settings
        return Checkpoint(store, f"{settings.base_url} {settings.client_code} {self.api_version}", batches)

    def _accepted(self, context: Context) -> list[Batch]:
        return self._checkpoint(context).accepted
