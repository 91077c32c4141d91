"""The bad rows of a task, as one Parquet file in the folder that the user names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.airflow_compat import ObjectStoragePath

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.rejects import Rejects


def write_rejects(rejects: Rejects, folder: str, ti: Any) -> str | None:
    """Write the bad rows, or remove the file of an earlier try where there are none.

    :param folder: local or in object storage
    :param ti: the task instance, of which the file is named
    :returns: the file's path, or None where no row was bad
    """
    name = f"rejects-{ti.dag_id}-{ti.task_id}-{ti.run_id}-{ti.map_index}.parquet"
    file = ObjectStoragePath(folder) / re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    if not rejects.by_reason.total():
        file.unlink(missing_ok=True)
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        rejects.write_parquet(stream)
    return str(file)
