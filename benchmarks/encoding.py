"""What it costs to turn columns into batch files, beside what the same columns cost as plain CSV.

    python benchmarks/encoding.py [--rows 1000000] [--runs 3] [--only NAME]

Each figure is the median of several runs, the candidates in turn, each run a process of its own, on one core: CPU
seconds (user and system, all threads) of the work alone, without imports and making the data, and the peak of the
process's memory. The machine may be shared: trust the ratios, which compare runs of one turn, more than the seconds.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import tables
from measuring import (
    Figures,
    Report,
    airflow_environment,
    apart,
    in_turn,
    keep_to_one_core,
    measured,
    medians,
    options,
)

from airflow_provider_adobe_target.profiles.encoding import encode_lines, string_bytes
from airflow_provider_adobe_target.profiles.values.to_text import to_text

LOOP_ROWS = 100_000  # what a loop over rows does of the rows: it would take minutes for all
DICT_ROWS = 250_000  # a dict takes a hundred times the memory of its columns
FEW_ROWS = 1_000  # what each candidate does before it is measured: much is imported only then
ROWS_A_BATCH = 16_384

BASE = "Arrow, pyarrow.csv.write_csv (no encoding)"
LOOP = "pandas, itertuples and urllib.parse.quote (no checks)"
PANDAS = "pandas, whole walk"


def write_csv(data: pa.Table, folder: Path) -> None:
    """Do what the work is compared with: the same columns as text, without any encoding."""
    pa.csv.write_csv(data, folder / "plain.csv")


def encode_only(data: pa.Table, folder: Path) -> None:
    """Text, encoding and a file, without a check and a checksum, as ``write_csv`` has none."""
    with (folder / "encoded.txt").open("wb") as file:
        for batch in data.to_batches(max_chunksize=ROWS_A_BATCH):
            file.write(encode_lines([to_text(column).text for column in batch.columns]).data)


def whole_walk(folder: Path, **rows: object) -> None:
    """All that the operator does in a dry run, as it is by default."""
    from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

    tempfile.tempdir = str(folder)
    operator = BulkProfileUpdateOperator(task_id="upload", dry_run=True, **rows)
    operator.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None)})


def loop(frame: pd.DataFrame, folder: Path) -> None:
    """Do what one would write in an hour: a loop over rows, each value written and quoted by itself."""
    with (folder / "loop.txt").open("w") as file:
        file.write("batch=" + ",".join(frame.columns))
        for row in frame.itertuples(index=False):
            file.write("\n" + ",".join(quote(written(value), safe="") for value in row))


def written(value: Any) -> str:
    """Write a value; ``str(value)`` alone writes None, nan, True, 42.0 and '2026-01-31 23:59:59', which are wrong."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return str(value)


def duckdb_lines(path: Path, folder: Path) -> None:
    """Let DuckDB read a Parquet file and encode each value."""
    import duckdb

    def text(field: pa.Field) -> str:
        name = f'"{field.name}"'
        if pa.types.is_floating(field.type):
            name = rf"regexp_replace({name}::VARCHAR, '\.0$', '')"
        elif pa.types.is_timestamp(field.type):
            name = f"strftime({name}, '%Y-%m-%dT%H:%M:%S')"
        return f"url_encode(coalesce({name}::VARCHAR, ''))"

    columns = ", ',', ".join(text(field) for field in pq.read_schema(path))
    with duckdb.connect() as connection, (folder / "duckdb.txt").open("wb") as file:
        lines = connection.sql(f"SELECT concat({columns}, chr(10)) AS line FROM '{path}'")
        for batch in lines.to_arrow_reader(ROWS_A_BATCH):
            file.write(string_bytes(batch.column("line")))


Input = tuple[Callable[[Path, int], Any], Callable[[Any, Path], None], int]


def in_file(suffix: str) -> Callable[[Path, int], Path]:
    def make(folder: Path, rows: int) -> Path:
        path = folder / f"profiles-{rows}.{suffix}"
        tables.write(path, rows)
        return path

    return make


def arrow(folder: Path, rows: int) -> pa.Table:
    return tables.table(rows)


def polars(folder: Path, rows: int) -> Any:
    import polars

    return polars.from_arrow(tables.table(rows))


def given(data: Any, folder: Path) -> None:
    whole_walk(folder, data=data)


def in_path(path: Path, folder: Path) -> None:
    whole_walk(folder, path=str(path))


