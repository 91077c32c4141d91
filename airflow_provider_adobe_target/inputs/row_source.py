"""Where an operator's rows come from: ``data``, ``sql`` or ``path``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.inputs.database import database_hook, read_sql
from airflow_provider_adobe_target.inputs.templating import RowsArgument, RowsPartial, hidden_rows
from airflow_provider_adobe_target.version_compat import ObjectStoragePath

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.id_map import IdMap
    from airflow_provider_adobe_target.profiles.sources.partitions import DatasetFile
    from airflow_provider_adobe_target.profiles.sources.rows import Rows

__all__ = ["RowsArgument", "RowsPartial", "hidden_rows", "read_paths", "read_sql", "resolve_rows"]


def resolve_rows(
    data: RowsArgument | None,
    sql: str | None,
    path: str | Sequence[str] | None,
    sql_conn_id: str | None,
    parameters: Any,
) -> Rows:
    """Return the rows of the one source that is given, by the operators' arguments.

    :raises ProfileDataError: where not exactly one is given, or ``sql`` without a connection
    """
    sources = {"data": data, "sql": sql, "path": path}
    given = [name for name, source in sources.items() if source is not None]
    if len(given) != 1:
        raise ProfileDataError(f"Give one of data, sql and path; given: {', '.join(given) or 'none'}.")
    if data is not None:
        from airflow_provider_adobe_target.profiles.sources.dataframes import read_data

        return read_data(data.value)
    if path is not None:
        return read_paths(path)
    if not sql_conn_id:
        raise ProfileDataError("sql needs sql_conn_id, the connection of the database to ask.")
    return read_sql(database_hook(sql_conn_id), str(sql), parameters)


def resolve_id_map(
    data: RowsArgument | None,
    sql: str | None,
    path: str | Sequence[str] | None,
    sql_conn_id: str | None,
    max_linked_ids: int,
) -> IdMap | None:
    """Read the id map of the one source that is given, or return None where none is.

    :raises ProfileDataError: where more than one is given, ``sql`` without a connection, or it is no id map
    """
    given = [name for name, source in (("", data), ("_sql", sql), ("_path", path)) if source is not None]
    if not given:
        return None
    if len(given) > 1:
        raise ProfileDataError(
            f"Give one of id_map, id_map_sql and id_map_path; given: id_map{', id_map'.join(given)}."
        )
    from airflow_provider_adobe_target.profiles.id_map import IdMap

    return IdMap(resolve_rows(data, sql, path, sql_conn_id, None), max_linked_ids)


def read_paths(paths: str | Sequence[str]) -> Rows:
    """Read files, local or in object storage, in the order given, those of a folder or a glob sorted by name.

    :raises ProfileDataError: where nothing is there
    """
    from airflow_provider_adobe_target.profiles.sources.files import read_files

    return read_files([file for path in ([paths] if isinstance(paths, str) else paths) for file in _files(str(path))])


def _files(path: str) -> list[Any]:
    from airflow_provider_adobe_target.profiles.sources.partitions import dataset_files

    before_glob = re.match(r"[^*?\[]*/|", path)
    folder = before_glob.group() if before_glob else ""
    pattern = path[len(folder) :]
    if not re.search(r"[*?\[]", pattern):
        file = ObjectStoragePath(path)
        if not file.exists():
            raise ProfileDataError(f"There is no file {path!r}.")
        return _parquet_files(file) if file.is_dir() else [file]
    files = dataset_files(ObjectStoragePath(folder or "."), pattern)
    if not files:
        raise ProfileDataError(f"No file matches {path!r}.")
    return files


def _parquet_files(folder: ObjectStoragePath) -> list[DatasetFile]:
    from airflow_provider_adobe_target.profiles.sources.partitions import dataset_files

    files = dataset_files(folder)
    if not files:
        raise ProfileDataError(f"There is no Parquet file in {str(folder)!r}.")
    for file in files:
        if not file.name.lower().endswith(".parquet"):  # to pass it over might be to lose rows
            raise ProfileDataError(
                f"The folder {str(folder)!r} is read as Parquet, and {str(file)!r} is none. Take it away, or name the "
                "files to read with a glob."
            )
    return files
