"""Location of a ledger: a folder, local or in object storage through Airflow's connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_adobe_target.ledger.errors import LedgerFullDiskError, LedgerRefusedError


class Location:
    """Folder of a ledger, and the small files beside its table.

    :param path: Path or URL of the folder. ``s3://connection@bucket/folder`` names an Airflow connection.
    :raises LedgerRefusedError: If the path is empty.
    """

    def __init__(self, path: str) -> None:
        if not isinstance(path, (str, os.PathLike)) or not str(path).strip():
            raise LedgerRefusedError("path of ProfileLedger must be a folder, local or in object storage.")
        url = urlsplit(str(path))
        self.is_local = url.scheme in ("", "file")
        self._is_s3 = url.scheme in ("s3", "s3a")
        if self.is_local:
            self.uri = str(Path(url.path if url.scheme else str(path)).absolute())
            self._files: Any = None
            self._root = self.uri
            return
        from airflow_provider_adobe_target.version_compat import ObjectStoragePath

        folder = ObjectStoragePath(str(path))
        self._files = folder.fs
        self._root = folder.path
        self.uri = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"

    @property
    def storage_options(self) -> dict[str, str] | None:
        """Options of delta-rs with the credentials of the Airflow connection; None for those of the environment."""
        return _aws_options(self._files) if self._is_s3 else None

    @contextlib.contextmanager
    def explain_full_disk(self) -> Iterator[None]:
        """Name the folder in the error of a full disk. Delta Lake raises it without a code.

        :raises LedgerFullDiskError: If no space is left.
        """
        try:
            yield
        except Exception as error:
            if not _is_full_disk(error):
                raise
            raise LedgerFullDiskError(
                f"No space is left in the ledger's folder {self.uri}. Free some, and run the task again: it settles "
                "what was sent, and sends the other rows. A compaction needs as much space as the table."
            ) from error

    def make_private(self) -> None:
        """Create a local folder that only its owner can read. Object storage has its own access control."""
        if self.is_local:
            Path(self.uri).mkdir(parents=True, exist_ok=True)
            Path(self.uri).chmod(0o700)

    def write(self, name: str, data: bytes) -> None:
        """Write a file beside the table atomically."""
        if not self.is_local:
            with self._files.open(f"{self._root}/{name}", "wb") as stream:
                stream.write(data)
            return
        file = Path(self.uri, name)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(file)
        finally:
            new.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        """Return the contents of a file; None if it does not exist."""
        try:
            if self.is_local:
                return Path(self.uri, name).read_bytes()
            with self._files.open(f"{self._root}/{name}", "rb") as stream:
                data: bytes = stream.read()
            return data
        except FileNotFoundError:
            return None

    def exists(self, name: str) -> bool:
        """Return whether a file exists beside the table."""
        if self.is_local:
            return Path(self.uri, name).exists()
        return bool(self._files.exists(f"{self._root}/{name}"))

    def open_input(self, name: str) -> Any:
        """Open a file for reading, as a context manager."""
        return Path(self.uri, name).open("rb") if self.is_local else self._files.open(f"{self._root}/{name}", "rb")

    def open_output(self, name: str) -> Any:
        """Open a new file for writing, as a context manager. The file may be incomplete after a crash."""
        if not self.is_local:
            return self._files.open(f"{self._root}/{name}", "wb")
        file = Path(self.uri, name)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder beside the table, sorted."""
        if self.is_local:
            path = Path(self.uri, folder)
            found = [entry.name for entry in path.iterdir()] if path.is_dir() else []
        else:
            self._files.invalidate_cache()
            try:
                found = [
                    entry.rstrip("/").rpartition("/")[2]
                    for entry in self._files.ls(f"{self._root}/{folder}", detail=False)
                ]
            except FileNotFoundError:
                found = []
        return sorted(name for name in found if name and not name.startswith("."))

    def remove_file(self, name: str) -> None:
        """Remove a file beside the table, if it exists."""
        if self.is_local:
            Path(self.uri, name).unlink(missing_ok=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm(f"{self._root}/{name}")

    def remove(self, folder: str) -> None:
        """Remove a folder beside the table, with its files. Another run may do the same at the same time."""
        if self.is_local:
            import shutil

            shutil.rmtree(Path(self.uri, folder), ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm(f"{self._root}/{folder}", recursive=True)

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file atomically.

        :raises LedgerFullDiskError: If no space is left.
        """
        with self.explain_full_disk():
            self.write(name, json.dumps(content).encode())

    def read_json(self, name: str) -> Any:
        """Return the contents of a JSON file; None if it does not exist."""
        data = self.read(name)
        return None if data is None else json.loads(data)


def _is_full_disk(error: Exception) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in codes or any(f"os error {code})" in str(error) for code in codes)


def _aws_options(files: Any) -> dict[str, str]:
    """Return the options of delta-rs for the session of an s3fs file system. Temporary credentials are renewed."""

    def result(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, files.loop).result()

    options = {"AWS_ENDPOINT_URL": files.endpoint_url, "AWS_REGION": files.session.get_config_variable("region")}
    credentials = result(files.session.get_credentials())
    if credentials is None:
        options["AWS_SKIP_SIGNATURE"] = "true"
    else:
        frozen = result(credentials.get_frozen_credentials())
        options["AWS_ACCESS_KEY_ID"] = frozen.access_key
        options["AWS_SECRET_ACCESS_KEY"] = frozen.secret_key
        options["AWS_SESSION_TOKEN"] = frozen.token
    if (files.endpoint_url or "").startswith("http:"):
        options["AWS_ALLOW_HTTP"] = "true"
    return {name: value for name, value in options.items() if value}
