"""Compare the cost of converting columns to batch files with that of writing the same columns as plain CSV.

    python benchmarks/encoding.py [--rows 1000000] [--runs 3] [--only NAME]

Each result is the median of several runs on one core. Candidates take turns, and each run is a separate process.
Measured are the CPU seconds (user and system, all threads) without imports and data generation, and the peak memory of
the process. On a shared machine, the ratios within one turn are more reliable than the seconds.
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

LOOP_ROWS = 100_000  # rows for the loop over rows, which would take minutes for all of them
DICT_ROWS = 250_000  # a list of dicts takes a hundred times the memory of its columns
FEW_ROWS = 1_000  # rows of the warm-up run, which triggers lazy imports
ROWS_A_BATCH = 16_384

BASE = "Arrow, pyarrow.csv.write_csv (no encoding)"
LOOP = "pandas, itertuples and urllib.parse.quote (no checks)"
PANDAS = "pandas, full pipeline"


def write_csv(data: pa.Table, folder: Path) -> None:
    """Write the same columns as text without encoding: the baseline."""
    pa.csv.write_csv(data, folder / "plain.csv")


def encode_only(data: pa.Table, folder: Path) -> None:
    """Convert to text, encode and write a file, without checks and checksum, like ``write_csv``."""
    with (folder / "encoded.txt").open("wb") as file:
        for batch in data.to_batches(max_chunksize=ROWS_A_BATCH):
            file.write(encode_lines([to_text(column).text for column in batch.columns]).data)


def full_pipeline(folder: Path, **rows: object) -> None:
    """Write the files of an upload with its defaults."""
    from airflow_provider_adobe_target.profiles.options import ProfileOptions
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline

    for file in ProfilePipeline(_source(**rows), ProfileOptions(), folder).files():
        file.path.unlink()


def dry_run(path: Path, folder: Path) -> None:
    """Run the operator's dry run with its defaults, which also collects the statistics of the plan."""
    from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

    tempfile.tempdir = str(folder)
    operator = BulkProfileUpdateOperator(task_id="upload", dry_run=True, path=str(path))
    operator.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None)})


def _source(data: Any = None, path: str | None = None) -> Any:
    from airflow_provider_adobe_target.inputs.file_paths import read_paths
    from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
    from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions

    return read_data(data) if path is None else read_paths(path, FileOptions.checked(None, None))


def loop(frame: pd.DataFrame, folder: Path) -> None:
    """Loop over rows and quote each value separately: the naive implementation."""
    with (folder / "loop.txt").open("w") as file:
        file.write("batch=" + ",".join(frame.columns))
        for row in frame.itertuples(index=False):
            file.write("\n" + ",".join(quote(written(value), safe="") for value in row))


def written(value: Any) -> str:
    """Return the text of a value. ``str(value)`` alone would return None, nan, True, 42.0 and '2026-01-31 23:59:59'."""
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
    """Read a Parquet file and encode each value with DuckDB."""
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
    full_pipeline(folder, data=data)


def in_path(path: Path, folder: Path) -> None:
    full_pipeline(folder, path=str(path))


ALL = 10**12
CANDIDATES: dict[str, Input] = {
    BASE: (arrow, write_csv, ALL),
    "polars, write_csv (no encoding)": (polars, lambda data, folder: data.write_csv(folder / "polars.csv"), ALL),
    "Arrow, encoder alone": (arrow, encode_only, ALL),
    "Arrow, full pipeline": (arrow, given, ALL),
    PANDAS: (lambda _, rows: tables.table(rows).to_pandas(), given, ALL),
    "polars, full pipeline": (polars, given, ALL),
    "Parquet, full pipeline": (in_file("parquet"), in_path, ALL),
    "Parquet, dry run with its plan": (in_file("parquet"), dry_run, ALL),
    "CSV, full pipeline": (in_file("csv"), in_path, ALL),
    "list of dicts, full pipeline": (lambda _, rows: tables.table(rows).to_pylist(), given, DICT_ROWS),
    "Parquet, DuckDB url_encode (no checks)": (in_file("parquet"), duckdb_lines, ALL),
    LOOP: (lambda _, rows: tables.table(rows).to_pandas(), loop, LOOP_ROWS),
}


def measure(name: str, rows: int) -> Figures:
    """Run one candidate in this process, with at most as many rows as it can handle."""
    import airflow.providers.common.compat.sdk  # noqa: F401 - so that all candidates start with the same memory

    keep_to_one_core()
    make, work, most = CANDIDATES[name]
    with tempfile.TemporaryDirectory() as folder:
        for some in (FEW_ROWS, min(rows, most)):
            data, permit = make(Path(folder), some), Path(folder) / str(some)
            permit.mkdir()
            figures = measured(partial(work, data, permit))
    return {**figures, "scale": rows / some}


def measured_apart(name: str, rows: int, environment: dict[str, str]) -> Figures:
    """Run one candidate in a new process and extrapolate to all rows."""
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
    """Measure the candidates, and their CPU time as a multiple of that of ``write_csv``."""
    with tempfile.TemporaryDirectory() as home:
        environment = airflow_environment(home, "https://adobe.invalid")  # never called in a dry run
        figures = in_turn(names, runs, partial(measured_apart, rows=rows, environment=environment))
    for name in figures:
        for run, base in zip(figures[name], figures[BASE], strict=True):
            run["times"] = run["cpu"] / base["cpu"]
    if LOOP in names and PANDAS in names:
        less = statistics.median(a["cpu"] / b["cpu"] for a, b in zip(figures[LOOP], figures[PANDAS], strict=True))
        print(f"\nThe loop takes {less:.1f} times the CPU of the full pipeline from the same DataFrame.")
    return [{"name": name, **medians(figures[name])} for name in figures]


def sizes() -> str:
    """Return a description of the rows, after a check that all encoders write the same bytes."""
    data = tables.table(FEW_ROWS)
    lines = encode_lines([to_text(column.combine_chunks()).text for column in data.columns])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loop(data.to_pandas(), folder)
        tables.write(folder / "few.parquet", FEW_ROWS)
        duckdb_lines(folder / "few.parquet", folder)
        by_loop = (folder / "loop.txt").read_bytes().partition(b"\n")[2]
        if not by_loop == (folder / "duckdb.txt").read_bytes().removesuffix(b"\n") == lines.data.tobytes()[1:]:
            raise SystemExit("The candidates write different bytes.")
    plain = sum(len(string_bytes(to_text(column.combine_chunks()).text)) for column in data.columns)
    separators = len(data) * data.num_columns
    share = (len(lines.data) - separators - plain) / 2 / plain
    return (
        f"{(plain + separators) / len(data):.0f} bytes a row, {share:.0%} of which are encoded, which makes it "
        f"{len(lines.data) / len(data):.0f}"
    )


def main() -> None:
    """Print the table, or the results of one run as JSON."""
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
