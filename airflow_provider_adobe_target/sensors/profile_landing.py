"""Seeing that what was sent is in the profiles."""

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
from airflow_provider_adobe_target.inputs.arguments import check_arguments, check_one_source, check_sql
from airflow_provider_adobe_target.inputs.empty_source import check_row_counts
from airflow_provider_adobe_target.inputs.row_source import resolve_rows
from airflow_provider_adobe_target.inputs.templating import RowsArgument, RowsPartial, with_hidden_rows
from airflow_provider_adobe_target.sensors.base import AdobeTargetSensor
from airflow_provider_adobe_target.version_compat import AirflowSensorTimeout, PokeReturnValue, conf

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate
    from airflow_provider_adobe_target.version_compat import Context


class ProfileLandingSensor(AdobeTargetSensor):
    """Wait until a sample of the rows that were sent is in Adobe Target's profiles.

    Give it the same rows, and the same choices about them, as the operator that sent them. A sample is drawn from
    these, by chance but the same each time, and each of its profiles is looked up. The sample is in memory while the
    sensor looks, and nowhere else; ids and rows are in a private temporary folder while it is drawn. In poke mode later
    looks take only the profiles that had not landed; deferrable and in reschedule mode the sample is drawn again, and
    all of it is looked up.

    :param sql: rows, as in ``BulkProfileUpdateOperator`` (templated, also a ``.sql`` file), and so are these:
        ``sql_conn_id``, ``parameters``, ``data``, ``path``, ``file_format``, ``csv_options``, ``id_column``,
        ``id_type``, ``attributes``, ``on_duplicate_id``, ``on_risky_value``, ``max_value_length`` and
        ``max_invalid_pct``
    :param on_no_rows: if the source has no rows: ``succeed`` with a warning, ``skip`` or ``fail``. If every row is
        rejected, the task fails, unless ``max_invalid_pct`` is 100
    :param sample_size: profiles to look up, 1 to 1,000
    :param seed: another one draws another sample
    :param min_landed_pct: the per cent of the sample, 0 to 100, that is to hold all that was sent. Adobe speaks of up
        to 0.1 % of rows that are lost without a word
    :param adobe_target_conn_id: the connection, of type ``adobe_target`` (templated)
    :param deferrable: wait in the triggerer
    :param poke_interval: seconds between two times of looking
    :param timeout: seconds until too few profiles end the task with ``AirflowSensorTimeout``. Adobe gives itself 24
        hours
    """

    template_fields: Sequence[str] = ("data", "sql", "parameters", "path", "sql_conn_id", "adobe_target_conn_id")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql", "parameters": "json"}
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
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        check_one_source({"data": data, "sql": sql, "path": path})
        check_sql("sql", sql)
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
        check_arguments(self)

    @classmethod
    def partial(cls, **arguments: Any) -> RowsPartial:  # type: ignore[override]  # Airflow's is a descriptor
        """Begin a mapped task, as with every sensor; rows given here are shown as ``<rows>``, too."""
        return RowsPartial(super().partial(**with_hidden_rows(arguments)))

    def execute(self, context: Context) -> Any:
        """Wait, in the way that was chosen.

        :returns: how many profiles were ``sampled``, how many have ``landed``, were ``not_found``, or are ``different``
        :raises AirflowSensorTimeout: where too few have landed at the ``timeout``
        :raises AirflowFailException: where a retry cannot help
        """
        self._ends_at = execution_end(self)
        self._deadline = self._started_at(context) + self.timeout
        return self._look_or_defer(context) if self.deferrable else super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any], ends_at: float | None = None) -> Any:
        """Go on after a wait in the triggerer; returns and raises as :meth:`execute`."""
        self._ends_at = ends_at
        check_execution_end(ends_at)
        self._deadline = event["deadline"]
        return self._look_or_defer(context)

    def _look_or_defer(self, context: Context) -> Any:
        done = self._as_poked(lambda: self.poke(context))
        if isinstance(done, PokeReturnValue):
            return done.xcom_value
        from airflow_provider_adobe_target.triggers.adobe_target import WaitUntilTrigger

        moment = earlier(min(clock.SYSTEM.now() + self.poke_interval, self._deadline), self._ends_at)
        return self.defer(
            trigger=WaitUntilTrigger(moment=moment, deadline=self._deadline),
            method_name="execute_complete",
            kwargs={"ends_at": self._ends_at},
            timeout=deferral_timeout(self._ends_at),
        )

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look up the profiles of the sample: all at first, then those that this process has not seen land."""
        with translate_errors():
            if self._missing is None:
                self._missing = self._draw()
                self._sampled = len(self._missing)
            account = self._look(self._missing)
            self.log.info("Of the sampled profiles: %s", account)
            if account["landed"] * 100 >= self.min_landed_pct * self._sampled:
                return PokeReturnValue(is_done=True, xcom_value=account)
            if clock.SYSTEM.now() >= self._deadline:
                raise AirflowSensorTimeout(
                    f"Too few of the sampled profiles hold what was sent, less than min_landed_pct="
                    f"{self.min_landed_pct}: {account}. Adobe takes up to 24 hours. Look at the status of the upload's "
                    "batches, and whether another upload has written other values since."
                )
            return False

    def _look(self, updates: Sequence[ProfileUpdate]) -> dict[str, int]:
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
        from airflow_provider_adobe_target.profiles.options import ProfileOptions
        from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
        from airflow_provider_adobe_target.profiles.sampling import draw_sample

        choices = (
            "id_column",
            "id_type",
            "attributes",
            "attribute_case",
            "on_duplicate_id",
            "on_risky_value",
            "max_value_length",
            "max_invalid_pct",
        )
        rules = ProfileOptions(**{name: getattr(self, name) for name in choices})
        rows = resolve_rows(
            self.data,
            self.sql,
            self.path,
            self.sql_conn_id,
            self.parameters,
            file_format=self.file_format,
            csv_options=self.csv_options,
        )
        with TempFolder() as folder:
            run = ProfilePipeline(rows, rules, folder)
            sample = draw_sample(run.profiles(), self.sample_size, self.seed)
        check_row_counts(run.rows_read, run.rows_rejected, self.on_no_rows, self.max_invalid_pct)
        self._id_type = run.id_type
        return sample
