"""Membership of audiences, as attributes on which Adobe Target can build audiences of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.inputs.arguments import (
    InvalidArgumentError,
    check_arguments,
    check_one_source,
    check_sql,
)
from airflow_provider_adobe_target.inputs.row_source import resolve_rows
from airflow_provider_adobe_target.inputs.templating import RowsArgument
from airflow_provider_adobe_target.operators.bulk_profile_update import BulkProfileUpdateOperator

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_adobe_target.profiles.audiences import AudienceRows
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline


class AudienceFlagOperator(BulkProfileUpdateOperator):
    """Write who is in which audience: ``audience.NAME`` is ``true`` for members, and ``false`` for everybody else.

    Adobe has no interface that writes membership itself: in Adobe Target an audience is to be defined on the
    attribute. No attribute can be cleared either, so that everybody who may have been a member is written.

    ``sql``, ``data`` or ``path`` have a row for each member of each audience. All other arguments but ``attributes``
    are those of ``BulkProfileUpdateOperator``, and so is the report, with ``members`` beside it: how many are
    ``true``, by attribute.

    :param audiences: all audiences that this task writes, as the table calls them; or ``{audience: name}`` where an
        audience's name cannot be an attribute's (templated)
    :param audience_column: the column that names the audience
    :param universe_sql: one statement whose result has the ids of everybody (templated, also a ``.sql`` file); give
        this, ``universe_data`` or ``universe_path``
    :param universe_sql_conn_id: as ``sql_conn_id``, which is its default (templated)
    :param universe_parameters: of the statement (templated)
    :param universe_data: as ``data``
    :param universe_path: as ``path`` (templated)
    :param universe_id_column: the universe's column of ids; default: its only one, or the one called as the id column
    :param allow_no_members: write ``false`` for everybody where nobody is a member of any audience, rather than fail
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
        audience_column: str = "audience",
        universe_sql: str | None = None,
        universe_sql_conn_id: str | None = None,
        universe_parameters: Iterable[Any] | Mapping[str, Any] | None = None,
        universe_data: Any = None,
        universe_path: Any = None,
        universe_id_column: str | None = None,
        allow_no_members: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sql("universe_sql", universe_sql)
        self.audiences = audiences
        self.audience_column = audience_column
        self.universe_sql = universe_sql
        self.universe_sql_conn_id = universe_sql_conn_id
        self.universe_parameters = universe_parameters
        self.universe_data = RowsArgument.of(universe_data)
        self.universe_path = universe_path
        self.universe_id_column = universe_id_column
        self.allow_no_members = allow_no_members
        self._flags: AudienceRows | None = None
        self._check_universe()
        check_arguments(self)
        if self.attributes is not None:
            raise InvalidArgumentError("attributes is not for audiences: name those in audiences.")

    def _rows(self, folder: Path) -> AudienceRows:
        from airflow_provider_adobe_target.profiles.audiences import AudienceRows, audience_names

        self._flags = AudienceRows(
            super()._rows(folder),
            self._universe(),
            audience_names(self.audiences),
            audience_column=self.audience_column,
            id_column=self.id_column,
            universe_id_column=self.universe_id_column,
            folder=folder,
            allow_no_members=self.allow_no_members,
        )
        return self._flags

    def _universe(self) -> Any:
        sources = self._check_universe()
        conn_id = self.universe_sql_conn_id or self.sql_conn_id
        return resolve_rows(*sources, conn_id, self.universe_parameters)

    def _check_universe(self) -> tuple[Any, Any, Any]:
        names = ("universe_data", "universe_sql", "universe_path")
        sources = {name: getattr(self, name) for name in names}
        check_one_source(
            sources, why="The universe has the ids of all who may have been members; otherwise former members stay."
        )
        return self.universe_data, self.universe_sql, self.universe_path

    def _report(self, run: ProfilePipeline, *arguments: Any) -> dict[str, Any]:
        assert self._flags is not None  # noqa: S101  # nosec B101  # for the type checker
        return {**super()._report(run, *arguments), "members": dict(self._flags.members)}
