"""Sensor for the status of batches, and the public names of all sensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.client.verdict import OutcomeLimits, evaluate_batches, outcome_of
from airflow_provider_adobe_target.exceptions import BatchTimeoutError, ProfileDataError
from airflow_provider_adobe_target.execution_timeout import (
    deferral_timeout,
    earlier,
    execution_end,
    raise_execution_timeout,
)
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.inputs.arguments import check_task_arguments
from airflow_provider_adobe_target.inputs.templating import parse_rendered
from airflow_provider_adobe_target.operators.ledger import LedgerArgument
from airflow_provider_adobe_target.operators.observers import update_asset_events
from airflow_provider_adobe_target.sensors.base import AdobeTargetSensor
from airflow_provider_adobe_target.sensors.profile_landing import ProfileLandingSensor
from airflow_provider_adobe_target.sensors.profile_token import ProfileTokenSensor
from airflow_provider_adobe_target.sync_log.decorator import recorded
from airflow_provider_adobe_target.version_compat import PokeReturnValue, conf

if TYPE_CHECKING:
    from airflow_provider_adobe_target.ledger import ProfileLedger
    from airflow_provider_adobe_target.version_compat import Context

__all__ = ["BatchStatusSensor", "ProfileLandingSensor", "ProfileTokenSensor", "read_batches"]


class BatchStatusSensor(LedgerArgument, AdobeTargetSensor):
    """Wait until Adobe Target has finished all batches of an upload, and evaluate their outcome.

    Poke, reschedule and deferrable mode have the same outcome and the same return value: the list of batches with
    their status and counters, as in the report of ``BulkProfileUpdateOperator``.

    :param batches: A report, its ``batches``, reports of mapped tasks, status URLs, or one status URL (templated).
    :param adobe_target_conn_id: ID of the connection, of type ``adobe_target`` (templated).
    :param sync_log: Sync log of this task: ID of an Airflow connection, or a folder that contains a slash (templated).
        Default: that of the connection.
    :param max_failed_pct: Percentage of all rows, 0 to 100, that may have failed.
    :param max_not_found_pct: Percentage of all rows, 0 to 100, whose profile may not exist (meaningful for v1).
        ``None`` for no limit.
    :param max_failed_rows: Number of rows that may have failed. If ``max_failed_pct`` is 0, only this limit applies.
    :param max_not_found_rows: Number of rows whose profile may not exist.
    :param rejects_path: Folder for the ids that Adobe Target refused, local or in object storage (templated). Default:
        the ``rejects_path`` of the upload, if ``batches`` contains its report.
    :param deferrable: Wait in the triggerer.
    :param poke_interval: Seconds between two polls.
    :param timeout: Maximum wait in seconds. The task then fails with ``AirflowSensorTimeout``.
    :param ledger: Ledger of the upload, whose rows the sensor confirms (its ``path`` is templated).
    """

    template_fields: Sequence[str] = ("batches", "adobe_target_conn_id", "rejects_path", "sync_log", "ledger")
    template_fields_renderers = {"batches": "json"}
    ui_color = "#f6e1e1"
    attribute_names: Sequence[str] = ()  # the report of an upload does not name them

    def __new__(cls, *arguments: Any, **_: Any) -> BatchStatusSensor:
        """Reject positional arguments with a message that names the argument, which Airflow's message does not."""
        if arguments:
            raise TypeError(f"batches must be a keyword argument: {cls.__name__}(task_id=…, batches=…).")
        return super().__new__(cls)

    def __init__(
        self,
        *,
        batches: Any,
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        max_failed_pct: float = 0.0,
        max_not_found_pct: float | None = None,
        max_failed_rows: int | None = None,
        max_not_found_rows: int | None = None,
        rejects_path: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 60,
        timeout: float | timedelta = 24 * 60 * 60,
        ledger: ProfileLedger | None = None,
        sync_log: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, sync_log=sync_log, **kwargs)
        self.batches = batches
        self.ledger = ledger
        self.adobe_target_conn_id = adobe_target_conn_id
        self.max_failed_pct = max_failed_pct
        self.max_not_found_pct = max_not_found_pct
        self.max_failed_rows = max_failed_rows
        self.max_not_found_rows = max_not_found_rows
        self.rejects_path = rejects_path
        self.deferrable = deferrable
        self._polled: list[Batch] | None = None
        self._deadline = math.inf
        check_task_arguments(self)

    @recorded
    def execute(self, context: Context) -> Any:
        """Wait in the chosen mode."""
        ends_at = execution_end(self)
        self._deadline = self._started_at(context) + self.timeout
        if not self.deferrable:
            return super().execute(context)
        done = self._as_poked(lambda: self.poke(context))
        if isinstance(done, PokeReturnValue):
            return done.xcom_value
        from airflow_provider_adobe_target.triggers.adobe_target import BatchStatusTrigger
        from airflow_provider_adobe_target.triggers.packing import pack_statuses, pack_urls

        polled = self._polled or []
        return self.defer(
            trigger=BatchStatusTrigger(
                adobe_target_conn_id=self.adobe_target_conn_id,
                batches=pack_urls([batch for batch in polled if not batch.final]),
                poll_interval=self.poke_interval,
                deadline=earlier(self._deadline, ends_at),
                # Not as arguments of execute_complete, which dag.test() drops.
                report={
                    "statuses": pack_statuses(polled),
                    "is_execution_timeout": ends_at is not None and ends_at <= self._deadline,
                },
            ),
            method_name="execute_complete",
            timeout=deferral_timeout(ends_at),
        )

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Request the status of each batch that is not final, once."""
        ends_at = self._rescheduled_end(context)
        with translate_errors():
            _ = self._limits  # validated before the first call
            if self._polled is None:
                self._polled = read_batches(self.batches)
            self._polled = self._poll(self._polled, ends_at)
            self._recorder.observed(self._polled)
            if not all(batch.final for batch in self._polled):
                return False
            return PokeReturnValue(is_done=True, xcom_value=self._evaluate(context, self._polled))

    def _poll(self, batches: Sequence[Batch], ends_at: float | None) -> list[Batch]:
        try:
            return self.hook.session.poll(batches, earlier(self._deadline, ends_at))
        except BatchTimeoutError as error:
            if ends_at is not None and ends_at <= self._deadline:
                raise_execution_timeout(str(error))
            raise

    @recorded
    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Evaluate the batches with the statuses from the trigger and from before the deferral."""
        from airflow_provider_adobe_target.triggers.adobe_target import batches_of_event, raise_error_of_event
        from airflow_provider_adobe_target.triggers.packing import with_statuses

        before = event.get("report") or {}

        def judge_event() -> list[dict[str, Any]]:
            with translate_errors():
                raise_error_of_event(event, before.get("is_execution_timeout", False))
                batches = batches_of_event(event, lambda: with_statuses(read_batches(self.batches), before["statuses"]))
                self._recorder.observed(batches)
                return self._evaluate(context, batches)

        landed: list[dict[str, Any]] = self._as_poked(judge_event)
        return landed

    @property
    def _limits(self) -> OutcomeLimits:
        return OutcomeLimits(self.max_failed_pct, self.max_not_found_pct, self.max_failed_rows, self.max_not_found_rows)

    def _evaluate(self, context: Context, batches: Sequence[Batch]) -> list[dict[str, Any]]:
        from airflow_provider_adobe_target.load.archive import note_statuses

        self._keep_refused_ids(context, batches)
        note_statuses(_reports(self.batches), batches)
        if self.ledger is not None:
            from airflow_provider_adobe_target.load.ledger_stage import settle_batches

            settle_batches(self.ledger, self.hook.session, batches)
        for warning in evaluate_batches(batches, self._limits):
            self.log.warning(warning)
        self._describe_outlets(context, batches)
        return [batch.to_dict() for batch in batches]

    def _describe_outlets(self, context: Context, batches: Sequence[Batch]) -> None:
        """Add the counts of the upload to the events of ``adobetarget://`` outlets, if ``batches`` has its report."""
        reports = list(_reports(self.batches))
        if not self.outlets or not reports:
            return
        counts = {name: sum(report.get(name) or 0 for report in reports) for name in ("rows_sent", "rows_rejected")}
        end = {"batches": [b.to_dict() for b in batches], "outcome": outcome_of(batches, counts["rows_rejected"])}
        try:
            update_asset_events(self, context, {**reports[0], **counts, **end})
        except Exception as error:
            self.log.warning("The asset events of the task are incomplete: %s: %s", type(error).__name__, error)

    def _keep_refused_ids(self, context: Context, batches: Sequence[Batch]) -> None:
        from airflow_provider_adobe_target.load.refused_ids import id_column_of, rejects_folder, write_refused_ids

        reports = list(_reports(self.batches))
        folder = self.rejects_path or rejects_folder(reports)
        if not folder:
            return
        try:
            write_refused_ids(self.hook.session, batches, id_column_of(reports, len(batches)), folder, context["ti"])
        except Exception as error:  # the evaluation of the batches matters more
            self.log.warning("The ids that Adobe Target refused cannot be kept: %s", error)


