"""Sensor that verifies a sample of sent rows in the profiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder
from airflow_provider_adobe_target.execution_timeout import (
    check_execution_end,
    deferral_timeout,
    earlier,
    execution_end,
)
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.inputs.arguments import check_task_arguments
from airflow_provider_adobe_target.inputs.empty_source import check_row_counts
from airflow_provider_adobe_target.inputs.row_arguments import RowArguments
from airflow_provider_adobe_target.sensors.base import AdobeTargetSensor
from airflow_provider_adobe_target.sync_log.decorator import recorded
from airflow_provider_adobe_target.version_compat import AirflowSensorTimeout, PokeReturnValue, conf

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate
    from airflow_provider_adobe_target.version_compat import Context


class ProfileLandingSensor(RowArguments, AdobeTargetSensor):  # type: ignore[misc]  # partial() is a descriptor
    """Wait until the profiles of a sample of the sent rows have the values that were sent.

    Pass the same rows and options as to the operator that sent them. The sample is random but deterministic, and each
    of its profiles is looked up. It is kept in memory only; while it is drawn, ids and rows are in a private temporary
    folder. In poke mode, later pokes look up only the profiles that had not landed. In deferrable and reschedule mode,
    the sample is drawn again, and all of its profiles are looked up.

    :param sql: Rows, as in ``BulkProfileUpdateOperator`` (templated, also a ``.sql`` file). The same applies to
        ``sql_conn_id``, ``parameters``, ``data``, ``path``, ``file_format``, ``csv_options``, ``id_column``,
        ``id_type``, ``attributes``, ``attribute_case``, ``on_duplicate_id``, ``on_risky_value``, ``max_value_length``
        and ``max_invalid_pct``.
    :param on_no_rows: How a source without rows is handled: ``succeed`` with a warning, ``skip`` or ``fail``. If every
        row is rejected, the task fails, unless ``max_invalid_pct`` is 100.
    :param sample_size: Number of profiles to look up, 1 to 1,000.
    :param seed: Seed of the sample.
    :param min_landed_pct: Percentage of the sample, 0 to 100, that must have all values that were sent. According to
        Adobe, up to 0.1 % of rows may be lost without an error.
    :param adobe_target_conn_id: ID of the connection, of type ``adobe_target`` (templated).
    :param sync_log: Sync log of this task: ID of an Airflow connection, or a folder that contains a slash (templated).
        Default: that of the connection.
    :param deferrable: Wait in the triggerer.
    :param poke_interval: Seconds between two pokes.
    :param timeout: Maximum wait in seconds. The task then fails with ``AirflowSensorTimeout``. Adobe documents up to 24
        hours.
    """

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
        on_duplicate_id: Literal["first", "last", "fail"] = "first",
        on_risky_value: Literal["replace", "reject", "encode"] = "replace",
        max_value_length: int = 5_000,
        max_invalid_pct: float | None = None,
        on_no_rows: Literal["succeed", "skip", "fail"] = "succeed",
        sample_size: int = 100,
        seed: int = 0,
        min_landed_pct: float = 99.0,
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 30 * 60,
        timeout: float | timedelta = 24 * 60 * 60,
        sync_log: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, sync_log=sync_log, **kwargs)
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
        self.on_duplicate_id = on_duplicate_id
        self.on_risky_value = on_risky_value
        self.max_value_length = max_value_length
        self.max_invalid_pct = max_invalid_pct
        self.on_no_rows = on_no_rows
        self.sample_size = sample_size
        self.seed = seed
        self.min_landed_pct = min_landed_pct
        self.adobe_target_conn_id = adobe_target_conn_id
        self.deferrable = deferrable
        self._missing: list[ProfileUpdate] | None = None
        self._sampled = 0
        self._id_type: Any = None
        self._deadline = math.inf
        self._ends_at: float | None = None
        check_task_arguments(self)

    @recorded
    def execute(self, context: Context) -> Any:
        """Wait in the chosen mode.

        :return: Numbers of profiles that were ``sampled``, have ``landed``, were ``not_found``, or are ``different``.
        :raises AirflowSensorTimeout: If too few profiles have landed after the ``timeout``.
        :raises AirflowFailException: If a retry cannot help.
        """
        self._ends_at = execution_end(self)
        self._deadline = self._started_at(context) + self.timeout
        return self._look_or_defer(context) if self.deferrable else super().execute(context)

    @recorded
    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Look up the sample again after the deferral; returns and raises as :meth:`execute`."""
        self._ends_at = event.get("ends_at")
        check_execution_end(self._ends_at)
        self._deadline = event["deadline"]
        return self._look_or_defer(context)

    def _look_or_defer(self, context: Context) -> Any:
        done = self._as_poked(lambda: self.poke(context))
        if isinstance(done, PokeReturnValue):
            return done.xcom_value
        from airflow_provider_adobe_target.triggers.adobe_target import WaitUntilTrigger

        moment = earlier(min(clock.SYSTEM.now() + self.poke_interval, self._deadline), self._ends_at)
        return self.defer(
            trigger=WaitUntilTrigger(moment=moment, deadline=self._deadline, ends_at=self._ends_at),
            method_name="execute_complete",
            timeout=deferral_timeout(self._ends_at),
        )

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look up the profiles of the sample, without those that an earlier poke of this process found up to date."""
        self._rescheduled_end(context)
        with translate_errors():
            if self._missing is None:
                self._missing = self._draw()
                self._sampled = len(self._missing)
            counts = self._look_up_all(self._missing)
            self.log.info("Of the sampled profiles: %s", counts)
            if counts["landed"] * 100 >= self.min_landed_pct * self._sampled:
                return PokeReturnValue(is_done=True, xcom_value=counts)
            if clock.SYSTEM.now() >= self._deadline:
                raise AirflowSensorTimeout(
                    f"Too few of the sampled profiles have the values that were sent (min_landed_pct="
                    f"{self.min_landed_pct}): {counts}. Adobe may take up to 24 hours. Check the status of the "
                    "upload's batches, and whether another upload has written other values since."
                )
            return False

    def _look_up_all(self, updates: Sequence[ProfileUpdate]) -> dict[str, int]:
        ends = [self._look_up(update) for update in updates]
        self._missing = [update for update, end in zip(updates, ends, strict=True) if end != "landed"]
        return {
            "sampled": self._sampled,
            "landed": self._sampled - len(self._missing),
            "not_found": ends.count("not_found"),
            "different": ends.count("different"),
        }

    def _look_up(self, update: ProfileUpdate) -> str:
        profile = self.hook.get_profile(update.profile_id, self._id_type)
        if profile is None:
            return "not_found"
        found = profile.values
        landed = all(found.get(name) == text for name, text in update.attributes.items())
        return "landed" if landed else "different"

    def _draw(self) -> list[ProfileUpdate]:
        from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
        from airflow_provider_adobe_target.profiles.sampling import draw_sample

        rows = self._row_source.read()
        with TempFolder() as folder:
            run = ProfilePipeline(rows, self._profile_options(), folder)
            sample = draw_sample(run.profiles(), self.sample_size, self.seed)
        check_row_counts(run.rows_read, run.rows_rejected, self.on_no_rows, self.max_invalid_pct)
        self._id_type = run.id_type
        return sample
