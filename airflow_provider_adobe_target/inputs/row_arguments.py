"""The row arguments that operators and sensors share: assignment, checks, template fields and hiding of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.derived_attributes import RunStamp
from airflow_provider_adobe_target.inputs.row_source import RowSource
from airflow_provider_adobe_target.inputs.templating import RowsArgument, RowsPartial, with_hidden_rows
from airflow_provider_adobe_target.privacy import PrivacyOptions, PrivacyRules

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.profiles.options import ProfileOptions
    from airflow_provider_adobe_target.version_compat import Context

FileFormat = Literal["parquet", "csv", "ndjson"]
Parameters = Iterable[Any] | Mapping[str, Any]


class RowArguments:
    """Mixin of operators and sensors with the arguments ``sql``, ``data`` and ``path``.

    Constructors declare and document the arguments, and pass them to :meth:`_set_rows`.
    """

    template_fields: Sequence[str] = (
        "data",
        "sql",
        "parameters",
        "path",
        "sql_conn_id",
        "adobe_target_conn_id",
        "sync_log",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}
    ui_color = "#f6e1e1"

    def _set_rows(
        self,
        *,
        sql: str | None,
        sql_conn_id: str | None,
        parameters: Parameters | None,
        data: Any,
        path: Any,
        file_format: FileFormat | None,
        csv_options: Mapping[str, Any] | None,
        alternatives: Mapping[str, Any] | None = None,
    ) -> None:
        """Assign the row arguments, and check that exactly one source is given.

        :param alternatives: Arguments of which one may be given instead, by name.
        :raises InvalidArgumentError: If none or several sources are given, or ``sql`` is not one statement.
        """
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.data = RowsArgument.of(data)
        self.path = path
        self.file_format = file_format
        self.csv_options = csv_options
        self._row_source.check(alternatives=alternatives)

    @property
    def _row_source(self) -> RowSource:
        """The source, after templates were rendered if the task runs."""
        return RowSource(
            self.data, self.sql, self.path, self.sql_conn_id, self.parameters, self.file_format, self.csv_options
        )

    def _profile_options(self, **changes: Any) -> ProfileOptions:
        """Return the options of the profile pipeline: the arguments of the same names.

        :param changes: Options that differ from the arguments.
        :raises ProfileDataError: If an option has an invalid value.
        """
        from airflow_provider_adobe_target.profiles.options import ProfileOptions

        names = [option.name for option in fields(ProfileOptions) if hasattr(self, option.name)]
        values = {name: getattr(self, name) for name in names}
        if values.get("derived") is None:
            values.pop("derived", None)
        return ProfileOptions(**{**values, **changes})

    def _run_stamp(self, context: Context) -> RunStamp:
        """Return the start and ID of the DAG run, which are the same for all tries of a task."""
        values: Any = context
        started = getattr(values.get("dag_run"), "start_date", None)
        now = datetime.fromtimestamp(clock.SYSTEM.now(), timezone.utc)
        return RunStamp(started or now, getattr(values["ti"], "run_id", ""))

    def _privacy_rules(self, settings: TargetSettings) -> PrivacyRules:
        """Return the ``privacy`` argument together with the rules of the connection."""
        options = getattr(self, "privacy", None) or PrivacyOptions()
        return PrivacyRules(options, settings.block_attributes, settings.hash_salt)

    @classmethod
    def partial(cls, **arguments: Any) -> RowsPartial:
        """Start a mapped task, as with every operator. Rows are displayed as ``<rows>``."""
        return RowsPartial(super().partial(**with_hidden_rows(arguments)))  # type: ignore[misc]  # Airflow's method
