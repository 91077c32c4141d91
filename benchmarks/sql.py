"""Measure the cost of reading rows from a database and of converting them to batch files.

    python benchmarks/sql.py [--rows 1000000] [--runs 2] [--only PostgreSQL]

A PostgreSQL server and SQLite have a table with an id and ten attributes of mixed types. Candidates take turns, and
each reads the whole table through Airflow's hook in a separate process. Measured are the CPU seconds of that process,
without those of the server, and its memory, which includes Airflow and all imports.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tables
from databases import fill_from_csv, postgres, sqlite
from measuring import Figures, Report, airflow_environment, apart, in_turn, measured, medians, options

SQL = "SELECT * FROM profiles"
CHUNK = 50_000


def fetch_all(hook: Any) -> None:
    """Read with ``hook.get_df``, the usual way."""
    with closing(hook.get_conn()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(SQL)
        rows = cursor.fetchall()
        assert len(rows) > 0


def fetch_many(hook: Any) -> None:
    """Read with the driver alone, as the operator's source by a cursor does: the baseline."""
    with closing(hook.get_conn()) as connection:
        is_psycopg = type(connection).__module__.startswith("psycopg")
        with closing(connection.cursor(name="bench") if is_psycopg else connection.cursor()) as cursor:
            cursor.execute(SQL)
            while cursor.fetchmany(10_000):
                pass


def pandas_chunks(hook: Any) -> None:
    """Read in chunks, the recommended way. SQLAlchemy streams only if it is configured to."""
    import pandas as pd

    with hook.get_sqlalchemy_engine().connect().execution_options(stream_results=True) as connection:
        for frame in pd.read_sql(SQL, connection, chunksize=CHUNK):
            assert len(frame) > 0


def source(hook: Any, parameters: Any) -> None:
    """Read as the operator does, without conversion."""
    from airflow_provider_adobe_target.inputs.database import read_sql

    for batch in read_sql(hook, SQL, parameters).record_batches():
        assert batch.num_rows > 0


def full_pipeline(hook: Any, parameters: Any) -> None:
    """Run the operator's dry run."""
    from airflow_provider_adobe_target.inputs.database import read_sql
    from airflow_provider_adobe_target.profiles.options import ProfileOptions
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline

    with tempfile.TemporaryDirectory() as folder:
        rows = read_sql(hook, SQL, parameters)
        for file in ProfilePipeline(rows, ProfileOptions(), Path(folder)).files():
            file.path.unlink()


# A statement with parameters is read with a cursor, even if ADBC is available.
DRIVER = "cursor.fetchmany (no conversion)"
WORKS = {
    DRIVER: fetch_many,
    "cursor.fetchall": fetch_all,
    "pandas.read_sql in chunks": pandas_chunks,
    "operator's source": partial(source, parameters=None),
    "operator's source, by a cursor": partial(source, parameters=()),
    "full pipeline": partial(full_pipeline, parameters=None),
    "full pipeline, by a cursor": partial(full_pipeline, parameters=()),
}
ADBC = "adbc_driver_postgresql"


def candidates(databases: list[str]) -> Iterator[str]:
    """Return the candidates. Those with a cursor are added if the operator would otherwise use ADBC."""
    has_adbc = find_spec(ADBC) is not None
    print(f"{ADBC}, with which the operator reads PostgreSQL through ADBC, is {'' if has_adbc else 'not '}installed")
    for database in databases:
        for name in WORKS:
            if not name.endswith("by a cursor") or (has_adbc and database == "PostgreSQL"):
                yield f"{database}: {name}"


def measure(name: str) -> Figures:
    """Run one candidate in this process."""
    import pyarrow.compute  # noqa: F401 - all candidates start with the same memory
    from airflow.providers.common.compat.sdk import BaseHook

    import airflow_provider_adobe_target.profiles.pipeline  # noqa: F401

    if find_spec(ADBC):
        import adbc_driver_postgresql.dbapi  # noqa: F401

    database, _, work = name.partition(": ")
    hook = BaseHook.get_hook(database.lower())
    hook.get_conn().close()
    return measured(lambda: WORKS[work](hook))


def compare(rows: int, runs: int, databases: list[str]) -> list[dict[str, Any]]:
    """Create the databases and measure all candidates."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        tables.write(folder / "rows.csv", rows)
        environment = airflow_environment(folder / "airflow", "https://adobe.invalid")
        if "SQLite" in databases:
            environment["AIRFLOW_CONN_SQLITE"] = json.dumps(sqlite(folder / "profiles.sqlite", folder / "rows.csv"))
        if "PostgreSQL" in databases:
            connection = opened.enter_context(postgres(fill_from_csv(folder / "rows.csv")))
            environment["AIRFLOW_CONN_POSTGRESQL"] = json.dumps(connection)
        figures = in_turn(candidates(databases), runs, lambda name: apart(__file__, "--one", name, **environment))
    for name, results in figures.items():
        driver = figures[f"{name.partition(':')[0]}: {DRIVER}"]
        for run, base in zip(results, driver, strict=True):
            run["times"] = run["cpu"] / base["cpu"]
    return [{"name": name, **medians(figures[name])} for name in figures]


TABLE_COLUMNS = {
    "name": ("from, what", "{}"),
    "cpu": ("CPU s", "{:.2f}"),
    "times": ("CPU, times the driver's fetchmany", "{:.1f}"),
    "wall": ("wall s", "{:.2f}"),
    "before": ("MiB before", "{:.0f}"),
    "peak": ("peak MiB", "{:.0f}"),
}


def main() -> None:
    """Print the table, or the results of one run as JSON."""
    parser = options(__doc__, rows=1_000_000, runs=2)
    parser.add_argument("--only", action="append", choices=["PostgreSQL", "SQLite"])
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    report = Report(arguments.json, "apache-airflow", "pyarrow", "pandas", "psycopg")
    databases = arguments.only or ["PostgreSQL", "SQLite"]
    title = f"{arguments.rows:,} rows, an id and ten attributes; medians of {arguments.runs} runs"
    report.add("sql", title, TABLE_COLUMNS, compare(arguments.rows, arguments.runs, databases))


if __name__ == "__main__":
    main()
