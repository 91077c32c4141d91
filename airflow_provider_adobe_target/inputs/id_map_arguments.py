"""The arguments of the id map: assignment, checks and reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_adobe_target.inputs.row_arguments import FileFormat
from airflow_provider_adobe_target.inputs.row_source import RowSource
from airflow_provider_adobe_target.inputs.templating import RowsArgument

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.id_map import IdMap
    from airflow_provider_adobe_target.profiles.validation import RiskyValue

_SOURCES = ("id_map", "id_map_sql", "id_map_path")


class IdMapArguments:
    """Mixin of operators with the arguments ``id_map``, ``id_map_sql`` and ``id_map_path``.

    Constructors declare and document the arguments, and pass them to :meth:`_set_id_map`.
    """

    id_map_fields: ClassVar[Sequence[str]] = _SOURCES
    sql_conn_id: str | None
    on_risky_value: RiskyValue

    def _set_id_map(
        self,
        *,
        id_map: Any,
        id_map_sql: str | None,
        id_map_path: Any,
        id_map_file_format: FileFormat | None,
        id_map_csv_options: Mapping[str, Any] | None,
        max_linked_ids: int,
    ) -> None:
        """Assign the arguments, and check that at most one source is given.

        :raises InvalidArgumentError: If several sources are given, or ``id_map_sql`` is not one statement.
        """
        self.id_map = RowsArgument.of(id_map)
        self.id_map_sql = id_map_sql
        self.id_map_path = id_map_path
        self.id_map_file_format = id_map_file_format
        self.id_map_csv_options = id_map_csv_options
        self.max_linked_ids = max_linked_ids
        self._id_map_source.check(_SOURCES, required=False)

    @property
    def _id_map_source(self) -> RowSource:
        """The source, after templates were rendered if the task runs."""
        return RowSource(
            self.id_map,
            self.id_map_sql,
            self.id_map_path,
            self.sql_conn_id,
            file_format=self.id_map_file_format,
            csv_options=self.id_map_csv_options,
        )

    def _id_map(self) -> IdMap | None:
        """Read the id map. None if the task has none."""
        source = self._id_map_source
        source.check(_SOURCES, required=False)
        if not source.is_given:
            return None
        from airflow_provider_adobe_target.profiles.id_map import IdMap

        return IdMap(source.read(), self.max_linked_ids, self.on_risky_value)
