"""What it costs to turn columns into batch files, beside what the same columns cost as plain CSV.

    python benchmarks/encoding.py [--rows 1000000] [--runs 5]

Each figure is the median of several runs, the candidates in turn, each run a process of its own: CPU seconds (user and
system, all threads) of the work alone without imports and making the data, and the peak of the process's memory. The
machine may be shared: trust the ratios, which compare runs of one turn, more than the seconds.
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
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from airflow_provider_adobe_target.profiles.batch_files import cut_files
from airflow_provider_adobe_target.profiles.encoding import encode_lines
from airflow_provider_adobe_target.profiles.files import rows_from_files
from airflow_provider_adobe_target.profiles.run import ProfileRules, ProfileRun
from airflow_provider_adobe_target.profiles.sources import Rows, rows_from_data
from airflow_provider_adobe_target.profiles.text import to_text

NAIVE_ROWS = 100_000  # what a loop over rows does of the rows: it would take minutes for all


def table(rows: int, seed: int = 7) -> pa.Table:
    """Make an id and ten attributes of mixed types; a tenth of the text needs encoding."""
    rng = np.random.default_rng(seed)

    def words(*choices: str) -> pa.Array:
        return pa.array(np.array(choices)[rng.integers(0, len(choices), rows)])

    def days(unit: str, span: int) -> pa.Array:
        return pa.array(np.datetime64("2020-01-01") + rng.integers(0, span, rows).astype(f"timedelta64[{unit}]"))

    return pa.table(
        {
            "thirdPartyId": pa.array([f"customer-{number:09d}" for number in rng.permutation(rows)]),
            "tier": words("gold", "silver", "bronze"),
            "city": words("Zürich", "New York, NY", "München", "London", "San Francisco", "Paris", "Kraków"),
            "note": pa.array([f"prefers {a} & {b}%" for a, b in rng.integers(0, 1000, (rows, 2))]),
            "score": pa.array(np.round(rng.random(rows) * 1000, 2)),
            "probability": pa.array(rng.random(rows)),
            "orders": pa.array(rng.integers(0, 1_000_000, rows)),
            "visits": pa.array(rng.integers(0, 99, rows).astype(np.int32)),
            "subscribed": pa.array(rng.random(rows) < 0.5),
            "birthday": days("D", 2_000).cast(pa.date32()),
            "last_seen": days("s", 10**8).cast(pa.timestamp("us")),
        }
    )


def write_csv(data: pa.Table, folder: Path) -> None:
    """Do what the work is compared with: the same columns as text, without any encoding."""
    pa.csv.write_csv(data, folder / "plain.csv")


def encode_only(data: pa.Table, folder: Path) -> None:
    """Text, encoding and files, without a check."""
    blocks = (
        (batch.schema.names[1:], encode_lines([to_text(column).text for column in batch.columns]))
        for batch in data.to_batches(max_chunksize=32_768)
    )
    for file in cut_files(blocks, folder, key=lambda: "thirdPartyId", max_rows=499_999, max_bytes=49_000_000):
        file.path.unlink()


def whole_walk(rows: Rows, folder: Path) -> None:
    """All that the operator does in a dry run."""
    for file in ProfileRun(rows, ProfileRules(max_rows_per_file=499_999), folder).files():
        file.path.unlink()


def naive(frame: pd.DataFrame, folder: Path) -> None:
    """Do what one would write in ten minutes: a loop over rows, each value quoted by itself."""
    with (folder / "naive.txt").open("w") as file:
        file.write("batch=" + ",".join(frame.columns))
        for row in frame.itertuples(index=False):
            file.write("\n" + ",".join(quote(str(value), safe="") for value in row))


def prepare(name: str, rows: int, folder: Path) -> Callable[[], None]:
    """Make a candidate's input, and return the work to be measured."""
    if name == "Parquet, whole walk":
        path = folder / "profiles.parquet"
        write_parquet(path, rows)
        return lambda: whole_walk(rows_from_files([path]), folder)
    data = table(rows)
    if name == "pandas, whole walk":
        frame = data.to_pandas()
        del data
        return lambda: whole_walk(rows_from_data(frame), folder)
    if name == "pandas, itertuples and quote":
        frame = data.slice(0, NAIVE_ROWS).to_pandas()
        return lambda: naive(frame, folder)
    works = {
        "Arrow, write_csv (no encoding)": lambda: write_csv(data, folder),
        "Arrow, encoder alone": lambda: encode_only(data, folder),
        "Arrow, whole walk": lambda: whole_walk(rows_from_data(data), folder),
    }
    return works[name]


