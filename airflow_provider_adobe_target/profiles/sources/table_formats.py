"""Detect tables with a transaction log, whose files must not be read directly: Delta Lake, Hudi and Iceberg."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARKERS = {"_delta_log": "Delta Lake", ".hoodie": "Apache Hudi"}
_ALTERNATIVES = {
    "Delta Lake": "in an upstream task deltalake.DeltaTable(...), in sql DuckDB's delta_scan",
    "Apache Hudi": "in sql Spark, Trino or Athena",
    "Apache Iceberg": "in an upstream task pyiceberg, in sql DuckDB's iceberg_scan",
}


def refuse_tables(paths: Iterable[Any]) -> None:
    """Check that files do not belong to a table with a transaction log.

    The folder of such a table also has rows that were deleted from the table, and old versions of updated rows.

    :param paths: Files and folders, ``pathlib.Path`` or ``ObjectStoragePath``. Their parent folders are checked as
        well.
    :raises ProfileDataError: If a file belongs to such a table.
    """
    real_paths = [real for path in paths for real in _real_paths(path)]
    for filesystem in {id(real.fs): real.fs for real in real_paths if hasattr(real, "fs")}.values():
        filesystem.invalidate_cache()  # s3fs before 2026.9 caches the part of a folder that a glob listed as the whole
    folders = {str(folder): folder for real in real_paths for folder in (real, *real.parents)}
    for folder in folders.values():
        table_format = _table_format(folder)
        if table_format:
            raise ProfileDataError(
                f"{str(folder)!r} is a table of {table_format}. Its files also have rows that were deleted or replaced "
                "in the table, so they cannot be read directly. Read the table through its log: "
                f"{_ALTERNATIVES[table_format]}, and give the rows as sql, or as files that an upstream task writes to "
                "another folder."
            )


def _real_paths(path: Any) -> list[Any]:
    """Return the path; for a local path, also the path with symbolic links resolved."""
    if getattr(path, "protocol", "") in ("", "file"):
        local = str(getattr(path, "path", path))
        return [Path(os.path.abspath(local)), Path(os.path.realpath(local))]  # abspath() does not resolve links
    return [path]


def _table_format(folder: Any) -> str | None:
    for marker, table_format in _MARKERS.items():
        if _exists(folder / marker):
            return table_format
    if folder.name == "data" and _is_iceberg(folder.parent / "metadata"):
        return "Apache Iceberg"
    return "Apache Iceberg" if folder.name == "metadata" and _is_iceberg(folder) else None


def _is_iceberg(metadata: Any) -> bool:
    return _exists(metadata) and next(iter(metadata.glob("*.metadata.json")), None) is not None


def _exists(path: Any) -> bool:
    try:
        return bool(path.exists())
    except PermissionError:  # credentials may permit reading objects but not listing folders
        return False
