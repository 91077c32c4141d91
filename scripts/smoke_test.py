"""Test an installed distribution: provider discovery, imports, the command line, and an upload to the sandbox.

It must run in an environment with the distribution, outside of the repository. ``make dist`` runs it.
"""

# ruff: noqa: T201, S101, S603 - a test that runs installed programs

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import entry_points, version
from pathlib import Path

PACKAGE = "airflow_provider_adobe_target"
DISTRIBUTION = "airflow-provider-adobe-target"
PUBLIC = {
    "hooks.adobe_target": ["AdobeTargetHook"],
    "operators.adobe_target": ["BulkProfileUpdateOperator", "SingleProfileUpdateOperator"],
    "sensors.adobe_target": ["BatchStatusSensor"],
    "triggers.adobe_target": ["BatchStatusTrigger"],
    "sandbox": ["Sandbox"],
}


def main() -> None:
    """Run all tests, and print the installed versions."""
    assert "site-packages" in str(Path(importlib.import_module(PACKAGE).__file__ or "")), "not the installed package"
    check_discovery()
    for module, names in PUBLIC.items():
        imported = importlib.import_module(f"{PACKAGE}.{module}")
        assert all(hasattr(imported, name) for name in names), module
    check_command_line()
    packages = ", ".join(f"{name} {version(name)}" for name in ("apache-airflow", "pandas", "pyarrow"))
    print(f"ok ({DISTRIBUTION} {version(DISTRIBUTION)}, Python {platform.python_version()}, {packages})")


def check_discovery() -> None:
    """Check that Airflow finds the provider and its connection type."""
    [point] = [point for point in entry_points(group="apache_airflow_provider") if point.module.startswith(PACKAGE)]
    assert point.load()()["versions"] == [version(DISTRIBUTION)]
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.providers[DISTRIBUTION].version == version(DISTRIBUTION)
    hook = manager.hooks["adobe_target"]
    assert hook is not None
    assert hook.hook_name == "Adobe Target"


def check_command_line() -> None:
    """Send rows to the sandbox with the installed commands, and read one profile."""
    bin_folder = Path(sys.executable).parent
    program = str(bin_folder / "adobe-target")
    assert version(DISTRIBUTION) in run([program, "--version"])
    assert "send" in run([program, "--help"])
    assert "usage" in run([str(bin_folder / "adobe-target-sandbox"), "--help"])
    command = [program, "sandbox", "--port", "0", "--processing-seconds", "0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox,
    ):
        try:
            assert sandbox.stdout is not None
            os.environ["ADOBE_TARGET_HOST"] = sandbox.stdout.readline().split()[3]
            os.environ["ADOBE_TARGET_CLIENT_CODE"] = "acme"
            os.environ["ADOBE_TARGET_SHARED_FOLDER"] = str(Path(folder, "shared"))
            rows = Path(folder, "rows.csv")
            rows.write_text("thirdPartyId,tier\nU1,gold\nU2,silver\n", encoding="utf-8")
            report = json.loads(run([program, "send", str(rows), "--wait", "--poll-interval", "0.2", "--json"]))
            assert report["rows_sent"] == report["batches"][0]["successful_updates"] == 2
            profile = json.loads(run([program, "profile", "U1", "--json"]))
            assert profile["attributes"]["tier"]["value"] == "gold"
            assert json.loads(run([program, "doctor", "--json"]))["findings"]
        finally:
            sandbox.terminate()


def run(command: list[str]) -> str:
    """Run a program and return its standard output."""
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{command[1]} after {time.monotonic() - started:.0f} s: {done.stdout}{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    main()
