"""What a whole upload takes, beside what each of its stages takes alone.

    python benchmarks/end_to_end.py [--rows 2000000] [--runs 5] [--delay 0.5]

A Parquet file goes through the operator to a sink on this machine (``sink.py``), once as fast as it takes the files and
once with a delay before each answer. Reading, encoding and uploading proceed side by side: the whole should take hardly
more than the slowest of them. Each figure is the median of several runs, each run a process of its own, without imports
and making the data. The machine may be shared: the ratio compares runs of one turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
from encoding import whole_walk, write_parquet

from airflow_provider_adobe_target.profiles.files import rows_from_files
from airflow_provider_adobe_target.profiles.run import ProfileRules, ProfileRun
from airflow_provider_adobe_target.profiles.sources import rows_from_data

MAX_ROWS = 499_999  # so that files end at max_bytes_per_file, and no call has to wait for the budget
AT_ONCE = 2


def read(path: Path, folder: Path) -> Callable[[], object]:
    """Read the rows."""

    def work() -> None:
        for _ in rows_from_files([path]).batches():
            pass

    return work


def encode(path: Path, folder: Path) -> Callable[[], object]:
    """Check and encode rows that are in memory, and write the files."""
    rows = rows_from_data(pq.read_table(path))
    return lambda: whole_walk(rows, folder)


def upload(path: Path, folder: Path) -> Callable[[], object]:
    """Send files that are there."""
    from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
    from airflow_provider_adobe_target.operators.uploads import send_files

    hook = AdobeTargetHook()
    files = list(ProfileRun(rows_from_files([path]), ProfileRules(max_rows_per_file=MAX_ROWS), folder).files())
    assert hook.budget

    return lambda: send_files(
        files,
        lambda _, file, clock: hook.submit(file.path, file.rows, file.size, file.sha256, "v2", clock),
        at_once=AT_ONCE,
        stop=threading.Event(),
    )


def whole(path: Path, folder: Path) -> Callable[[], object]:
    """All of it, as a task does it."""
    from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

    operator = BulkProfileUpdateOperator(
        task_id="upload",
        path=str(path),
        max_rows_per_file=MAX_ROWS,
        max_concurrent_uploads=AT_ONCE,
        wait_for_completion=False,
        deferrable=False,
    )
    return lambda: operator.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None)})


STAGES = {"read": read, "encode": encode, "upload": upload}
WORKS = {**STAGES, "whole": whole}


def measure(name: str, path: Path) -> dict[str, float]:
    """Run one of the works in this process."""
    with tempfile.TemporaryDirectory() as folder:
        work = WORKS[name](path, Path(folder))
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        work()
        after, ended = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": ended - started, "cpu": cpu, "peak": after.ru_maxrss / 1024}


def measured_apart(name: str, path: Path, url: str) -> dict[str, float]:
    """Run one of the works in a fresh process."""
    connection = {"conn_type": "adobe_target", "login": "acme", "host": url, "extra": {"calls_per_minute": 50}}
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(path.parent),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": json.dumps(connection),
    }
    command = [sys.executable, __file__, "--one", name, "--path", str(path)]
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(result.stdout.splitlines()[-1]))


@contextmanager
def sink(delay: float) -> Iterator[str]:
    """Start a sink, and end it."""
    command = [sys.executable, str(Path(__file__).with_name("sink.py")), "--delay", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def compare(path: Path, rows: int, runs: int, delay: float) -> Iterable[str]:
    """Yield the lines of the table that compares the whole with its stages."""
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in WORKS}
    with sink(delay) as url:
        for _ in range(runs):
            for name in WORKS:
                figures[name].append(measured_apart(name, path, url))
    yield f"{rows:,} rows, {AT_ONCE} uploads at once, {delay} s before each answer; medians of {runs} runs"
    yield ""
    yield "| what | wall s | CPU s | peak MiB |"
    yield "|---|---|---|---|"
    for name in WORKS:
        wall, cpu, peak = (statistics.median(run[key] for run in figures[name]) for key in ("wall", "cpu", "peak"))
        yield f"| {name} | {wall:.2f} | {cpu:.2f} | {peak:.0f} |"
    turns = [{name: figures[name][turn]["wall"] for name in WORKS} for turn in range(runs)]
    ratios = [turn["whole"] / max(turn[name] for name in STAGES) for turn in turns]
    yield ""
    yield f"whole / slowest stage: {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    """Print both tables, or one run's figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds before each answer of the slow sink")
    parser.add_argument("--one", choices=WORKS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.path)))
        return
    print(f"Python {platform.python_version()}, pyarrow {pa.__version__}, {os.cpu_count()} cores\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profiles.parquet"
        write_parquet(path, arguments.rows)
        for delay in (0.0, arguments.delay):
            for line in compare(path, arguments.rows, arguments.runs, delay):
                print(line, flush=True)
            print()


if __name__ == "__main__":
    main()
