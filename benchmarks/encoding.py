"""What it costs to turn columns into batch files, beside what the same columns cost as plain CSV.

    python benchmarks/encoding.py [--rows 1000000] [--runs 5]

Each figure is the median of several runs, the candidates in turn, each run a process of its own: CPU seconds (user and
system, all threads) of the work alone without imports and making the data, and the peak of the process's memory. The
machine may be shared: trust the ratios, which compare runs of one turn, more than the seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from measuring import Figures, Report, apart, in_turn, measured, medians, options

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


def measure(name: str, rows: int) -> Figures:
    """Run one candidate in this process."""
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(prepare(name, rows, Path(folder)))
    if name == "pandas, itertuples and quote":
        figures.update({key: figures[key] * rows / NAIVE_ROWS for key in ("cpu", "wall")})
    return figures


def measured_apart(name: str, rows: int) -> Figures:
    """Run one candidate in a fresh process."""
    return apart(__file__, "--one", name, "--rows", rows)


CANDIDATES = (
    "Arrow, write_csv (no encoding)",
    "Arrow, encoder alone",
    "Arrow, whole walk",
    "pandas, whole walk",
    "Parquet, whole walk",
    "pandas, itertuples and quote",
)


COLUMNS = {
    "name": ("from, what", "{}"),
    "cpu": ("CPU s", "{:.2f}"),
    "wall": ("wall s", "{:.2f}"),
    "times": ("CPU, times write_csv", "{:.1f}"),
    "peak": ("peak MiB", "{:.0f}"),
}
GROWTH_COLUMNS = {
    "rows": ("rows", "{:,}"),
    "microseconds": ("CPU µs a row", "{:.2f}"),
    "peak": ("peak MiB", "{:.0f}"),
}


def compare(rows: int, runs: int) -> list[dict[str, Any]]:
    """Measure the candidates, and how many times the CPU of ``write_csv`` each takes."""
    figures = in_turn(CANDIDATES, runs, partial(measured_apart, rows=rows))
    base = [run["cpu"] for run in figures[CANDIDATES[0]]]
    for measured_runs in figures.values():
        for run, one in zip(measured_runs, base, strict=True):
            run["times"] = run["cpu"] / one
    return [{"name": name, **medians(figures[name])} for name in CANDIDATES]


def growth(runs: int) -> list[dict[str, Any]]:
    """Measure memory and CPU as rows become more."""
    records = []
    for rows in (100_000, 1_000_000, 5_000_000):
        figures = medians([measured_apart("Parquet, whole walk", rows) for _ in range(runs if rows < 5_000_000 else 1)])
        records.append({"rows": rows, "microseconds": figures["cpu"] / rows * 1e6, **figures})
    return records


def main() -> None:
    """Print all tables, or one run's figures as JSON."""
    arguments = options(__doc__, rows=1_000_000, runs=5).parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.rows)))
        return
    report = Report(arguments.json, "pyarrow", "pandas", "numpy")
    title = f"{arguments.rows:,} rows, an id and ten attributes; medians of {arguments.runs} runs"
    report.add("encoding", title, COLUMNS, compare(arguments.rows, arguments.runs))
    report.add("growth", "Parquet, whole walk, as rows become more", GROWTH_COLUMNS, growth(arguments.runs))


if __name__ == "__main__":
    main()
