"""Operator that writes audience membership as profile attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError, check_task_arguments
from airflow_provider_adobe_target.inputs.row_source import RowSource
from airflow_provider_adobe_target.inputs.templating import RowsArgument
from airflow_provider_adobe_target.operators.bulk_profile_update import BulkProfileUpdateOperator

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_adobe_target.ledger.queries import LedgerIds
    from airflow_provider_adobe_target.profiles.audiences import AudienceRows


class AudienceFlagOperator(BulkProfileUpdateOperator):
    """Write audience membership: ``audience.NAME`` is ``true`` for members, and ``false`` for all other people.

    Adobe has no API that writes audience membership, so an audience in Adobe Target must be defined on the attribute.
    Attributes cannot be cleared, so the flag is written for everyone who may have been a member: the universe.

    ``sql``, ``data`` or ``path`` has one row per member and audience. All other arguments except ``attributes`` are
    those of ``BulkProfileUpdateOperator``. The report also has ``members``, the number of ``true`` flags by attribute.

    :param audiences: All audiences that the task writes, as named in the table; or ``{audience: name}`` if the name of
        an audience is not a valid attribute name (templated).
    :param attribute_prefix: Start of the attribute names. With an empty text, the flags have the names in
        ``audiences``, such as those that audiences in Adobe Target already use.
    :param audience_column: Column that names the audience.
    :param universe_sql: One statement whose result has the ids of the universe (templated, also a ``.sql`` file). Give
        exactly one of ``universe_sql``, ``universe_data`` and ``universe_path``, or a ``ledger`` instead: it has the
        ids for which a flag was written.
    :param universe_sql_conn_id: ID of the database connection for ``universe_sql``. Default: ``sql_conn_id``
        (templated).
    :param universe_parameters: Parameters of the statement (templated).
    :param universe_data: As ``data``.
    :param universe_path: As ``path`` (templated).
    :param universe_file_format: As ``file_format``, for ``universe_path``.
    :param universe_csv_options: As ``csv_options``, for ``universe_path``.
    :param universe_id_column: Column of ids in the universe. Default: its only column, or the one named as the id
        column.
    :param allow_no_members: Write ``false`` for everyone if no audience has a member. By default, the task fails.
    """

    template_fields: Sequence[str] = (
        *BulkProfileUpdateOperator.template_fields,
        "audiences",
        "universe_data",
        "universe_sql",
        "universe_parameters",
        "universe_path",
        "universe_sql_conn_id",
    )
    template_fields_renderers = {
        **BulkProfileUpdateOperator.template_fields_renderers,
        "universe_sql": "sql",
        "universe_parameters": "json",
    }

    def __init__(
        self,
        *,
        audiences: Sequence[str] | Mapping[str, str],
        attribute_prefix: str = "audience.",
        audience_column: str = "audience",
        universe_sql: str | None = None,
        universe_sql_conn_id: str | None = None,
        universe_parameters: Iterable[Any] | Mapping[str, Any] | None = None,
        universe_data: Any = None,
        universe_path: Any = None,
        universe_file_format: Literal["parquet", "csv", "ndjson"] | None = None,
        universe_csv_options: Mapping[str, Any] | None = None,
        universe_id_column: str | None = None,
        allow_no_members: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audiences = audiences
        self.attribute_prefix = attribute_prefix
        self.audience_column = audience_column
        self.universe_sql = universe_sql
        self.universe_sql_conn_id = universe_sql_conn_id
        self.universe_parameters = universe_parameters
        self.universe_data = RowsArgument.of(universe_data)
        self.universe_path = universe_path
        self.universe_file_format = universe_file_format
        self.universe_csv_options = universe_csv_options
        self.universe_id_column = universe_id_column
        self.allow_no_members = allow_no_members
        self._flags: AudienceRows | None = None
        self._check_universe()
        check_task_arguments(self)
        if self.attributes is not None:
            raise InvalidArgumentError("attributes cannot be set. Name the audiences in audiences.")

    def _rows(self, folder: Path) -> AudienceRows:
        from airflow_provider_adobe_target.profiles.audiences import AudienceRows

        self._check_universe()
        self._flags = AudienceRows(
            super()._rows(folder),
            self._ledger_ids() if self._uses_ledger else self._universe.read(),
            self._attribute_names(),
            audience_column=self.audience_column,
            id_column=self.id_column,
            universe_id_column=self.universe_id_column,
            folder=folder,
            allow_no_members=self.allow_no_members,
            allow_empty_universe=self._uses_ledger,
        )
        return self._flags

    @property
    def _universe(self) -> RowSource:
        conn_id = self.universe_sql_conn_id or self.sql_conn_id
        return RowSource(
            self.universe_data,
            self.universe_sql,
            self.universe_path,
            conn_id,
            self.universe_parameters,
            self.universe_file_format,
            self.universe_csv_options,
        )

    @property
    def _uses_ledger(self) -> bool:
        return self.ledger is not None and not self._universe.is_given

    def _ledger_ids(self) -> LedgerIds:
        from airflow_provider_adobe_target.ledger.queries import LedgerIds

        assert self.ledger is not None  # noqa: S101  # nosec B101  # for the type checker
        return LedgerIds(self.ledger, self.hook.settings.client_code, list(self._attribute_names().values()))

    def _attribute_names(self) -> dict[str, str]:
        """Return the attribute of each audience."""
        from airflow_provider_adobe_target.profiles.audiences import audience_names

        return audience_names(self.audiences, self.attribute_prefix)

    def _check_universe(self) -> None:
        if self._uses_ledger:
            if self.ledger is not None and self.ledger.hash_ids:
                raise InvalidArgumentError("A ledger with hash_ids=True cannot be the universe: it has no ids.")
            return
        self._universe.check(
            ("universe_data", "universe_sql", "universe_path"),
            why="The universe has the ids of all possible members. Without it, former members keep true.",
        )

    def _report_fields(self) -> Mapping[str, Any]:
        assert self._flags is not None  # noqa: S101  # nosec B101  # for the type checker
        return {"members": dict(self._flags.members)}
