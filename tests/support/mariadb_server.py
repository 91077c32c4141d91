"""A real MariaDB or MySQL server, which only a socket in its own folder leads to."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def _programs() -> tuple[str, list[str]]:
    """Return the server and the command that creates its tables, or skip the test."""
    if (server := shutil.which("mariadbd", path=PATH)) and (install := shutil.which("mariadb-install-db", path=PATH)):
        return server, [install, "--auth-root-authentication-method=normal", "--skip-test-db"]
    if server := shutil.which("mysqld", path=PATH):
        return server, [server, "--initialize-insecure"]
    pytest.skip("no mariadbd and no mysqld on this machine")


@contextmanager
def running_mariadb() -> Iterator[Path]:
    """Run a server and yield its socket. The user is root, without a password."""
    server, install = _programs()
    # Not below pytest's folder, which no other user can read; and the path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    user = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        nobody = pwd.getpwnam("nobody")  # check-language: ignore
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    options = {"cwd": folder, "env": {"PATH": PATH, "LC_ALL": "C", "TZ": "UTC", "HOME": str(folder)}, **user}
    try:
        subprocess.run(
            [install[0], "--no-defaults", f"--datadir={folder}/data", *install[1:]],
            check=True,
            capture_output=True,
            **options,
        )
        sock = folder / "socket"
        command = [
            *(server, "--no-defaults", f"--datadir={folder}/data", f"--socket={sock}", "--skip-networking"),
            *(f"--pid-file={folder}/pid", "--character-set-server=utf8mb4", "--default-time-zone=+00:00"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--skip-log-bin"),
        ]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **options)
        try:
            deadline = time.monotonic() + 60
            while not sock.exists():
                is_starting = process.poll() is None and time.monotonic() < deadline
                assert is_starting, (folder / "log").read_text()
                time.sleep(0.05)
            yield sock
        finally:
            process.terminate()
            process.wait(60)
    finally:
        shutil.rmtree(folder)
