"""Backfills of real purchases with a ledger: some days of the benchmark, in all orders."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "arguments",
    ["--order forward", "--order backward --tasks 3", "--order shuffled --tasks 3 --faults"],
)
def test_profiles_equal_the_source_after_each_day(arguments):
    command = [sys.executable, "benchmarks/ledger_backfill.py", "--days", "8", "--customers", "400"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [*command, *arguments.split()], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "8 days" in done.stdout
