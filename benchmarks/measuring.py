"""What all benchmarks share: a candidate in a process of its own, what it took, and where the figures go."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

Figures = dict[str, float]

_MAXRSS_A_MIB = 1 << 20 if sys.platform == "darwin" else 1 << 10


def cpu_seconds() -> float:
    """User and system time of all threads of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_mib() -> float:
    """The most memory this process has had."""
    try:
        # Not ru_maxrss: that begins with the memory of the process that started this one.
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_A_MIB


def keep_to_one_core() -> None:
    """Have all threads of this process take turns on one core.

    What a machine calls two cores may share the parts of one: two busy threads then take more CPU seconds than the same
    work one after the other.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def measured(work: Callable[[], object]) -> Figures:
    """Do some work in this process, and return the seconds it took and the memory there was before and at most."""
    memory, cpu, wall = peak_mib(), cpu_seconds(), time.perf_counter()
    work()
    return {
        "cpu": cpu_seconds() - cpu,
        "wall": time.perf_counter() - wall,
        "before": memory,
        "peak": peak_mib(),
    }


# Stands between this process and the candidate, as the most memory that the system counts begins with the starter's.
_WATCH = """
import json, os, sys
process = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(process, 0)
print(json.dumps({"cpu_outside": usage.ru_utime + usage.ru_stime, "peak_outside": usage.ru_maxrss}))
sys.exit(abs(os.waitstatus_to_exitcode(status)))
"""
_OUTSIDE_MAY_DIFFER = 0.05


def apart(script: str, *arguments: object, **environment: str) -> Figures:
    """Run one candidate in a fresh process, whose last line of output is its figures as JSON.

    What the system counts of the process from outside, as ``/usr/bin/time -v`` does, has to agree with what it counts
    of itself.
    """
    command = [sys.executable, "-IS", "-c", _WATCH, sys.executable, script, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if result.returncode:
        raise SystemExit(f"{result.stderr}\n{' '.join(command[4:])} ended with code {result.returncode}.")
    inside, outside = map(json.loads, result.stdout.splitlines()[-2:])
    peak = outside["peak_outside"] / _MAXRSS_A_MIB
    if abs(peak / inside["peak"] - 1) > _OUTSIDE_MAY_DIFFER or inside.get("cpu", 0) > outside["cpu_outside"]:
        raise SystemExit(f"{' '.join(command[4:])} counts {inside}, and the system {outside}.")
    return {**inside, "peak_outside": peak}


def airflow_environment(home: Path | str, host: str) -> dict[str, str]:
    """Return an environment in which Airflow is quiet, and its connection to Adobe Target leads to ``host``.

    :param home: a folder for what Airflow writes
    :param host: a URL
    """
    connection = {"conn_type": "adobe_target", "login": "acme", "host": host, "extra": {"calls_per_minute": 50}}
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": json.dumps(connection),
    }


def in_turn(candidates: Iterable[str], runs: int, run: Callable[[str], Figures]) -> dict[str, list[Figures]]:
    """Run the candidates one after the other, and that several times, so that a busy minute hits them all."""
    names = list(candidates)
    figures: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            figures[name].append(run(name))
    return figures


def medians(runs: Sequence[Figures]) -> Figures:
    """Return the median of each figure."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


class Report:
    """Tables, printed as they come, and kept as JSON where a file is named.

    :param path: the file, or None
    :param packages: distributions whose versions matter
    """

    def __init__(self, path: Path | None, *packages: str) -> None:
        versions = ", ".join(f"{package} {version(package)}" for package in packages)
        self._path = path
        self._content: dict[str, Any] = {
            "machine": f"Python {platform.python_version()}, {versions}, {os.cpu_count()} cores"
        }
        print(self._content["machine"], flush=True)

    def add(self, key: str, title: str, columns: Mapping[str, tuple[str, str]], records: list[dict[str, Any]]) -> None:
        """Add a table.

        :param key: its name in the JSON
        :param columns: a record's key to the column's heading and how a figure is written
        :param records: the rows
        """
        self._content[key] = records
        print(f"\n{title}\n\n| {' | '.join(heading for heading, _ in columns.values())} |")
        print("|---" * len(columns) + "|")
        for record in records:
            cells = (form.format(record[name]) for name, (_, form) in columns.items())
            print(f"| {' | '.join(cells)} |", flush=True)
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._content, indent=1) + "\n")


def options(description: str | None, *, runs: int, rows: int | None = None) -> argparse.ArgumentParser:
    """Return a parser of what all benchmarks have: how many runs, of how many rows, and a file for the figures."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=runs)
    if rows is not None:
        parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser
