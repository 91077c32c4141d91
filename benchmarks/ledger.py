"""Measure CPU, memory and disk of a run with a ledger, for a table of 10 attributes of which 2 per cent change a day.

    python benchmarks/ledger.py [--rows 5000000] [--days 3]

Each run is a separate process that reads Parquet, compares, writes the batch files, and confirms them. It is compared
with the same pipeline without a ledger. Calls and waits are left out.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from measuring import Figures, Report, apart, measured, options

DAYS = 3
ATTRIBUTES = 10
DISTINCT = [3, 10, 1_000, 1_000_000]
CHANGED = 0.02
FEW_ROWS = 1_000


def write_day(file: Path, rows: int, day: int) -> None:
    """Write the table of a day: each day, other 2 per cent of the rows have three other values than on the first."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    size = min(rows, 100_000)
    writer = None
    for start in range(0, rows, size):
        values, changes = np.random.default_rng(start), np.random.default_rng([start, day])
        ids = pc.utf8_lpad(pa.array(np.arange(start, start + size)).cast(pa.string()), 10, "0")
        columns = {"thirdPartyId": pc.binary_join_element_wise("customer-", ids, "")}
        changed = changes.random(size) < (CHANGED / 2 if day else 0)  # and as many change back
        for number in range(ATTRIBUTES):
            numbers = values.integers(0, DISTINCT[number % len(DISTINCT)], size)
            if number < 3:
                numbers = np.where(changed, numbers + day, numbers)
            columns[f"attribute_{number}"] = pc.binary_join_element_wise(
                "value-", pa.array(numbers).cast(pa.string()), ""
            )
        table = pa.table(columns).take(pa.array(changes.permutation(size)))
        writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=50_000)
    if writer:
        writer.close()


def run_day(file: Path, ledger: Path, day: int) -> int:
    """Run a task with a ledger, without calls. Return the number of rows to send."""
    from airflow_provider_adobe_target.ledger import ProfileLedger
    from airflow_provider_adobe_target.ledger.claims import Owner
    from airflow_provider_adobe_target.ledger.planner import PlanRules
    from airflow_provider_adobe_target.ledger.session import LedgerSession
    from airflow_provider_adobe_target.ledger.settlement import Outcome

    with tempfile.TemporaryDirectory() as work:
        pipeline = pipeline_of(file, Path(work))
        table = ProfileLedger(str(ledger)).table("acme", "thirdPartyId")
        rules = PlanRules(writer="dag.task", as_of=day, now=day, refresh_after_days=None)
        owner = Owner.current(f"run {day}")
        session = LedgerSession(table, rules, owner=owner, run=f"run {day}", outcome_of=lambda batch_file: None)
        folder = Path(work, "ledger")
        folder.mkdir()
        plan = session.prepare(pipeline.profiles(), folder)
        outgoing = (batch.select(batch.schema.names[:-1]) for batch in plan.outgoing.record_batches())
        start = 0
        outcomes = {}
        for number, batch_file in enumerate(pipeline.write_files(outgoing)):
            session.sending(number, start, batch_file.rows)
            session.accepted(number, start, batch_file.rows, f"batch {number}", None)
            outcomes[number] = Outcome(is_complete=True)
            start += batch_file.rows
            batch_file.path.unlink()
        session.settle(outcomes, day)
        return plan.counts.rows_sent


def pipeline_of(file: Path, work: Path) -> Any:
    """Return the pipeline of a table."""
    from airflow_provider_adobe_target.inputs.row_source import RowSource
    from airflow_provider_adobe_target.profiles.options import ProfileOptions
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline

    return ProfilePipeline(RowSource(path=str(file)).read(), ProfileOptions(), work)


def measure(name: str, file: Path, ledger: Path | None, day: int) -> Figures:
    """Run one candidate in this process, after a run with few rows, so that lazy imports do not count."""
    import pandas  # noqa: F401  # Arrow imports it with the first conversion

    sent: list[int] = []

    def run(path: Path, place: Path | None) -> None:
        if place is not None:
            sent.append(run_day(path, place, day))
            return
        with tempfile.TemporaryDirectory() as work:
            pipeline = pipeline_of(path, Path(work))
            if name == "profiles":
                sent.append(sum(map(len, pipeline.profiles())))
                return
            for batch_file in pipeline.files():
                batch_file.path.unlink()
            sent.append(pipeline.rows_sent)

    with tempfile.TemporaryDirectory() as warm:
        few = Path(warm, "few.parquet")
        write_day(few, FEW_ROWS, 0)
        run(few, Path(warm, "ledger") if ledger else None)
    return {**measured(lambda: run(file, ledger)), "sent": sent[-1]}


def compare(rows: int, days: int) -> list[dict[str, Any]]:
    """Generate the tables and run all days."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for day in range(days):
            write_day(folder / f"{day}.parquet", rows, day)

        def one(name: str, day: int, *more: object) -> Figures:
            file = folder / f"{day}.parquet"
            return apart(__file__, "--one", name, "--rows", rows, "--day", day, "--file", file, *more)

        records: list[dict[str, Any]] = [
            {"run": name, **one(name, 0)} for name in ("idle", "profiles", "without a ledger")
        ]
        idle, checked, walk = (record["cpu"] if record["run"] != "idle" else record["peak"] for record in records)
        for day in range(days):
            figures = one("with a ledger", day, "--ledger", folder / "ledger")
            records.append({"run": f"with a ledger, day {day + 1}", **figures})
        for record in records:
            record["above"] = record["peak"] - idle
            record["ratio"] = (record["cpu"] - checked) / walk if "with a" in record["run"] else 0.0
        disk = sum(path.stat().st_size for path in (folder / "ledger").rglob("*.parquet"))
        print(f"{rows:,} profiles: {disk / rows:.0f} bytes on disk per profile, with {days} days of versions")
        return records


COLUMNS = {
    "run": ("run", "{}"),
    "sent": ("rows sent", "{:,.0f}"),
    "cpu": ("CPU s", "{:.2f}"),
    "ratio": ("comparing and committing, in CPU of the run without a ledger", "{:.2f}"),
    "peak": ("peak MiB", "{:.0f}"),
    "above": ("above idle", "{:.0f}"),
}


def main() -> None:
    """Print the table, or the results of one run as JSON."""
    parser = options(__doc__, rows=1_000_000, runs=1)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--day", type=int, help="with --one")
    parser.add_argument("--file", type=Path, help="with --one")
    parser.add_argument("--ledger", type=Path, help="with --one")
    arguments = parser.parse_args()
    if arguments.one == "idle":
        from airflow.providers.common.compat.sdk import BaseOperator

        print(json.dumps({**measured(lambda: BaseOperator(task_id="nothing").pre_execute({})), "sent": 0}))
        return
    if arguments.one:
        ledger = arguments.ledger if arguments.one == "with a ledger" else None
        print(json.dumps(measure(arguments.one, arguments.file, ledger, arguments.day)))
        return
    report = Report(arguments.json, "deltalake", "pyarrow")
    title = f"Runs with a ledger, {arguments.rows:,} rows of {ATTRIBUTES} attributes"
    report.add("ledger", title, COLUMNS, compare(arguments.rows, arguments.days))


if __name__ == "__main__":
    main()