def read_batches(value: Any) -> list[Batch]:
    """Return the batches of reports, entries of ``batches``, or status URLs: one or many, or their text.

    :raises ProfileDataError: If the value is none of these.
    """
    return list(_batches(value))


def _batches(value: Any) -> Iterator[Batch]:
    if isinstance(value, Batch):
        yield value
    elif value is None or value == {} or (isinstance(value, str) and value.strip() in ("", "None", "null")):
        raise ProfileDataError(
            "The upload has no report: batches is empty. The upload was skipped, or failed before it sent anything. "
            "Run the sensor only after a success (trigger_rule='all_success'), or clear the upload."
        )
    elif isinstance(value, str):
        text = value.strip()
        if text.startswith(("[", "{")):  # a list or a report, rendered by Jinja
            yield from _batches(parse_rendered("batches", text, "Pass upload.output."))
        elif text.lower().startswith(("http://", "https://")):
            yield Batch.from_status_url(text)
        else:
            raise ProfileDataError("batches is text that is neither a status URL nor a report. Pass upload.output.")
    elif isinstance(value, Mapping):
        if "batches" in value:
            yield from _batches(value["batches"])
        elif "status_url" in value:
            yield Batch.from_dict(value)
        else:
            raise ProfileDataError("batches has a dict without batches or status_url. Pass upload.output.")
    elif isinstance(value, Iterable):
        for item in value:
            yield from _batches(item)
    else:
        raise ProfileDataError(
            f"batches is {type(value).__name__}, not a report, its batches or status URLs. Pass upload.output."
        )


def _reports(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the reports in a value that :func:`read_batches` accepts."""
    if isinstance(value, str):
        value = parse_rendered("batches", value, "Pass upload.output.") if value.strip().startswith(("[", "{")) else ()
    if isinstance(value, Mapping):
        if value.get("batches") is not None:
            yield value
    elif isinstance(value, Iterable) and not isinstance(value, Batch):
        for item in value:
            yield from _reports(item)
