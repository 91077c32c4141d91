"""Operator that updates profiles with one call each."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.client.rate_limit.daily import CALLS_PER_DAY, CALLS_PER_SECOND
from airflow_provider_adobe_target.client.verdict import outcome_of
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder
from airflow_provider_adobe_target.exceptions import ProfileDataError, ProfileNotFoundError
from airflow_provider_adobe_target.execution_timeout import (
    check_execution_end,
    deferral_timeout,
    earlier,
    execution_end,
)
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError, check_task_arguments, to_seconds
from airflow_provider_adobe_target.inputs.empty_source import check_row_counts
from airflow_provider_adobe_target.inputs.id_map_arguments import IdMapArguments
from airflow_provider_adobe_target.inputs.row_arguments import RowArguments
from airflow_provider_adobe_target.inputs.templating import HiddenTemplate, HidingPartial, with_hidden_profile
from airflow_provider_adobe_target.operators.base import AdobeTargetOperator
from airflow_provider_adobe_target.operators.ledger import LedgerArgument, check_ledger
from airflow_provider_adobe_target.operators.observers import Observed, observed
from airflow_provider_adobe_target.version_compat import AirflowSensorTimeout, AirflowSkipException, conf

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_adobe_target.derived_attributes import DerivedAttributes
    from airflow_provider_adobe_target.ledger import ProfileLedger
    from airflow_provider_adobe_target.load.ledger_stage import LedgerStage
    from airflow_provider_adobe_target.load.row_updates import RowUpdates, UpdateRate
    from airflow_provider_adobe_target.profiles.id_map import IdMap
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
    from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate
    from airflow_provider_adobe_target.profiles.rejects import Rejects
    from airflow_provider_adobe_target.version_compat import Context

_NOT_FOUND = (
    "Adobe Target has no profile with this id, and a single update does not create one. A new profile may take up to "
    "an hour to exist. By default, it expires after 14 days without activity. "
)


class SingleProfileUpdateOperator(Observed, LedgerArgument, IdMapArguments, RowArguments, AdobeTargetOperator):
    """Update the profile of one visitor, or of many visitors, with one call per profile. No profiles are created.

    Names and values are checked and written as in ``BulkProfileUpdateOperator``: nested dicts become dotted names,
    lists are joined with ``|``, nulls and empty text are omitted. If no attribute is left, no call is made.

    :param profile_id: Id of the profile (templated; displayed in Airflow as ``<hidden>``). Give exactly one of
        ``profile_id``, ``data``, ``sql`` and ``path``.
    :param id_type: ``thirdPartyId``, the default, or ``pcId``. For rows as in ``BulkProfileUpdateOperator``.
    :param attributes: Dict of names, without ``profile.``, and values (templated; displayed in Airflow as
        ``<hidden>``). For rows the columns to send, as in ``BulkProfileUpdateOperator``.
    :param attribute_case: As in ``BulkProfileUpdateOperator``.
    :param derived: Further attributes of each row, as in ``BulkProfileUpdateOperator``. Not with ``profile_id``.
    :param if_not_found: How a missing profile is handled: ``fail``, ``skip`` the task, ``wait`` until it exists, or
        ``send`` without a look-up. With rows, all other rows are sent, then the task fails (``fail``), succeeds
        (``skip``), or looks up the missing profiles again in the worker (``wait``).
    :param adobe_target_conn_id: ID of the connection, of type ``adobe_target`` (templated).
    :param sync_log: Sync log of this task: ID of an Airflow connection, or a folder that contains a slash (templated).
        Default: that of the connection.
    :param max_value_length: Maximum number of characters of a value.
    :param dry_run: Do everything except the calls.
    :param deferrable: Wait for the one profile in the triggerer.
    :param poll_interval: Seconds, or a timedelta, between two look-ups of a missing profile.
    :param timeout: Maximum wait for missing profiles as seconds or a timedelta. The task then fails with
        ``AirflowSensorTimeout``.
    :param sql: Rows, as in ``BulkProfileUpdateOperator`` (templated, also a ``.sql`` file). The same applies to
        ``sql_conn_id``, ``parameters``, ``data``, ``path``, ``file_format``, ``csv_options``, ``id_column``,
        ``skip_invalid_records``, ``max_invalid_pct``, ``on_duplicate_id``, ``rejects_path`` and ``on_no_rows``.
    :param id_map: Further ids of the same people, updated after the rows, as in ``BulkProfileUpdateOperator``.
        The same applies to ``id_map_sql`` and ``id_map_path`` (templated), ``id_map_file_format``,
        ``id_map_csv_options`` and ``max_linked_ids``.
    :param updates_per_second: Maximum number of updates of rows, and of look-ups, per second; at most 1,000.
    :param updates_per_day: Maximum number of updates that one try of the task starts in any 24 hours. The account has
        one million.
    :param max_concurrent_updates: Maximum number of concurrent updates, 1 to 32.
    :param switch_to_bulk_above: Number of rows above which a warning recommends the bulk operator. ``None`` for no
        warning.
    :param ledger: Ledger of what Adobe Target was last confirmed to hold, so that unchanged rows are not sent; not with
        ``on_missing="marker"`` (its ``path``, ``as_of`` and ``suppress`` are templated).
    """

    template_fields: Sequence[str] = (
        "profile_id",
        "attributes",
        *RowArguments.template_fields,
        "rejects_path",
        *IdMapArguments.id_map_fields,
        "ledger",
    )
    template_fields_renderers = {**RowArguments.template_fields_renderers, "id_map_sql": "sql"}

    on_risky_value: Any = "encode"  # commas and line breaks are not delimiters in a single update

    def __init__(
        self,
        *,
        profile_id: Any = None,
        id_type: Literal["thirdPartyId", "pcId"] | None = None,
        attributes: Mapping[str, Any] | Sequence[str] | None = None,
        attribute_case: Literal["keep", "lower"] = "keep",
        derived: DerivedAttributes | None = None,
        if_not_found: Literal["fail", "skip", "send", "wait"] = "fail",
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        max_value_length: int = 5_000,
        dry_run: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 5 * 60,
        timeout: float | timedelta = 2 * 60 * 60,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Iterable[Any] | Mapping[str, Any] | None = None,
        data: Any = None,
        path: Any = None,
        file_format: Literal["parquet", "csv", "ndjson"] | None = None,
        csv_options: Mapping[str, Any] | None = None,
        id_column: str | None = None,
        skip_invalid_records: bool = True,
        max_invalid_pct: float | None = None,
        on_duplicate_id: Literal["first", "last", "fail"] = "first",
        rejects_path: str | None = None,
        on_no_rows: Literal["succeed", "skip", "fail"] = "succeed",
        id_map: Any = None,
        id_map_sql: str | None = None,
        id_map_path: Any = None,
        id_map_file_format: Literal["parquet", "csv", "ndjson"] | None = None,
        id_map_csv_options: Mapping[str, Any] | None = None,
        max_linked_ids: int = 10,
        updates_per_second: float = CALLS_PER_SECOND,
        updates_per_day: int = CALLS_PER_DAY,
        max_concurrent_updates: int = 8,
        switch_to_bulk_above: int | None = 10_000,
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
            alternatives={"profile_id": profile_id},
        )
        self._set_id_map(
            id_map=id_map,
            id_map_sql=id_map_sql,
            id_map_path=id_map_path,
            id_map_file_format=id_map_file_format,
            id_map_csv_options=id_map_csv_options,
            max_linked_ids=max_linked_ids,
        )
        self.profile_id = self._hidden(profile_id)
        self.id_type = id_type
        self.attributes = self._hidden(attributes)
        self.attribute_case = attribute_case
        self.derived = derived
        self.if_not_found = if_not_found
        self._ends_at: float | None = None
        self.adobe_target_conn_id = adobe_target_conn_id
        self.max_value_length = max_value_length
        self.is_dry_run = dry_run  # Airflow has a method of the argument's name
        self.deferrable = deferrable
        self.poll_interval = to_seconds("poll_interval", poll_interval)
        self.timeout = to_seconds("timeout", timeout)
        self.id_column = id_column
        self.skip_invalid_records = skip_invalid_records
        self.max_invalid_pct = max_invalid_pct
        self.on_duplicate_id = on_duplicate_id
        self.rejects_path = rejects_path
        self.on_no_rows = on_no_rows
        self.updates_per_second = updates_per_second
        self.updates_per_day = updates_per_day
        self.max_concurrent_updates = max_concurrent_updates
        self.switch_to_bulk_above = switch_to_bulk_above
        self.ledger = ledger
        check_task_arguments(self)
        check_ledger(self)
        if ledger is not None and profile_id is not None:
            raise InvalidArgumentError("ledger needs rows: data, sql or path. It cannot be combined with profile_id.")
        if profile_id is not None and self._id_map_source.is_given:
            raise InvalidArgumentError("id_map needs rows: data, sql or path. It cannot be combined with profile_id.")
        if profile_id is not None and derived is not None:
            raise InvalidArgumentError("derived needs rows: data, sql or path. It cannot be combined with profile_id.")

    @classmethod
    def partial(cls, **arguments: Any) -> HidingPartial:  # type: ignore[override]  # Airflow's is a descriptor
        """Start a mapped task, as with every operator. Profile values and rows are hidden."""
        return HidingPartial(super().partial(**with_hidden_profile(arguments)))

    @observed
    def execute(self, context: Context) -> dict[str, Any]:
        """Update the profile, or the profiles.

        :return: Report with row counts by outcome. It contains no values.
        :raises AirflowFailException: If a retry cannot help.
        :raises AirflowSkipException: If the profile does not exist and ``if_not_found`` is ``skip``.
        :raises AirflowSensorTimeout: If ``if_not_found`` is ``wait`` and there is no profile after the ``timeout``.
        :raises AdobeTargetUnavailableError: If Adobe Target returns no usable response.
        """
        self._ends_at = execution_end(self)
        with translate_errors():
            if self._row_source.is_given:
                return self._update_rows(context)
            return self._update_one(clocks.SYSTEM.now() + self.timeout)

    @observed
    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Look up the profile again after the deferral; returns and raises as :meth:`execute`."""
        self._ends_at = event.get("ends_at")
        check_execution_end(self._ends_at)
        with translate_errors():
            return self._update_one(event["deadline"])

    # --- one profile ------------------------------------------------------------------------------------------

    def _update_one(self, deadline: float) -> dict[str, Any]:
        from airflow_provider_adobe_target.load.single_update import prepare_update

        rules = self._privacy_rules(self.hook.settings)
        options = self._profile_options(id_type=self._one_id_type, attributes=None, privacy_rules=rules)
        pipeline, update = prepare_update(
            self.profile_id.value,
            self._one_attributes(),
            options,
            max_update_bytes=self._max_update_bytes(),
            statistics=self._recorder.attribute_statistics(),
        )
        if update and not self.is_dry_run:
            if self.if_not_found != "send":
                self._find(update, deadline)
            self._update(update)
            self.log.info("Adobe Target accepted an update of %s attributes.", len(update.attributes))
        return self._report(pipeline, None)

    def _update(self, update: ProfileUpdate) -> None:
        self.hook.update_profile(update.profile_id, update.attributes, self._one_id_type)

    def _find(self, update: ProfileUpdate, deadline: float) -> None:
        """Look up the profile until it exists, or handle its absence as ``if_not_found`` requires."""
        clock = clocks.SYSTEM
        while not self.hook.get_profile(update.profile_id, self._one_id_type, deadline=deadline):
            if self.if_not_found == "skip":
                raise AirflowSkipException(_NOT_FOUND)
            if self.if_not_found == "fail":
                raise ProfileNotFoundError(f"{_NOT_FOUND}With if_not_found='wait' the task waits for the profile.")
            if clock.now() + self.poll_interval > deadline:
                raise AirflowSensorTimeout(f"{_NOT_FOUND}It did not exist after {self.timeout:,.0f} seconds.")
            self.log.info("The profile does not exist yet. Next look-up in %.0f seconds.", self.poll_interval)
            if self.deferrable:
                from airflow_provider_adobe_target.triggers.adobe_target import WaitUntilTrigger

                moment = earlier(clock.now() + self.poll_interval, self._ends_at)
                self.defer(
                    trigger=WaitUntilTrigger(moment=moment, deadline=deadline, ends_at=self._ends_at),
                    method_name="execute_complete",
                    timeout=deferral_timeout(self._ends_at),
                )
            clock.sleep(self.poll_interval)

    def _one_attributes(self) -> Any:
        """Return the attributes. A DAG that renders native objects may produce the text of a dict, which is parsed."""
        attributes = self.attributes.value
        if isinstance(attributes, str) and getattr(self.get_dag(), "render_template_as_native_obj", False):
            with suppress(ValueError, SyntaxError):
                return ast.literal_eval(attributes)
        return attributes

    @property
    def _one_id_type(self) -> Any:
        return self.id_type or "thirdPartyId"

    # --- many rows --------------------------------------------------------------------------------------------

    def _update_rows(self, context: Context) -> dict[str, Any]:
        if self.profile_id.value is not None:
            raise ProfileDataError("Give either profile_id, or rows with data, sql or path.")
        from airflow_provider_adobe_target.load.output_files import write_rejects
        from airflow_provider_adobe_target.load.row_updates import ProfileWait, UpdateRate

        rate = UpdateRate(self.updates_per_second, self.updates_per_day, self.max_concurrent_updates)

        def write(rejects: Rejects) -> str | None:
            return write_rejects(rejects, self.rejects_path, context["ti"]) if self.rejects_path else None

        with TempFolder() as folder:
            id_map = self._id_map()
            pipeline = self._pipeline(folder, id_map, context)
            stage = self._ledger_stage(context)
            updates = self._row_updates(
                pipeline,
                rate,
                looks_first=self.if_not_found != "send",
                is_dry_run=self.is_dry_run,
                ledger=stage,
                wait=ProfileWait(self.poll_interval, self.timeout) if self.if_not_found == "wait" else None,
                id_map=id_map,
            )
            try:
                rejects_path = updates.run(folder, switch_to_bulk_above=self.switch_to_bulk_above, write_rejects=write)
            finally:
                self._recorder.note(self._report(pipeline, None))
        updates.check_outcome(if_not_found=self.if_not_found)
        check_row_counts(pipeline.rows_read, updates.rows_invalid, self.on_no_rows, self.max_invalid_pct)
        if stage and self.is_dry_run:
            self.log.info("%s", stage.markdown(pipeline, []))
        return self._report(pipeline, rejects_path, stage)

    def _pipeline(self, folder: Path, id_map: IdMap | None, context: Context) -> ProfilePipeline:
        from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline

        return ProfilePipeline(
            self._row_source.read(),
            self._profile_options(
                attributes=self.attributes.value,
                privacy_rules=self._privacy_rules(self.hook.settings),
                run_stamp=self._run_stamp(context) if self.derived else None,
            ),
            folder,
            keep_rejects=bool(self.rejects_path),
            max_update_bytes=self._max_update_bytes(),
            id_map=id_map,
            statistics=self._recorder.attribute_statistics(),
        )

    def _row_updates(self, pipeline: ProfilePipeline, rate: UpdateRate, **options: Any) -> RowUpdates:
        from airflow_provider_adobe_target.load.row_updates import RowUpdates

        return RowUpdates(self.hook.session, pipeline, rate, **options)

    def _max_update_bytes(self) -> int:
        from airflow_provider_adobe_target.client.endpoints.profile import room_in_update

        return room_in_update(self.hook.settings)

    # --- both -------------------------------------------------------------------------------------------------

    def _hidden(self, value: Any) -> HiddenTemplate:
        """Hide an argument. In a mapped task, expanded values are not templates."""
        is_mapped = getattr(self, "_BaseOperator__from_mapped", False)
        return value if isinstance(value, HiddenTemplate) else HiddenTemplate(value, is_template=not is_mapped)

    def _report(
        self, pipeline: ProfilePipeline, rejects_path: str | None, stage: LedgerStage | None = None
    ) -> dict[str, Any]:
        self.attribute_names = pipeline.attribute_names
        return {
            "client_code": self.hook.settings.client_code,
            "id_type": pipeline.id_type,
            "dry_run": self.is_dry_run,
            "outcome": "dry_run" if self.is_dry_run else outcome_of((), pipeline.rows_rejected),
            **pipeline.counts,
            **(stage.report() if stage else {}),
            "rejects_path": rejects_path,
        }
