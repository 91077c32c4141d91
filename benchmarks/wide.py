"""Measure the CPU time of one row with 1,000 and with 4,000 columns. It must grow linearly with the columns.

    python benchmarks/wide.py [--json FILE]

Each result is the median of five runs in this process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from measuring import cpu_seconds

from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.rows import Rows

COLUMNS = (1_000, 4_000)
RUNS = 5


def flat(columns: int) -> tuple[Rows, ProfileOptions]:
    row = {"thirdPartyId": "U1", **{f"c{number}": "x" for number in range(columns)}}
    return read_data(pd.DataFrame([row])), ProfileOptions()


def named(columns: int) -> tuple[Rows, ProfileOptions]:
    rows, _ = flat(columns)
    return rows, ProfileOptions(attributes=[f"c{number}" for number in range(columns)])


def nested(columns: int) -> tuple[Rows, ProfileOptions]:
    fields = {f"c{number}": "x" for number in range(columns)}
    return read_data([{"thirdPartyId": "U1", "a": fields}]), ProfileOptions()


CANDIDATES: dict[str, Callable[[int], tuple[Rows, ProfileOptions]]] = {
    "all columns": flat,
    "columns named in attributes": named,
    "fields of one nested column": nested,
}


def seconds(make: Callable[[int], tuple[Rows, ProfileOptions]], columns: int) -> float:
    rows, options = make(columns)
    with tempfile.TemporaryDirectory() as folder:
        started = cpu_seconds()
        for file in ProfilePipeline(rows, options, Path(folder)).files():
            file.path.unlink()
        return cpu_seconds() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = {}
    for name, make in CANDIDATES.items():
        seconds(make, 10)  # imports
        few, many = (statistics.median(seconds(make, columns) for _ in range(RUNS)) for columns in COLUMNS)
        figures[name] = {"few": few, "many": many, "ratio": many / few}
        print(f"{name:30} {COLUMNS[0]:,}: {few:.2f} s; {COLUMNS[1]:,}: {many:.2f} s, {many / few:.1f} times as much")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
