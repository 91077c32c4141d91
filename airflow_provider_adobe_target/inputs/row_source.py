"""Resolve an operator's row arguments ``data``, ``sql`` and ``path``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.inputs.arguments import check_one_source, check_sql
from airflow_provider_adobe_target.inputs.database import database_hook, read_sql
from airflow_provider_adobe_target.inputs.file_paths import read_paths
from airflow_provider_adobe_target.inputs.templating import RowsArgument, RowsPartial, hidden_rows

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.id_map import IdMap
    from airflow_provider_adobe_target.profiles.sources.rows import Rows
    from airflow_provider_adobe_target.profiles.validation import RiskyValue

__all__ = ["RowsArgument", "RowsPartial", "hidden_rows", "read_paths", "read_sql", "resolve_rows"]


def resolve_rows(
    data: RowsArgument | None,
    sql: str | None,
    path: Any,
    sql_conn_id: str | None,
    parameters: Any,
    *,
    file_format: str | None = None,
    csv_options: Mapping[str, Any] | None = None,
) -> Rows:
    """Return the rows of the one source that is given. The parameters are the operators' arguments.

    :raises ProfileDataError: If not exactly one source is given, ``sql`` is given without a connection, or an argument
        is invalid.
    """
    from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions

    options = FileOptions.checked(file_format, csv_options)
    sources = {"data": data, "sql": sql, "path": path}
    check_one_source(sources)
    check_sql("sql", sql)
    if data is not None:
        from airflow_provider_adobe_target.profiles.sources.dataframes import read_data

        return read_data(data.value)
    if path is not None:
        return read_paths(path, options)
    if not sql_conn_id:
        raise ProfileDataError("sql needs sql_conn_id, the connection of the database to ask.")
    return read_sql(database_hook(sql_conn_id), str(sql), parameters)


def resolve_id_map(
    data: RowsArgument | None,
    sql: str | None,
    path: Any,
    sql_conn_id: str | None,
    max_linked_ids: int,
    on_risky_value: RiskyValue,
) -> IdMap | None:
    """Return the id map of the one source that is given; None if no source is given.

    :raises ProfileDataError: If several sources are given, ``sql`` is given without a connection, or the rows are not
        an id map.
    """
    check_one_source({"id_map": data, "id_map_sql": sql, "id_map_path": path}, required=False)
    if data is None and sql is None and path is None:
        return None
    check_sql("id_map_sql", sql)
    from airflow_provider_adobe_target.profiles.id_map import IdMap

    return IdMap(resolve_rows(data, sql, path, sql_conn_id, None), max_linked_ids, on_risky_value)
