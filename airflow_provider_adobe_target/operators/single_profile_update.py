"""Updating single profiles, without a file."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.client.endpoints.profile import room_in_update
from airflow_provider_adobe_target.client.rate_limit.daily import CALLS_PER_DAY, CALLS_PER_SECOND
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
from airflow_provider_adobe_target.inputs.arguments import (
    InvalidArgumentError,
    check_arguments,
    check_one_source,
    check_sql,
    to_seconds,
)
from airflow_provider_adobe_target.inputs.empty_source import check_row_counts
from airflow_provider_adobe_target.inputs.row_source import resolve_rows
from airflow_provider_adobe_target.inputs.templating import (
    HiddenTemplate,
    HidingPartial,
    RowsArgument,
    with_hidden_profile,
)
from airflow_provider_adobe_target.load.output_files import write_rejects
from airflow_provider_adobe_target.load.row_updates import RowUpdates, UpdateRate
from airflow_provider_adobe_target.version_compat import AirflowSensorTimeout, AirflowSkipException, BaseOperator, conf

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
    from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate
    from airflow_provider_adobe_target.profiles.sources.rows import Rows
    from airflow_provider_adobe_target.version_compat import Context

_WAIT_WITH_ROWS = "if_not_found='wait' is for one profile_id. With rows use 'skip', and run the task again later."
_NOT_FOUND = (
    "Adobe Target has no profile of this id, and a single update creates none. A profile may take up to an hour to "
    "exist; it is gone after 14 idle days, unless Adobe has set another time. "
)


class SingleProfileUpdateOperator(BaseOperator):
    """Update the profile of one visitor now, or of many one by one, without a file. No profile is created.

    Names and values are checked and written as in ``BulkProfileUpdateOperator``: nested dicts become dotted names,
    lists are joined with ``|``, nulls and empty text are left out. Nothing is called where nothing is left.

    :param profile_id: whose profile (templated; shown in Airflow as ``<hidden>``); give this, ``data``, ``sql`` or
        ``path``
    :param id_type: what the id is: ``thirdPartyId``, the default, or ``pcId``; for rows as in bulk
    :param attributes: a dict of names, without ``profile.``, and values (templated; shown in Airflow as ``<hidden>``);
        for rows which columns to send, as in bulk
    :param if_not_found: what to do where Adobe Target has no such profile: ``fail``; ``skip`` the task; ``wait`` until
        it has one; ``send`` without having looked. For rows, which cannot wait: all others are sent, then the task
        fails, or does not
    :param adobe_target_conn_id: the connection, of type ``adobe_target`` (templated)
    :param max_value_length: characters; a longer value is a bad one
    :param dry_run: do everything but the calls
    :param deferrable: wait in the triggerer for the one profile
    :param poll_interval: seconds, or a timedelta, between two times of looking for the one profile
    :param timeout: seconds, or a timedelta, of waiting until a missing profile ends the task with
        ``AirflowSensorTimeout``
    :param sql: rows, as in ``BulkProfileUpdateOperator`` (templated, also a ``.sql`` file), and so are these:
        ``sql_conn_id``, ``parameters``, ``data``, ``path``, ``file_format``, ``csv_options``, ``id_column``,
        ``skip_invalid_records``, ``max_invalid_pct``, ``on_duplicate_id``, ``rejects_path`` and ``on_no_rows``
    :param updates_per_second: updates of rows that begin in a second, and look-ups as many; at most 1,000
    :param updates_per_day: updates that one try of the task may begin in any 24 hours, of the account's million
    :param max_concurrent_updates: how many updates may be under way at once, 1 to 32
    :param switch_to_bulk_above: rows above which the log says that the bulk upload is the better door; ``None``: never
    """

    template_fields: Sequence[str] = (
        "profile_id",
        "attributes",
        "data",
        "sql",
        "parameters",
        "path",
        "rejects_path",
        "sql_conn_id",
        "adobe_target_conn_id",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql", "parameters": "json"}
    ui_color = "#f6e1e1"

    def __init__(
        self,
        *,
        profile_id: Any = None,
        id_type: Literal["thirdPartyId", "pcId"] | None = None,
        attributes: Mapping[str, Any] | Sequence[str] | None = None,
        attribute_case: Literal["keep", "lower"] = "keep",
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
        updates_per_second: float = CALLS_PER_SECOND,
        updates_per_day: int = CALLS_PER_DAY,
        max_concurrent_updates: int = 8,
        switch_to_bulk_above: int | None = 10_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_one_source({"profile_id": profile_id, "data": data, "sql": sql, "path": path})
        check_sql("sql", sql)
        self.profile_id = self._hidden(profile_id)
        self.id_type = id_type
        self.attributes = self._hidden(attributes)
        self.attribute_case = attribute_case
        self.if_not_found = if_not_found
        self._ends_at: float | None = None
        self.adobe_target_conn_id = adobe_target_conn_id
        self.max_value_length = max_value_length
        self.is_dry_run = dry_run  # Airflow has a method of the argument's name
        self.deferrable = deferrable
        self.poll_interval = to_seconds("poll_interval", poll_interval)
        self.timeout = to_seconds("timeout", timeout)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.data = RowsArgument.of(data)
        self.path = path
        self.file_format = file_format
        self.csv_options = csv_options
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
        check_arguments(self)
        if if_not_found == "wait" and profile_id is None:
            raise InvalidArgumentError(_WAIT_WITH_ROWS)

    @classmethod
    def partial(cls, **arguments: Any) -> HidingPartial:  # type: ignore[override]  # Airflow's is a descriptor
        """Begin a mapped task, as with every operator; a profile or rows given here are hidden, too."""
        return HidingPartial(super().partial(**with_hidden_profile(arguments)))

    @cached_property
    def hook(self) -> AdobeTargetHook:
        """The connection to Adobe Target."""
        return AdobeTargetHook(adobe_target_conn_id=self.adobe_target_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Update the profile, or the profiles.

        :returns: the report: counts of rows by outcome; nothing of a row
        :raises AirflowFailException: where a retry cannot help
        :raises AirflowSkipException: where there is no such profile, and ``if_not_found`` is ``skip``
        :raises AirflowSensorTimeout: where there is none at the ``timeout``, and ``if_not_found`` is ``wait``
        :raises AdobeTargetUnavailableError: where Adobe Target gives no usable answer
        """
        self._ends_at = execution_end(self)
        with translate_errors():
            if any(source is not None for source in (self.data, self.sql, self.path)):
                return self._update_rows(context)
            return self._update_one(clocks.SYSTEM.now() + self.timeout)

    def execute_complete(self, context: Context, event: dict[str, Any], ends_at: float | None = None) -> dict[str, Any]:
        """Go on after a wait in the triggerer; returns and raises as :meth:`execute`."""
        self._ends_at = ends_at
        check_execution_end(ends_at)
        with translate_errors():
            return self._update_one(event["deadline"])

    # --- one profile ------------------------------------------------------------------------------------------

    def _update_one(self, deadline: float) -> dict[str, Any]:
        run, update = self._checked()
        if update and not self.is_dry_run:
            if self.if_not_found != "send":
                self._find(update, deadline)
            self._update(update)
            self.log.info("Adobe Target took an update of %s attributes.", len(update.attributes))
        return self._report(run, None)

    def _update(self, update: ProfileUpdate) -> None:
        self.hook.update_profile(update.profile_id, update.attributes, self._one_id_type)

    def _find(self, update: ProfileUpdate, deadline: float) -> None:
        """Look for the profile, and do what is to be done where there is none."""
        clock = clocks.SYSTEM
        while not self.hook.get_profile(update.profile_id, self._one_id_type, deadline=deadline):
            if self.if_not_found == "skip":
                raise AirflowSkipException(_NOT_FOUND)
            if self.if_not_found == "fail":
                raise ProfileNotFoundError(f"{_NOT_FOUND}With if_not_found='wait' the task looks again.")
            if clock.now() + self.poll_interval > deadline:
                raise AirflowSensorTimeout(f"{_NOT_FOUND}There was still none after {self.timeout:,.0f} seconds.")
            self.log.info("Adobe Target has no such profile yet; looking again in %.0f seconds.", self.poll_interval)
            if self.deferrable:
                from airflow_provider_adobe_target.triggers.adobe_target import WaitUntilTrigger

                moment = earlier(clock.now() + self.poll_interval, self._ends_at)
                self.defer(
                    trigger=WaitUntilTrigger(moment=moment, deadline=deadline),
                    method_name="execute_complete",
                    kwargs={"ends_at": self._ends_at},
                    timeout=deferral_timeout(self._ends_at),
                )
            clock.sleep(self.poll_interval)

    def _checked(self) -> tuple[ProfilePipeline, ProfileUpdate | None]:
        """Check the profile before any call, and return it, or None where nothing is left of it.

        :raises ProfileDataError: where it cannot be sent
        """
        from airflow_provider_adobe_target.profiles.attribute_names import id_type_of
        from airflow_provider_adobe_target.profiles.pipeline import BadRowError
        from airflow_provider_adobe_target.profiles.profile_updates import cut_blocks, one_row

        attributes = self._one_attributes()
        if not isinstance(attributes, Mapping):
            raise ProfileDataError(
                f"attributes is {type(attributes).__name__}, not a dict of names and values. A template must be one "
                "expression whose value is a dict, such as {{ params.attributes }}."
            )
        profile_id = self.profile_id.value
        if profile_id is not None and (isinstance(profile_id, bool) or not isinstance(profile_id, (str, Integral))):
            raise ProfileDataError(
                f"profile_id is {type(profile_id).__name__}, not text or a whole number. Hand over the id as text."
            )
        id_column, rows = one_row(profile_id, attributes)
        with TempFolder() as folder:
            choices = {"id_column": id_column, "id_type": self._one_id_type, "skip_invalid_records": False}
            if any(id_type_of(str(name)) for name in attributes):
                choices["attributes"] = list(attributes)  # asked for, although it has the name of an id
            run = self._run(rows, folder, **choices)
            try:
                update = next((update for block in cut_blocks(run.profiles()) for update in block.updates()), None)
            except BadRowError as error:
                raise ProfileDataError(
                    f"The profile cannot be updated: {error.reason} ({error.detail}). Adobe Target was not called."
                ) from None
        run.rows_sent = int(update is not None)
        return run, update

    def _one_attributes(self) -> Any:
        """Return the attributes, also where text of a dict comes from a DAG that renders native objects."""
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
            raise ProfileDataError("Give profile_id, or rows with data, sql or path, not both.")
        if self.if_not_found == "wait":
            raise ProfileDataError(_WAIT_WITH_ROWS)
        pace = UpdateRate(self.updates_per_second, self.updates_per_day, self.max_concurrent_updates)
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
            run = self._run(rows, folder, attributes=self.attributes.value)
            looks_first = self.if_not_found != "send"
            if not self.is_dry_run:
                self.hook.authenticate()  # in the task's own thread, and before a row is read
            updates = self._row_updates(run, pace, looks_first=looks_first, is_dry_run=self.is_dry_run)
            try:
                updates.send_all(folder, self.switch_to_bulk_above)
            except BaseException:
                self.log.info("What became of the rows: %s", run.counts)
                with suppress(Exception):  # the task's own error matters more
                    self._write_rejects(context, run)
                raise
            rejects_path = self._write_rejects(context, run)
        self.log.info("What became of the rows: %s; bad ones are kept in %s", run.counts, rejects_path)
        updates.judge(if_not_found=self.if_not_found)
        check_row_counts(run.rows_read, updates.rows_invalid, self.on_no_rows, self.max_invalid_pct)
        return self._report(run, rejects_path)

    def _row_updates(self, run: ProfilePipeline, pace: UpdateRate, **choices: bool) -> RowUpdates:
        return RowUpdates(self.hook.settings, run, pace, **choices)

    def _write_rejects(self, context: Context, run: ProfilePipeline) -> str | None:
        return write_rejects(run.rejects, self.rejects_path, context["ti"]) if self.rejects_path else None

    # --- both -------------------------------------------------------------------------------------------------

    def _run(self, rows: Rows, folder: Path, **choices: Any) -> ProfilePipeline:
        from airflow_provider_adobe_target.profiles.options import ProfileOptions
        from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline

        own = (
            "id_column",
            "id_type",
            "attribute_case",
            "skip_invalid_records",
            "max_invalid_pct",
            "on_duplicate_id",
            "max_value_length",
        )
        rules = ProfileOptions(**{**{name: getattr(self, name) for name in own}, **choices})
        return ProfilePipeline(
            rows,
            rules,
            folder,
            keep_rejects=bool(self.rejects_path),
            max_update_bytes=room_in_update(self.hook.settings),
        )

    def _hidden(self, value: Any) -> HiddenTemplate:
        """Hide an argument; in a mapped task it is a template only if that was said before."""
        is_mapped = getattr(self, "_BaseOperator__from_mapped", False)
        return value if isinstance(value, HiddenTemplate) else HiddenTemplate(value, is_template=not is_mapped)

    def _report(self, run: ProfilePipeline, rejects_path: str | None) -> dict[str, Any]:
        return {
            "client_code": self.hook.settings.client_code,
            "id_type": run.id_type,
            "dry_run": self.is_dry_run,
            **run.counts,
            "rejects_path": rejects_path,
        }
