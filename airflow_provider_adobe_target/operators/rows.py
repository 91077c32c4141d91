"""Where an operator's rows come from: ``data``, ``sql`` or ``path``."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.airflow_compat import ObjectStoragePath, ResolveMixin
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.operators.sql_rows import database_hook, rows_from_sql

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.id_map import IdMap
    from airflow_provider_adobe_target.profiles.sources.partitions import DatasetFile
    from airflow_provider_adobe_target.profiles.sources.rows import Rows

__all__ = ["RowsArgument", "RowsPartial", "find_rows", "hidden_rows", "rows_from_paths", "rows_from_sql"]

_ROWS = ("data", "id_map", "universe_data")  # arguments that hold rows


class RowsArgument(ResolveMixin):  # type: ignore[misc]  # Airflow's class has another path in each generation
    """Rows as an operator's argument: resolved where they are an upstream task's output, and shown to nobody.

    As a plain template field they would stand in the serialised DAG and among the rendered fields, and Jinja would
    run what looks like a template in a customer's text.

    :param value: the rows, or an ``XComArg`` for them
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    @classmethod
    def of(cls, value: Any) -> RowsArgument | None:
        """Hide what a constructor was given, unless that was done before."""
        return value if value is None or isinstance(value, RowsArgument) else cls(value)

    def iter_references(self) -> Iterable[Any]:
        """Return the upstream tasks whose output these rows are."""
        return self.value.iter_references() if isinstance(self.value, ResolveMixin) else ()

    def resolve(self, context: Any, **kwargs: Any) -> RowsArgument:
        """Fetch the upstream task's output."""
        if isinstance(self.value, ResolveMixin):
            return RowsArgument(self.value.resolve(context, **kwargs))
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> RowsArgument:
        """Copy the reference to an upstream task; rows are never changed and stay one."""
        return RowsArgument(copy.deepcopy(self.value, memo)) if isinstance(self.value, ResolveMixin) else self

    def __repr__(self) -> str:
        return "<rows>"


class RowsPartial:
    """What ``partial`` returns: arguments to be mapped over, among which rows are shown to nobody either.

    :param partial: Airflow's own
    """

    def __init__(self, partial: Any) -> None:
        self._partial = partial

    def expand(self, **mapped: Any) -> Any:
        """Map over arguments, as with every operator."""
        for name in _ROWS:
            if isinstance(mapped.get(name), (list, tuple)):
                mapped[name] = [hidden_rows(rows) for rows in mapped[name]]
        return self._partial.expand(**mapped)

    def expand_kwargs(self, kwargs: Any, **options: Any) -> Any:
        """Map over dicts of arguments, as with every operator."""
        if isinstance(kwargs, (list, tuple)):
            kwargs = [with_hidden_rows(item) if isinstance(item, Mapping) else item for item in kwargs]
        return self._partial.expand_kwargs(kwargs, **options)


def with_hidden_rows(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of the operator of which those that hold rows show nothing."""
    return {name: hidden_rows(value) if name in _ROWS else value for name, value in arguments.items()}


def hidden_rows(data: Any) -> Any:
    """Return rows that are there already as :class:`RowsArgument`, and an upstream task's output as it is."""
    return data if data is None or isinstance(data, ResolveMixin) else RowsArgument(data)


def find_rows(
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
        from airflow_provider_adobe_target.profiles.sources.dataframes import rows_from_data

        return rows_from_data(data.value)
    if path is not None:
        return rows_from_paths(path)
    if not sql_conn_id:
        raise ProfileDataError("sql needs sql_conn_id, the connection of the database to ask.")
    return rows_from_sql(database_hook(sql_conn_id), str(sql), parameters)


def find_id_map(
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

    return IdMap(find_rows(data, sql, path, sql_conn_id, None), max_linked_ids)


def rows_from_paths(paths: str | Sequence[str]) -> Rows:
    """Read files, local or in object storage, in the order given, those of a folder or a glob sorted by name.

    :raises ProfileDataError: where nothing is there
    """
    from airflow_provider_adobe_target.profiles.sources.files import rows_from_files

    return rows_from_files(
        [file for path in ([paths] if isinstance(paths, str) else paths) for file in _files(str(path))]
    )


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
