"""Sources of rows: the arguments ``data``, ``sql`` and ``path`` of operators and sensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.inputs.arguments import check_one_source, check_sql
from airflow_provider_adobe_target.inputs.database import database_hook, read_sql
from airflow_provider_adobe_target.inputs.file_paths import read_paths
from airflow_provider_adobe_target.inputs.statement_comment import tag_statements, with_comment
from airflow_provider_adobe_target.inputs.templating import RowsArgument

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.sources.rows import Rows


@dataclass(frozen=True)
class RowSource:
    """A source of rows. Names and meanings as in ``BulkProfileUpdateOperator``."""

    data: RowsArgument | None = field(default=None, repr=False)
    sql: Any = None
    path: Any = None
    sql_conn_id: str | None = None
    parameters: Any = field(default=None, repr=False)
    file_format: str | None = None
    csv_options: Mapping[str, Any] | None = None

    @property
    def is_given(self) -> bool:
        """Whether at least one of the three is given."""
        return any(source is not None for source in (self.data, self.sql, self.path))

    def check(
        self,
        names: tuple[str, str, str] = ("data", "sql", "path"),
        *,
        alternatives: Mapping[str, Any] | None = None,
        required: bool = True,
        why: str = "",
    ) -> None:
        """Check that one source is given, and that ``sql`` is one statement.

        :param names: Names of the arguments, for messages.
        :param alternatives: Arguments of which one may be given instead, by name.
        :param required: Whether a source must be given.
        :param why: Sentence to append to the message.
        :raises InvalidArgumentError: If none or several are given, or ``sql`` is not one statement.
        """
        sources = dict(zip(names, (self.data, self.sql, self.path), strict=True))
        check_one_source({**(alternatives or {}), **sources}, required=required, why=why)
        check_sql(names[1], self.sql)

    def read(self) -> Rows:
        """Return the rows.

        :raises ProfileDataError: If not exactly one source is given, ``sql`` is given without a connection, or an
            argument is invalid.
        """
        from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions

        options = FileOptions.checked(self.file_format, self.csv_options)
        self.check()
        if self.data is not None:
            from airflow_provider_adobe_target.profiles.sources.dataframes import read_data

            return read_data(self.data.value)
        if self.path is not None:
            return read_paths(self.path, options)
        if not self.sql_conn_id:
            raise ProfileDataError("sql requires sql_conn_id, the database connection.")
        hook = database_hook(self.sql_conn_id)
        tag_statements(hook)
        return read_sql(hook, with_comment(str(self.sql)), self.parameters)
