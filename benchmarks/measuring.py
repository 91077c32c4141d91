"""Shared parts of all benchmarks: run a candidate in its own process, measure it, and print or save the results."""

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
    """Return the peak memory of this process."""
    try:
        # Not ru_maxrss, which starts with the memory of the parent process.
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_A_MIB


def keep_to_one_core() -> None:
    """Restrict all threads of this process to one core.

    Two logical cores may share one physical core. Two busy threads then take more CPU seconds than the same work
    in sequence.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def measured(work: Callable[[], object]) -> Figures:
    """Run a function in this process. Return its seconds, the memory before it and the peak memory."""
    memory, cpu, wall = peak_mib(), cpu_seconds(), time.perf_counter()
    work()
    return {
        "cpu": cpu_seconds() - cpu,
        "wall": time.perf_counter() - wall,
        "before": memory,
        "peak": peak_mib(),
    }


# Runs between this process and the candidate, because ru_maxrss starts with the memory of the parent process.
_WATCH = """
import json, os, sys
process = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(process, 0)
print(json.dumps({"cpu_outside": usage.ru_utime + usage.ru_stime, "peak_outside": usage.ru_maxrss}))
sys.exit(abs(os.waitstatus_to_exitcode(status)))
"""
_OUTSIDE_MAY_DIFFER = 0.05


def apart(script: str, *arguments: object, **environment: str) -> Figures:
    """Run one candidate in a new process, whose last line of output is its results as JSON.

    Its own measurements must agree with those of the operating system, as ``/usr/bin/time -v`` shows them.
    """
    command = [sys.executable, "-IS", "-c", _WATCH, sys.executable, script, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if result.returncode:
        raise SystemExit(f"{result.stderr}\n{' '.join(command[4:])} ended with code {result.returncode}.")
    inside, outside = map(json.loads, result.stdout.splitlines()[-2:])
    peak = outside["peak_outside"] / _MAXRSS_A_MIB
    if abs(peak / inside["peak"] - 1) > _OUTSIDE_MAY_DIFFER or inside.get("cpu", 0) > outside["cpu_outside"]:
        raise SystemExit(f"{' '.join(command[4:])} measured {inside}, but the operating system {outside}.")
    return {**inside, "peak_outside": peak}


def airflow_environment(home: Path | str, host: str) -> dict[str, str]:
    """Return environment variables for an Airflow with little logging and a connection to Adobe Target at ``host``.

    :param home: Folder for the files of Airflow.
    :param host: Base URL of the connection.
    """
    connection = {"conn_type": "adobe_target", "login": "acme", "host": host, "extra": {"calls_per_minute": 50}}
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": json.dumps(connection),
    }


def in_turn(candidates: Iterable[str], runs: int, run: Callable[[str], Figures]) -> dict[str, list[Figures]]:
    """Run all candidates in turn, several times, so that a change of the machine's load affects all of them."""
    names = list(candidates)
    figures: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            figures[name].append(run(name))
    return figures


def medians(runs: Sequence[Figures]) -> Figures:
    """Return the median of each measurement."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


class Report:
    """Tables that are printed, and saved as JSON if a file is given.

    :param path: Path of the file, or None.
    :param packages: Distributions whose versions are printed.
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

        :param key: Name of the table in the JSON.
        :param columns: Heading and number format of each column, by key of the records.
        :param records: Rows of the table.
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
    """Return a parser for the options of all benchmarks: number of runs, number of rows, and a file for the results."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=runs)
    if rows is not None:
        parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser
