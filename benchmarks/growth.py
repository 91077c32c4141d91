"""Measure CPU and memory of the operator's dry run for a growing number of rows, from three sources.

    python benchmarks/growth.py [--rows 10000000] [--only Parquet]

The numbers of rows are 100,000, one million, half of all and all. The sources are Parquet, PostgreSQL with a
server-side cursor, and PostgreSQL through ADBC. Ids are deduplicated over all rows. Each run is a separate process,
whose peak memory is measured from outside and includes imports. It is compared with an Airflow process with an idle
operator. Runs of up to a million rows are repeated three times.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from measuring import Figures, Report, airflow_environment, apart, measured, medians, options

RUNS = 3
ONCE_FROM = 2_000_000
FEW_ROWS = 1_000
NOTHING = "nothing"
SOURCES = ("Parquet", "PostgreSQL, server-side cursor", "PostgreSQL, ADBC")


def measure(source: str, rows: int, folder: Path) -> Figures:
    """Run one candidate in this process, after a run with few rows, so that lazy imports do not count as CPU time."""
    from airflow.providers.common.compat.sdk import BaseOperator

    if source == NOTHING:
        return measured(lambda: BaseOperator(task_id="nothing").pre_execute({}))

    from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

    def run(some: int) -> None:
        if source == "Parquet":
            arguments: dict[str, Any] = {"path": str(folder / f"{some}.parquet")}
        else:  # a statement with parameters is read with a cursor, even if ADBC is available
            arguments = {"sql": f"SELECT * FROM profiles LIMIT {some}", "sql_conn_id": "postgresql"}
            if "cursor" in source:
                arguments["parameters"] = ()
        operator = BulkProfileUpdateOperator(task_id="upload", dry_run=True, **arguments)
        report = operator.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None)})
        assert report["rows_read"] == report["rows_sent"] == some

    run(FEW_ROWS)
    return measured(lambda: run(rows))


def compare(sources: list[str], most: int) -> list[dict[str, Any]]:
    """Generate the rows and measure all sources."""
    sizes = [100_000, 1_000_000, most // 2, most]
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        environment = airflow_environment(folder / "airflow", "https://adobe.invalid")
        if "Parquet" in sources:
            import tables

            for size in (FEW_ROWS, *sizes):
                tables.write(folder / f"{size}.parquet", size)
        if any(source.startswith("PostgreSQL") for source in sources):
            from databases import fill_by_itself, postgres

            connection = opened.enter_context(postgres(fill_by_itself(most)))
            environment["AIRFLOW_CONN_POSTGRESQL"] = json.dumps(connection)

        def median(source: str, rows: int, runs: int) -> Figures:
            options = ("--one", source, "--rows", rows, "--folder", folder)
            return medians([apart(__file__, *options, **environment) for _ in range(runs)])

        idle = median(NOTHING, 0, RUNS)["peak"]
        print(f"\nAn idle Airflow process has {idle:.0f} MiB.", flush=True)
        records = []
        for source in sources:
            for rows in sizes:
                figures = median(source, rows, RUNS if rows < ONCE_FROM else 1)
                figures = {**figures, "microseconds": figures["cpu"] / rows * 1e6, "above": figures["peak"] - idle}
                records.append({"source": source, "rows": rows, **figures})
                print(f"{source}, {rows:,} rows: {figures['cpu']:.1f} s of CPU", flush=True)
    return records


COLUMNS = {
    "source": ("from", "{}"),
    "rows": ("rows", "{:,}"),
    "microseconds": ("CPU µs per row", "{:.2f}"),
    "wall": ("wall s", "{:.1f}"),
    "peak": ("peak MiB", "{:.0f}"),
    "above": ("above the idle process", "{:.0f}"),
}


def main() -> None:
    """Print the table, or the results of one run as JSON."""
    parser = options(__doc__, rows=10_000_000, runs=RUNS)
    parser.add_argument("--only", action="append", choices=SOURCES)
    parser.add_argument("--folder", type=Path, help="with --one")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.rows, arguments.folder)))
        return
    report = Report(arguments.json, "apache-airflow", "pyarrow", "psycopg")
    records = compare(arguments.only or list(SOURCES), arguments.rows)
    report.add("growth", "The operator's dry run by number of rows", COLUMNS, records)


if __name__ == "__main__":
    main()
