"""Compare the time of a whole upload with the time of each of its stages.

    python benchmarks/end_to_end.py [--rows 1000000] [--runs 3] [--delay 0.5] [--json FILE]

The operator uploads a Parquet file to a sink on this machine (``sink.py``), once without and once with a delay before
each answer. Reading, encoding and uploading run in parallel, so the whole should take little more time than the slowest
stage. Each result is the median of several runs in separate processes, without data generation, and after a small
warm-up run that triggers lazy imports. On a shared machine, the ratio compares runs of the same turn.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import tables
from measuring import Report, airflow_environment, apart, in_turn, measured, medians, options

from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.files import read_files

MAX_ROWS = 499_999  # files end at max_bytes_per_file, so that no call waits for the rate limiter
AT_ONCE = 2


def read(path: Path, folder: Path) -> Callable[[], object]:
    """Read the rows."""

    def work() -> None:
        for _ in read_files([path]).record_batches():
            pass

    return work


def encode(path: Path, folder: Path) -> Callable[[], object]:
    """Check and encode rows in memory and write the files."""
    run = ProfilePipeline(read_data(pq.read_table(path)), ProfileOptions(max_rows_per_file=MAX_ROWS), folder)

    def work() -> None:
        for file in run.files():
            file.path.unlink()

    return work


def upload(path: Path, folder: Path) -> Callable[[], object]:
    """Send existing files."""
    from airflow_provider_adobe_target.concurrency.worker_pool import run_pool
    from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook

    hook = AdobeTargetHook()
    files = list(ProfilePipeline(read_files([path]), ProfileOptions(max_rows_per_file=MAX_ROWS), folder).files())
    session = hook.session

    return lambda: run_pool(
        files,
        lambda _, file, clock: session.replace(clock=clock).submit(file),
        max_workers=AT_ONCE,
        stop=threading.Event(),
    )


def whole(path: Path, folder: Path) -> Callable[[], object]:
    """Run the operator, with all stages."""
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


def small(path: Path) -> Path:
    return path.with_name("small.parquet")


STAGES = {"read": read, "encode": encode, "upload": upload}
WORKS = {**STAGES, "whole": whole}


def measure(name: str, path: Path) -> dict[str, float]:
    """Run one candidate in this process, first with few rows."""
    folders = (tempfile.TemporaryDirectory() for _ in range(3))
    with next(folders) as small_folder, next(folders) as folder, next(folders) as shared:
        os.environ["ADOBE_TARGET_SHARED_FOLDER"] = shared  # a run must not wait for the calls of the previous one
        WORKS[name](small(path), Path(small_folder))()
        return measured(WORKS[name](path, Path(folder)))


@contextmanager
def sink(delay: float) -> Iterator[str]:
    """Run a sink during a ``with`` block."""
    command = [sys.executable, str(Path(__file__).with_name("sink.py")), "--delay", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def compare(report: Report, path: Path, rows: int, runs: int, delay: float) -> None:
    """Add a table that compares the whole with its stages."""
    with sink(delay) as url:
        environment = airflow_environment(path.parent, url)
        figures = in_turn(WORKS, runs, lambda name: apart(__file__, "--one", name, "--path", path, **environment))
    slowest = [max(turn) for turn in zip(*([run["wall"] for run in figures[name]] for name in STAGES), strict=True)]
    records = []
    for name in WORKS:
        ratio = statistics.median(run["wall"] / most for run, most in zip(figures[name], slowest, strict=True))
        records.append({"what": name, **medians(figures[name]), "ratio": ratio})
    report.add(
        f"delay_{delay}",
        f"{rows:,} rows, {AT_ONCE} uploads at once, {delay} s before each answer; medians of {runs} runs",
        {
            "what": ("what", "{}"),
            "wall": ("wall s", "{:.2f}"),
            "ratio": ("wall, times the slowest stage", "{:.2f}"),
            "cpu": ("CPU s", "{:.2f}"),
            "peak": ("peak MiB", "{:.0f}"),
        },
        records,
    )


def main() -> None:
    """Print both tables, or the results of one run as JSON."""
    parser = options(__doc__, runs=3, rows=1_000_000)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds before each answer of the slow sink")
    parser.add_argument("--path", type=Path, help="with --one")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.path)))
        return
    report = Report(arguments.json, "pyarrow", "apache-airflow")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profiles.parquet"
        tables.write(path, arguments.rows)
        tables.write(small(path), 1_000)
        for delay in (0.0, arguments.delay):
            compare(report, path, arguments.rows, arguments.runs, delay)


if __name__ == "__main__":
    main()
