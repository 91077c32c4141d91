"""Small files in a folder: local, or in object storage."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from airflow_provider_adobe_target.version_compat import ObjectStoragePath

_FILES_PER_REQUEST = 500
_MARK_OF_OBJECT = ("size", "ETag", "LastModified", "last_modified", "mtime")


class Files(Protocol):
    """Files in subfolders. A path is ``SUBFOLDER/NAME``."""

    def list(self, subfolder: str = "") -> dict[str, Any]:
        """Return the names in a subfolder, each with what changes when the file is replaced."""

    def read(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of the files that exist."""

    def write(self, path: str, text: str) -> None:
        """Write a file, or replace it. No reader sees a part of it."""

    def delete(self, path: str) -> None:
        """Delete a file. It need not exist."""


def open_files(folder: str) -> Files:
    """Return the files of a folder.

    :param folder: A local path, or a URL that ``ObjectStoragePath`` accepts.
    """
    path = ObjectStoragePath(folder)
    return LocalFiles(Path(path.path)) if path.protocol in ("", "file", "local") else ObjectFiles(path)


class LocalFiles:
    """Files of a local folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self, subfolder: str = "") -> dict[str, Any]:
        """Return the names in a subfolder, each with the size and time of the file."""
        found: dict[str, Any] = {}
        with suppress(FileNotFoundError), os.scandir(self._folder / subfolder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    found[entry.name] = (status.st_size, status.st_mtime_ns, status.st_ino)
        return found

    def read(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of the files that exist."""
        found = {}
        for path in paths:
            with suppress(FileNotFoundError), open(f"{self._folder}/{path}", "rb") as file:
                found[path] = file.read()
        return found

    def write(self, path: str, text: str) -> None:
        """Write a file under another name, and rename it."""
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{uuid.uuid4().hex}.part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, target)

    def delete(self, path: str) -> None:
        """Delete a file. It need not exist."""
        (self._folder / path).unlink(missing_ok=True)


class ObjectFiles:
    """Objects below a prefix. An object is always replaced as a whole."""

    def __init__(self, folder: ObjectStoragePath) -> None:
        self._folder = folder
        self._prefix = folder.path.rstrip("/")
        self._fs = folder.fs  # here, because it may fetch an Airflow connection

    def list(self, subfolder: str = "") -> dict[str, Any]:
        """Return the names in a subfolder, each with the size, time and ETag of the object."""
        self._fs.invalidate_cache()
        try:
            entries = self._fs.ls(f"{self._prefix}/{subfolder}".rstrip("/"), detail=True)
        except FileNotFoundError:
            return {}
        return {
            str(entry["name"]).rstrip("/").rpartition("/")[2]: tuple(str(entry.get(name)) for name in _MARK_OF_OBJECT)
            for entry in entries
        }

    def read(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of the objects that exist. Several are read at a time."""
        found: dict[str, bytes] = {}
        for begin in range(0, len(paths), _FILES_PER_REQUEST):
            names = {f"{self._prefix}/{path}": path for path in paths[begin : begin + _FILES_PER_REQUEST]}
            contents = self._fs.cat(list(names), on_error="omit")
            found.update((path, contents[name]) for name, path in names.items() if name in contents)
        return found

    def write(self, path: str, text: str) -> None:
        """Write an object."""
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def delete(self, path: str) -> None:
        """Delete an object. It need not exist."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._prefix}/{path}")
