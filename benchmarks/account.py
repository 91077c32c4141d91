"""Upload ten million rows end to end, from a Parquet file to the sandbox, and reconcile the counts of every row.

    python benchmarks/account.py [--rows 10000000]

The sandbox (``adobe-target-sandbox``) runs in a separate process, over loopback: it reads each file, counts its rows,
answers each poll, and refuses more than 50 calls per minute. The operator reads, checks, encodes, uploads and waits.
The counts of the report, of the batch statuses and of the sandbox must be equal.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from measuring import Figures, Report, airflow_environment, apart, measured, options

MAX_ROWS = 499_999  # files end at max_bytes_per_file, because each one costs some of the 50 calls per minute
POLL_INTERVAL = 5.0


def measure(path: Path) -> dict[str, Any]:
    """Upload the rows of a file in this process and wait for the batches."""
    from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

    operator = BulkProfileUpdateOperator(
        task_id="upload", path=str(path), max_rows_per_file=MAX_ROWS, poll_interval=POLL_INTERVAL, deferrable=False
    )
    report: dict[str, Any] = {}
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
    figures: dict[str, Any] = dict(measured(lambda: report.update(operator.execute(context))))
    return {**figures, "report": report}


def serve() -> None:
    """Run the sandbox until standard input ends, then print its counts."""
    from airflow_provider_adobe_target.sandbox import Sandbox

    with Sandbox(keep_profiles=False) as sandbox:
        print(sandbox.url, flush=True)
        sys.stdin.read()
        batches = sandbox.batches
    print(json.dumps({"files": len(batches), "rows": sum(len(batch.file) for batch in batches)}))


@contextmanager
def sandbox(counted: dict[str, int]) -> Iterator[str]:
    """Run the sandbox during a ``with`` block and collect its counts."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            counted.update(json.loads(process.stdout.readline() or "{}"))


def checked(rows: int, figures: Any, counted: dict[str, int]) -> dict[str, Any]:
    """Return the counts of all sides after a check that they are equal."""
    report = figures.pop("report")
    batches = report["batches"]
    record = {
        **figures,
        "rows": rows,
        "read": report["rows_read"],
        "sent": report["rows_sent"],
        "files": len(batches),
        "batch_rows": sum(batch["rows"] for batch in batches),
        "successful": sum(batch["successful_updates"] for batch in batches),
        "counted": counted["rows"],
        "megabytes": sum(batch["bytes"] for batch in batches) / 1e6,
    }
    accounts = {record[name] for name in ("rows", "read", "sent", "batch_rows", "successful", "counted")}
    if (
        len(accounts) > 1
        or record["files"] != counted["files"]
        or {batch["status"] for batch in batches} != {"complete"}
    ):
        raise SystemExit(f"The counts differ: {record}")
    return record


COLUMNS = {
    "rows": ("rows in the file", "{:,}"),
    "read": ("read", "{:,}"),
    "sent": ("sent", "{:,}"),
    "counted": ("counted by the sandbox", "{:,}"),
    "successful": ("successful by status", "{:,}"),
    "files": ("files", "{}"),
    "megabytes": ("MB", "{:,.0f}"),
    "cpu": ("CPU s", "{:.1f}"),
    "wall": ("wall s", "{:.1f}"),
    "peak": ("peak MiB", "{:.0f}"),
}


def main() -> None:
    """Print the table, or the results of one run as JSON."""
    parser = options(__doc__, rows=10_000_000, runs=1)
    parser.add_argument("--serve", action="store_true", help="run the sandbox")
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    if arguments.one:
        print(json.dumps(measure(Path(arguments.one))))
        return
    import tables

    report = Report(arguments.json, "apache-airflow", "pyarrow")
    counted: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profiles.parquet"
        tables.write(path, arguments.rows)
        with sandbox(counted) as url:
            figures: Figures = apart(__file__, "--one", path, **airflow_environment(folder, url))
    report.add("account", "Counts of every row", COLUMNS, [checked(arguments.rows, figures, counted)])


if __name__ == "__main__":
    main()
