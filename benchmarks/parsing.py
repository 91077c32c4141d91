"""Measure the import time of the hook, the operators and the sensors, in addition to Airflow's own imports.

    python benchmarks/parsing.py [--runs 5]

A DAG file is parsed repeatedly, and each new process imports its modules again. Candidates take turns. Each is imported
in a separate process that has loaded Airflow's base classes, from compiled files as in an installed package.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial

from measuring import Figures, Report, apart, cpu_seconds, in_turn, medians, options, peak_mib

AIRFLOW = "from airflow.providers.common.compat.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator"
OURS = "airflow_provider_adobe_target.{0}.adobe_target"
CANDIDATES = {
    "hook, operators and sensors": [OURS.format(kind) for kind in ("hooks", "operators", "sensors")],
    "these and the trigger": [OURS.format(kind) for kind in ("hooks", "operators", "sensors", "triggers")],
    "pandas, for comparison": ["pandas"],
}
HEAVY = ("pandas", "pyarrow", "numpy", "polars", "requests", "httpx")


def measure(name: str) -> dict[str, object]:
    """Import a candidate in this process."""
    exec(AIRFLOW)
    before, cpu, wall = set(sys.modules), cpu_seconds(), time.perf_counter()
    for module in CANDIDATES[name]:
        __import__(module)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    added = set(sys.modules) - before
    return {
        "wall_ms": wall * 1e3,
        "cpu_ms": cpu * 1e3,
        "peak": peak_mib(),
        "modules": len(added),
        "heavy": [name for name in HEAVY if name in added],
    }


def compare(runs: int) -> list[dict[str, object]]:
    """Measure all candidates."""
    heavy: dict[str, str] = {}

    def run(name: str, environment: dict[str, str]) -> Figures:
        figures = apart(__file__, "--one", name, **environment)
        heavy[name] = ", ".join(figures.pop("heavy")) or "none"
        return figures

    with tempfile.TemporaryDirectory() as folder:
        environment = {"AIRFLOW_HOME": folder, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for name in CANDIDATES:
            run(name, environment)  # to compile
        figures = in_turn(CANDIDATES, runs, partial(run, environment=environment))
    return [{"name": name, "heavy": heavy[name], **medians(figures[name])} for name in CANDIDATES]


COLUMNS = {
    "name": ("import of", "{}"),
    "wall_ms": ("adds ms", "{:.0f}"),
    "cpu_ms": ("CPU ms", "{:.0f}"),
    "modules": ("modules", "{:.0f}"),
    "heavy": ("of these, heavy", "{}"),
}


def main() -> None:
    """Print the table, or the results of one run as JSON."""
    arguments = options(__doc__, runs=5).parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    report = Report(arguments.json, "apache-airflow")
    report.add(
        "parsing", f"After Airflow's base classes; medians of {arguments.runs} runs", COLUMNS, compare(arguments.runs)
    )


if __name__ == "__main__":
    main()
