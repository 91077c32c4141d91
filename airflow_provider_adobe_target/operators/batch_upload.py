"""Base class of the operators that upload batch files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.client.verdict import OutcomeLimits
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.execution_timeout import deferral_timeout, earlier, execution_end
from airflow_provider_adobe_target.links.adobe_target import ActivitiesLink, BatchStatusLink, push_links
from airflow_provider_adobe_target.operators.base import AdobeTargetOperator, exclusive_run
from airflow_provider_adobe_target.operators.observers import Observed, observed

if TYPE_CHECKING:
    from airflow_provider_adobe_target.load.file_upload import FileUpload
    from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadResult
    from airflow_provider_adobe_target.version_compat import Context


class BatchUploadOperator(Observed, AdobeTargetOperator):
    """Operator that uploads batch files, waits for the batches in the worker or the triggerer, and evaluates them.

    Constructors declare, document and assign the arguments.
    """

    operator_extra_links = (*AdobeTargetOperator.operator_extra_links, BatchStatusLink(), ActivitiesLink())

    deferrable: bool
    is_dry_run: bool
    poll_interval: float
    timeout: float
    max_failed_pct: float
    max_not_found_pct: float | None
    max_failed_rows: int | None
    max_not_found_rows: int | None
    _file_upload: FileUpload | None = None
    _ends_at: float | None = None

    @observed
    def execute(self, context: Context) -> dict[str, Any]:
        """Send the files, and wait for the batches.

        :return: Report with row counts by outcome and the batches with their status. It contains no values of rows.
        :raises AirflowFailException: If a retry cannot help.
        :raises AirflowSensorTimeout: If a batch is not final after the ``timeout``.
        :raises AdobeTargetUnavailableError: If Adobe Target returns no usable response.
        :raises OSError: If the disk is full.
        """
        self._ends_at = execution_end(self)
        with translate_errors():
            self._limits(), self._upload_options()  # validated before the connection is used
            self._check()
            with self._exclusive_run(context):
                return self._started(self._upload(context)).run(self._wait)

    @observed
    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Evaluate the batches after the deferral; returns and raises as :meth:`execute`."""
        from airflow_provider_adobe_target.triggers.adobe_target import batches_of_event, raise_error_of_event

        before = event["report"]
        self._ends_at = before["ends_at"]
        with translate_errors():
            batches = batches_of_event(event, lambda: self._deferred_batches(context))
            self.attribute_names = self._deferred_value(context, "attributes") or ()
            upload = self._started(self._upload(context, batches))
            if "error" in event:
                if batches:
                    upload.record(batches)
                raise_error_of_event(event, before["is_execution_timeout"])
            if not upload.schedule_resubmission(batches):
                return upload.finish(before["report"], batches)
            with self._exclusive_run(context):  # the deferral released the lock
                return upload.run(self._wait)

    @abstractmethod
    def _check(self) -> None:
        """Check the arguments before anything is sent.

        :raises AdobeTargetError: If an argument is invalid.
        """

    @abstractmethod
    def _upload(self, context: Context, batches: Sequence[Batch] | None = None) -> FileUpload:
        """Return the upload.

        :param batches: All batches, after a deferral. Default: those of the checkpoint.
        """

    @abstractmethod
    def _accepted(self, context: Context) -> list[Batch]:
        """Return the batches that the checkpoint contains."""

    def _started(self, upload: FileUpload) -> FileUpload:
        self._file_upload = upload
        return upload

    def on_kill(self) -> None:
        """Remove the batch files. Airflow 3 ends a killed task some seconds later, without further notice."""
        if self._file_upload:
            self._file_upload.remove_files()

    def _exclusive_run(self, context: Context) -> AbstractContextManager[None]:
        return nullcontext() if self.is_dry_run else exclusive_run(self, context, self.hook.settings)

    def _note_batches(self, ti: Any, batches: Sequence[Batch]) -> None:
        if batches:  # an empty list means success without rows, see _note_report()
            ti.xcom_push(key="batches", value=[batch.to_dict() for batch in batches])
        push_links(ti, self.hook.settings.tenant_id, batches)
        self._recorder.accepted(batches)

    def _note_report(self, ti: Any, report: Mapping[str, Any]) -> None:
        if not report["batches"]:
            ti.xcom_push(key="batches", value=[])
        self._recorder.sent(report)

    def _note_attributes(self, ti: Any, names: Sequence[str]) -> None:
        """Keep the names of the attributes, in XCom if the task may be deferred."""
        self.attribute_names = names
        if self.deferrable and not self.is_dry_run:
            ti.xcom_push(key="attributes", value=list(names))

    def _upload_options(self, **changes: Any) -> UploadOptions:
        """Return the options of the upload: the arguments of the same names.

        :param changes: Options that differ from the arguments.
        :raises ProfileDataError: If an option has an invalid value.
        """
        from airflow_provider_adobe_target.load.upload_options import UploadOptions

        names = {field.name: field.name for field in fields(UploadOptions)} | {"dry_run": "is_dry_run"}
        values = {name: getattr(self, attribute) for name, attribute in names.items()}
        return UploadOptions(**{**values, **changes})

    def _limits(self) -> OutcomeLimits:
        return OutcomeLimits(self.max_failed_pct, self.max_not_found_pct, self.max_failed_rows, self.max_not_found_rows)

    def _deferred_batches(self, context: Context) -> list[Batch]:
        """Return the batches as they were before the deferral: from XCom, or from the checkpoint."""
        entries = self._deferred_value(context, "batches")
        if entries:
            return [Batch.from_dict(entry) for entry in entries]
        return self._accepted(context)

    @staticmethod
    def _deferred_value(context: Context, key: str) -> Any:
        """Return what the task pushed to XCom before the deferral."""
        ti: Any = context["ti"]
        return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)

    def _wait(self, result: UploadResult) -> list[Batch]:
        """Wait in the worker, or defer the task."""
        if not self.deferrable:
            assert self._file_upload is not None  # noqa: S101  # nosec B101  # for the type checker
            return self._file_upload.wait(result)
        from airflow_provider_adobe_target.triggers.adobe_target import BatchStatusTrigger
        from airflow_provider_adobe_target.triggers.packing import pack_urls

        deadline, ends_at = clocks.SYSTEM.now() + self.timeout, self._ends_at
        return self.defer(  # it raises
            trigger=BatchStatusTrigger(
                adobe_target_conn_id=self.adobe_target_conn_id,
                batches=pack_urls(result.pending),
                poll_interval=self.poll_interval,
                deadline=earlier(deadline, ends_at),
                # Not as arguments of execute_complete, which dag.test() drops.
                report={
                    "report": {name: value for name, value in result.report.items() if name != "batches"},
                    "ends_at": ends_at,
                    "is_execution_timeout": ends_at is not None and ends_at <= deadline,
                },
            ),
            method_name="execute_complete",
            timeout=deferral_timeout(ends_at),
        )