ALL = 10**12
CANDIDATES: dict[str, Input] = {
    BASE: (arrow, write_csv, ALL),
    "polars, write_csv (no encoding)": (polars, lambda data, folder: data.write_csv(folder / "polars.csv"), ALL),
    "Arrow, encoder alone": (arrow, encode_only, ALL),
    "Arrow, whole walk": (arrow, given, ALL),
    PANDAS: (lambda _, rows: tables.table(rows).to_pandas(), given, ALL),
    "polars, whole walk": (polars, given, ALL),
    "Parquet, whole walk": (in_file("parquet"), in_path, ALL),
    "CSV, whole walk": (in_file("csv"), in_path, ALL),
    "list of dicts, whole walk": (lambda _, rows: tables.table(rows).to_pylist(), given, DICT_ROWS),
    "Parquet, DuckDB url_encode (no checks)": (in_file("parquet"), duckdb_lines, ALL),
    LOOP: (lambda _, rows: tables.table(rows).to_pandas(), loop, LOOP_ROWS),
}


def measure(name: str, rows: int) -> Figures:
    """Run one candidate in this process, with as many rows as it can have."""
    import airflow.providers.common.compat.sdk  # noqa: F401 - so that all candidates begin with the same memory

    keep_to_one_core()
    make, work, most = CANDIDATES[name]
    with tempfile.TemporaryDirectory() as folder:
        for some in (FEW_ROWS, min(rows, most)):
            data, permit = make(Path(folder), some), Path(folder) / str(some)
            permit.mkdir()
            figures = measured(partial(work, data, permit))
    return {**figures, "scale": rows / some}


def measured_apart(name: str, rows: int, environment: dict[str, str]) -> Figures:
    """Run one candidate in a fresh process, and tell what all rows would take."""
    figures = apart(__file__, "--one", name, "--rows", rows, **environment)
    return {**figures, **{key: figures[key] * figures["scale"] for key in ("cpu", "wall")}}


COLUMNS = {
    "name": ("from, what", "{}"),
    "cpu": ("CPU s", "{:.2f}"),
    "wall": ("wall s, one core", "{:.2f}"),
    "times": ("CPU, times pyarrow's write_csv", "{:.1f}"),
    "before": ("MiB before", "{:.0f}"),
    "peak": ("peak MiB", "{:.0f}"),
}


def compare(names: list[str], rows: int, runs: int) -> list[dict[str, Any]]:
    """Measure the candidates, and how many times the CPU of ``write_csv`` each takes."""
    with tempfile.TemporaryDirectory() as home:
        environment = airflow_environment(home, "https://adobe.invalid")  # which a dry run never calls
        figures = in_turn(names, runs, partial(measured_apart, rows=rows, environment=environment))
    for name in figures:
        for run, base in zip(figures[name], figures[BASE], strict=True):
            run["times"] = run["cpu"] / base["cpu"]
    if LOOP in names and PANDAS in names:
        less = statistics.median(a["cpu"] / b["cpu"] for a, b in zip(figures[LOOP], figures[PANDAS], strict=True))
        print(f"\nThe loop takes {less:.1f} times the CPU of the whole walk from the same DataFrame.")
    return [{"name": name, **medians(figures[name])} for name in figures]


def sizes() -> str:
    """Tell what the rows are like, after a look whether all who encode write the same bytes."""
    data = tables.table(FEW_ROWS)
    lines = encode_lines([to_text(column.combine_chunks()).text for column in data.columns])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loop(data.to_pandas(), folder)
        tables.write(folder / "few.parquet", FEW_ROWS)
        duckdb_lines(folder / "few.parquet", folder)
        by_loop = (folder / "loop.txt").read_bytes().partition(b"\n")[2]
        if not by_loop == (folder / "duckdb.txt").read_bytes().removesuffix(b"\n") == lines.data.tobytes()[1:]:
            raise SystemExit("The candidates do not write the same bytes.")
    plain = sum(len(string_bytes(to_text(column.combine_chunks()).text)) for column in data.columns)
    separators = len(data) * data.num_columns
    share = (len(lines.data) - separators - plain) / 2 / plain
    return (
        f"{(plain + separators) / len(data):.0f} bytes a row, {share:.0%} of which are encoded, which makes it "
        f"{len(lines.data) / len(data):.0f}"
    )


def main() -> None:
    """Print the table, or one run's figures as JSON."""
    parser = options(__doc__, rows=1_000_000, runs=3)
    parser.add_argument("--only", action="append", choices=CANDIDATES)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.rows)))
        return
    report = Report(arguments.json, "pyarrow", "pandas", "numpy", "polars", "duckdb")
    title = f"{arguments.rows:,} rows, an id and ten attributes; {sizes()}; medians of {arguments.runs} runs"
    names = [name for name in CANDIDATES if name in (BASE, *(arguments.only or CANDIDATES))]
    report.add("encoding", title, COLUMNS, compare(names, arguments.rows, arguments.runs))


if __name__ == "__main__":
    main()
