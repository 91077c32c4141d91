"""Operator that sends batch files of an archive again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.argument_checks import check_choice
from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError, check_task_arguments, to_seconds
from airflow_provider_adobe_target.inputs.file_paths import path_texts
from airflow_provider_adobe_target.inputs.templating import parse_rendered
from airflow_provider_adobe_target.operators.batch_upload import BatchUploadOperator
from airflow_provider_adobe_target.version_compat import conf

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.protocol import ApiVersion
    from airflow_provider_adobe_target.load.archive import ManifestFile
    from airflow_provider_adobe_target.load.checkpoint import Checkpoint
    from airflow_provider_adobe_target.load.replay import ReplayUpload
    from airflow_provider_adobe_target.load.upload_options import UploadOptions
    from airflow_provider_adobe_target.version_compat import Context

_STATES = ("to_send", "sending", "submitted", "complete", "failed", "stuck", "status_lost", "torn")
_XCOM_KEY = "manifests"


class ReplayBatchesOperator(BatchUploadOperator):
    """Send batch files of an archive again, without the warehouse, and wait for the batches.

    The archive is written by ``BulkProfileUpdateOperator(archive_path=…)``. Each file is sent with the same bytes,
    after its checksum was verified. Its manifest then describes the new batch, so the next replay does not send it
    again, and a retry of this task sends only the files that Adobe Target has not accepted.

    A file has the values that the profiles had when it was archived. They overwrite newer ones.

    :param archive_path: Archive, a folder in it, a manifest, or a list of these, local or in object storage
        (templated).
    :param run_id: ID of the DAG run that archived the files (templated). Default: any.
    :param batches: Batches to send again: ids as a list or comma-separated, a report, or its ``batches`` (templated).
        Null or empty text means that ``statuses`` alone decides.
    :param statuses: States of the files to send: ``to_send``, ``sending``, ``submitted``, ``complete``, ``failed``
        (complete, but rows failed), ``stuck``, ``status_lost`` and ``torn`` (the number of rows differs). Default:
        those that did not end complete, which are ``to_send``, ``sending``, ``stuck``, ``status_lost`` and ``torn``.
        With ``batches``: any.
    :param adobe_target_conn_id: ID of the connection, of type ``adobe_target`` (templated). It must be for the account
        of the files.
    :param sync_log: Sync log of this task: ID of an Airflow connection, or a folder that contains a slash (templated).
        Default: that of the connection.
    :param api_version: ``v1`` or ``v2``. Default: the version with which the files were sent.
    :param guaranteed_upload: Wait in the worker until Adobe Target has finished a file before the next one is sent.
        Required for files of several DAG runs.
    :param max_concurrent_uploads: Maximum number of concurrent uploads, 1 to 10.
    :param dry_run: Choose and verify the files, but make no calls.
    :param on_no_rows: How an archive without such files is handled: ``succeed`` with a warning, ``skip`` or ``fail``.
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
    """

    template_fields: Sequence[str] = ("archive_path", "run_id", "batches", "adobe_target_conn_id", "sync_log")
    template_fields_renderers = {"batches": "json"}
    ui_color = "#f6e1e1"

    api_version: ApiVersion | None = None

    def __init__(
        self,
        *,
        archive_path: Any,
        run_id: str | None = None,
        batches: Any = None,
        statuses: Sequence[str] | None = None,
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        api_version: Literal["v1", "v2"] | None = None,
        guaranteed_upload: bool = False,
        max_concurrent_uploads: int = 2,
        dry_run: bool = False,
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
        sync_log: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(sync_log=sync_log, **kwargs)
        self.run_id = run_id
        self.batches = batches
        self.statuses = statuses
        self.adobe_target_conn_id = adobe_target_conn_id
        if api_version is not None:
            self.api_version = api_version
        self.guaranteed_upload = guaranteed_upload
        self.max_concurrent_uploads = max_concurrent_uploads
        self.is_dry_run = dry_run  # Airflow has a method of the argument's name
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
        self._files: Sequence[ManifestFile] = ()
        check_task_arguments(self)
        self.archive_path = archive_path  # after the checks, because it may be a list
        _check_statuses(statuses)

    def _check(self) -> None:
        if not self.archive_path:
            raise ProfileDataError("archive_path is empty.")

    def _upload(self, context: Context, batches: Sequence[Batch] | None = None) -> ReplayUpload:
        from airflow_provider_adobe_target.load.replay import ReplayUpload
        from airflow_provider_adobe_target.load.upload_options import UploadOutputs

        ti: Any = context["ti"]
        checkpoint = self._checkpoint(context, batches)
        return ReplayUpload(
            self.hook.session,
            self._files,
            options=self._upload_options(),
            limits=self._limits(),
            checkpoint=checkpoint,
            outputs=UploadOutputs(
                on_batches=lambda batches: self._note_batches(ti, batches),
                on_report=lambda report: self._note_report(ti, report),
            ),
        )

    def _checkpoint(self, context: Context, batches: Sequence[Batch] | None = None) -> Checkpoint:
        """Choose the files, and return the checkpoint that keeps their manifests up to date."""
        from airflow_provider_adobe_target.load.archive import TaskKey
        from airflow_provider_adobe_target.load.archived_files import ManifestStore
        from airflow_provider_adobe_target.load.checkpoint import Checkpoint

        task = TaskKey.of(context["ti"])
        names = None if batches is None else self._deferred_value(context, _XCOM_KEY)
        self._files = self._chosen(task) if names is None else _read(names)
        if self.deferrable and not self.is_dry_run and names is None:
            ti: Any = context["ti"]
            ti.xcom_push(key=_XCOM_KEY, value=[str(file.path) for file in self._files])
        account = f"{self.hook.settings.base_url} {self.hook.settings.client_code} {self._api_version}"
        store = None if self.is_dry_run else ManifestStore(self._files, task, account)
        return Checkpoint(store, account, batches)

    def _upload_options(self, **changes: Any) -> UploadOptions:
        return super()._upload_options(api_version=self._api_version, **changes)

    @property
    def _api_version(self) -> ApiVersion:
        from airflow_provider_adobe_target.load.replay import api_version_of

        return self.api_version or api_version_of(self._files)

    def _chosen(self, task: Any) -> list[ManifestFile]:
        from airflow_provider_adobe_target.load import archived_files

        files = archived_files.read_manifests(path_texts(self.archive_path))
        if self.run_id:
            files = [file for file in files if file.manifest.upload.run_id == self.run_id]
        if not self.is_dry_run:
            archived_files.update_states(files, self.hook.session)
        chosen = archived_files.chosen_files(files, batch_ids=self._batch_ids, statuses=self.statuses, task=task)
        archived_files.check_files(chosen, client_code=self.hook.settings.client_code, in_order=self.guaranteed_upload)
        archived_files.warn_of_later_files(files, chosen)
        return chosen

    @cached_property
    def _batch_ids(self) -> list[str] | None:
        if self.batches is None or (isinstance(self.batches, str) and self.batches.strip() in ("", "None")):
            return None
        return list(dict.fromkeys(_ids_of(self.batches)))

    def _accepted(self, context: Context) -> list[Batch]:
        return self._checkpoint(context).accepted


def _read(paths: Iterable[str]) -> list[ManifestFile]:
    from airflow_provider_adobe_target.load.archive import ManifestFile
    from airflow_provider_adobe_target.version_compat import ObjectStoragePath

    return [ManifestFile.read(ObjectStoragePath(path)) for path in paths]


def _check_statuses(statuses: Any) -> None:
    if statuses is None:
        return
    if isinstance(statuses, str) or not isinstance(statuses, Iterable):
        raise InvalidArgumentError("statuses must be a list.")
    try:
        for status in statuses:
            check_choice("statuses", status, _STATES)
    except ProfileDataError as error:
        raise InvalidArgumentError(str(error)) from None


def _ids_of(value: Any) -> Iterable[str]:
    """Yield batch ids.

    :raises ProfileDataError: If the value has none of the accepted forms.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith(("[", "{")):  # a list or a report, rendered by Jinja
            yield from _ids_of(parse_rendered("batches", text, "Pass batch ids."))
        else:
            yield from filter(None, map(str.strip, text.split(",")))
    elif isinstance(value, Mapping) and "batches" in value:
        yield from _ids_of(value["batches"])
    elif isinstance(value, Mapping):
        batch_id = value.get("batch_id")
        if not isinstance(batch_id, str):
            raise ProfileDataError("batches has an entry without a batch_id.")
        yield batch_id
    elif isinstance(value, Iterable):
        for item in value:
            yield from _ids_of(item)
    else:
        raise ProfileDataError(f"batches is {type(value).__name__}. Pass batch ids, a report, or its batches.")
