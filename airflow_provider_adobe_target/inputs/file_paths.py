"""The argument ``path``: one or several files, globs and folders, as text or path objects."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions
    from airflow_provider_adobe_target.profiles.sources.partitions import DatasetFile
    from airflow_provider_adobe_target.profiles.sources.rows import Rows


def object_storage_path(text: str) -> Any:
    """Return Airflow's ``ObjectStoragePath`` of a path, whose import needs Airflow."""
    from airflow_provider_adobe_target.version_compat import ObjectStoragePath

    return ObjectStoragePath(text)


def read_paths(
    paths: Any, options: FileOptions | None = None, path_of: Callable[[str], Any] = object_storage_path
) -> Rows:
    """Return the rows of files, local or in object storage.

    The paths are read in the order given. The files of a folder or glob are sorted by path.

    :param paths: See :func:`path_texts`.
    :param options: File format, and delimiter and encoding of CSV.
    :param path_of: Function that converts text to a path object.
    :raises ProfileDataError: If a path matches no file, or a file belongs to a Delta Lake, Hudi or Iceberg table.
    """
    from airflow_provider_adobe_target.profiles.sources.files import read_files
    from airflow_provider_adobe_target.profiles.sources.partitions import DatasetFile
    from airflow_provider_adobe_target.profiles.sources.table_formats import refuse_tables

    file_format = options.file_format if options else None
    files = [file for path in path_texts(paths) for file in _files(path, file_format, path_of)]
    refuse_tables(file.path if isinstance(file, DatasetFile) else file for file in files)
    return read_files(files, options)


def path_texts(paths: Any) -> list[str]:
    """Return the paths in an argument as text.

    :param paths: Text, ``pathlib.Path`` or ``ObjectStoragePath``; an iterable of these, such as a list from XCom; or
        the text of such a list, as rendered by Jinja.
    :raises ProfileDataError: If it is none of these.
    """
    return list(_texts(paths))


def _texts(paths: Any) -> Iterator[str]:
    if isinstance(paths, str):
        listed = _listed(paths.strip())
        yield from [paths] if listed is None else listed
    elif isinstance(paths, os.PathLike) or (not isinstance(paths, list) and _is_object_storage_path(paths)):
        yield str(paths)
    elif isinstance(paths, Iterable) and not isinstance(paths, (bytes, Mapping)):
        for path in paths:
            yield from _texts(path)
    else:
        raise ProfileDataError(
            f"path contains {type(paths).__name__}. Pass text, pathlib.Path or ObjectStoragePath, or a list of these."
        )


def _is_object_storage_path(value: Any) -> bool:
    from airflow_provider_adobe_target.version_compat import ObjectStoragePath

    return isinstance(value, ObjectStoragePath)


def _listed(text: str) -> list[str] | None:
    """Parse the text of a list of paths. Return None for other text: a glob may also start with ``[``."""
    if not (text.startswith(("[", "(")) and text.endswith(("]", ")"))):
        return None
    try:
        items = json.loads(text)
    except ValueError:
        items = _python_items(text)
    is_list = isinstance(items, list) and all(isinstance(item, str) for item in items)
    return items if is_list else None


def _python_items(text: str) -> list[str | None] | None:
    try:
        expression = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    return [_item(node) for node in expression.elts] if isinstance(expression, (ast.List, ast.Tuple)) else None


def _item(node: ast.expr) -> str | None:
    """Parse ``'a.csv'``, ``PosixPath('a.csv')`` or ``ObjectStoragePath('bucket/a.csv', protocol='s3')``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    is_path = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Path")
    if not (is_path and isinstance(node, ast.Call) and len(node.args) == 1):
        return None
    path = _item(node.args[0])
    protocols = [_item(keyword.value) for keyword in node.keywords if keyword.arg == "protocol"]
    if path and any(protocols) and "://" not in path:
        return f"{protocols[0]}://{path}"
    return path


def _files(path: str, file_format: str | None, path_of: Callable[[str], Any]) -> list[Any]:
    from airflow_provider_adobe_target.profiles.sources.partitions import dataset_files

    before_glob = re.match(r"[^*?\[]*/|", path)
    folder = before_glob.group() if before_glob else ""
    pattern = path[len(folder) :]
    if not re.search(r"[*?\[]", pattern):
        file = path_of(path)
        if not file.exists():
            raise ProfileDataError(f"There is no file {path!r}.")
        return _folder_files(file, file_format) if file.is_dir() else [file]
    files = dataset_files(path_of(folder or "."), pattern)
    if not files:
        raise ProfileDataError(f"No file matches {path!r}.")
    return files


def _folder_files(folder: Any, file_format: str | None) -> list[DatasetFile]:
    from airflow_provider_adobe_target.profiles.sources.files import SUFFIXES
    from airflow_provider_adobe_target.profiles.sources.partitions import dataset_files
    from airflow_provider_adobe_target.profiles.sources.table_formats import refuse_tables

    refuse_tables([folder])
    files = dataset_files(folder)
    if not files:
        raise ProfileDataError(f"There is no Parquet file in {str(folder)!r}.")
    if file_format is not None:
        return files
    refuse_tables(file.path for file in files)
    for file in files:
        if not file.name.lower().endswith(SUFFIXES["parquet"]):  # skipping it could lose rows
            raise ProfileDataError(
                f"The folder {str(folder)!r} is read as Parquet, but {str(file)!r} is not Parquet. Remove it, name the "
                "files to read with a glob, or name the format of all files with file_format."
            )
    return files