def write_parquet(path: Path, rows: int) -> None:
    """Write the rows in a process of its own, so that this one's memory does not count them."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import encoding, pyarrow.parquet as pq\n"
        f"writer = None\n"
        f"for start in range(0, {rows}, 500_000):\n"
        f"    part = encoding.table(min(500_000, {rows} - start), start + 7)\n"
        f"    ids = encoding.pa.array([f'customer-{{start + n:09d}}' for n in range(len(part))])\n"
        f"    part = part.set_column(0, 'thirdPartyId', ids)\n"
        f"    writer = writer or pq.ParquetWriter({str(path)!r}, part.schema)\n"
        f"    writer.write_table(part, row_group_size=100_000)\n"
        "writer.close()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def measure(name: str, rows: int) -> dict[str, float]:
    """Run one candidate in this process."""
    with tempfile.TemporaryDirectory() as folder:
        work = prepare(name, rows, Path(folder))
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        work()
        after, ended = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    scale = rows / NAIVE_ROWS if name == "pandas, itertuples and quote" else 1
    return {"cpu": cpu * scale, "wall": (ended - started) * scale, "peak": after.ru_maxrss / 1024}


def measured_apart(name: str, rows: int) -> dict[str, float]:
    """Run one candidate in a fresh process."""
    command = [sys.executable, __file__, "--one", name, "--rows", str(rows)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(result.stdout.splitlines()[-1]))


CANDIDATES = (
    "Arrow, write_csv (no encoding)",
    "Arrow, encoder alone",
    "Arrow, whole walk",
    "pandas, whole walk",
    "Parquet, whole walk",
    "pandas, itertuples and quote",
)


def compare(rows: int, runs: int) -> Iterable[str]:
    """Yield the lines of the table that compares the candidates."""
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in CANDIDATES}
    for _ in range(runs):
        for name in CANDIDATES:
            figures[name].append(measured_apart(name, rows))
    yield f"{rows:,} rows, an id and ten attributes; medians of {runs} runs"
    yield ""
    yield "| from, what | CPU s | wall s | CPU, times write_csv | peak MiB |"
    yield "|---|---|---|---|---|"
    base = [run["cpu"] for run in figures[CANDIDATES[0]]]
    for name in CANDIDATES:
        cpu, wall, peak = (statistics.median(run[key] for run in figures[name]) for key in ("cpu", "wall", "peak"))
        ratio = statistics.median(run["cpu"] / one for run, one in zip(figures[name], base, strict=True))
        yield f"| {name} | {cpu:.2f} | {wall:.2f} | {ratio:.1f} | {peak:.0f} |"


def growth(runs: int) -> Iterable[str]:
    """Yield the lines of the table that shows memory and CPU as rows become more."""
    yield "Parquet, whole walk, as rows become more"
    yield ""
    yield "| rows | CPU µs a row | peak MiB |"
    yield "|---|---|---|"
    for rows in (100_000, 1_000_000, 5_000_000):
        measured = [measured_apart("Parquet, whole walk", rows) for _ in range(runs if rows < 5_000_000 else 1)]
        cpu, peak = (statistics.median(run[key] for run in measured) for key in ("cpu", "peak"))
        yield f"| {rows:,} | {cpu / rows * 1e6:.2f} | {peak:.0f} |"


def main() -> None:
    """Print all tables, or one run's figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", choices=CANDIDATES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.rows)))
        return
    versions = f"pyarrow {pa.__version__}, pandas {pd.__version__}, numpy {np.__version__}"
    print(f"Python {platform.python_version()}, {versions}, {os.cpu_count()} cores\n")
    for line in compare(arguments.rows, arguments.runs):
        print(line, flush=True)
    print()
    for line in growth(arguments.runs):
        print(line, flush=True)


if __name__ == "__main__":
    main()
