"""Output files of a task, such as its rejected rows, in a user-defined folder."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.version_compat import ObjectStoragePath

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.rejects import Rejects

_MAX_READABLE = 200  # characters; file systems allow 255 bytes for a name


def task_file(kind: str, folder: str, ti: Any) -> ObjectStoragePath:
    """Return the path of an output file, which is the same for all tries of a task instance.

    :param kind: Prefix of the file name.
    :param folder: Folder, local or in object storage.
    :param ti: Task instance.
    """
    path = task_folder(kind, folder, ti)
    return path.with_name(f"{path.name}.parquet")


def task_folder(kind: str, folder: str, ti: Any) -> ObjectStoragePath:
    """Return the path of a folder of output files, which is the same for all tries of a task instance.

    :param kind: Prefix of the name.
    :param folder: Folder that contains it, local or in object storage.
    :param ti: Task instance.
    """
    ids = [ti.dag_id, ti.task_id, ti.run_id, ti.map_index]
    readable = re.sub(r"[^A-Za-z0-9_.-]", "_", "-".join(map(str, ids)))[:_MAX_READABLE]
    # The ids joined are ambiguous ("a-b" and "c", "a" and "b-c"); the digest is not.
    digest = hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]
    return ObjectStoragePath(folder) / f"{kind}-{readable}-{digest}"


def write_rejects(rejects: Rejects, folder: str, ti: Any) -> str | None:
    """Write the rejected rows. Without rejected rows, delete the file of an earlier try.

    :param folder: Folder, local or in object storage.
    :param ti: Task instance, which determines the file name.
    :return: Path of the file; None if no row was rejected.
    """
    file = task_file("rejects", folder, ti)
    if not rejects.by_reason.total():
        file.unlink(missing_ok=True)
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        rejects.write_parquet(stream)
    return str(file)
