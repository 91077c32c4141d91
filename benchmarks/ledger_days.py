"""Measure whether many daily runs make the next one slower: CPU of each run, and size of the Delta log.

    python benchmarks/ledger_days.py [--days 400] [--rows 5000]

A run takes about a second, and stands for a day: the times for which Delta Lake keeps removed files, log entries and
transactions are shortened accordingly.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
from pathlib import Path
from typing import Any

from ledger import run_day, write_day
from measuring import Report, cpu_seconds, options

DAYS, PART = 400, 50
RETENTION = {
    "delta.deletedFileRetentionDuration": "interval 7 seconds",
    "delta.logRetentionDuration": "interval 30 seconds",
    "delta.setTransactionRetentionDuration": "interval 30 seconds",
}


def run_days(rows: int, days: int) -> list[dict[str, Any]]:
    """Run all days in this process, and return the figures of each part of the days."""
    from airflow_provider_adobe_target.ledger import ProfileLedger, maintenance

    maintenance._KEEP_DAYS = 0  # days for which files of earlier versions are kept
    seconds, records = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "ledger")
        table = ProfileLedger(str(folder)).table("acme", "thirdPartyId")
        table.snapshot().table.alter.set_table_properties(RETENTION)
        for day in range(days):
            file = Path(place, "day.parquet")
            write_day(file, rows, day)
            before = cpu_seconds()
            run_day(file, folder, day)
            seconds.append(cpu_seconds() - before)
            if day % PART == PART - 1:
                before = cpu_seconds()
                table.snapshot().controls  # noqa: B018  # reads the log and the control records
                log = list((folder / "_delta_log").iterdir())
                records.append(
                    {
                        "runs": f"{day + 2 - PART} to {day + 1}",
                        "median": statistics.median(seconds[-PART:]),
                        "most": max(seconds[-PART:]),
                        "opening": cpu_seconds() - before,
                        "log_files": len(log),
                        "log_kib": sum(path.stat().st_size for path in log) / 1024,
                        "data_files": len(list(folder.glob("bucket=*/*.parquet"))),
                    }
                )
    return records


COLUMNS = {
    "runs": ("runs", "{}"),
    "median": ("CPU s per run, median", "{:.2f}"),
    "most": ("maximum, with compaction", "{:.2f}"),
    "opening": ("CPU s to open the table", "{:.3f}"),
    "log_files": ("files of the log", "{}"),
    "log_kib": ("KiB of the log", "{:.0f}"),
    "data_files": ("data files", "{}"),
}


def main() -> None:
    """Print the table."""
    parser = options(__doc__, rows=5_000, runs=1)
    parser.add_argument("--days", type=int, default=DAYS)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    report = Report(arguments.json, "deltalake", "pyarrow")
    title = f"{arguments.days} daily runs of {arguments.rows:,} rows"
    report.add("ledger_days", title, COLUMNS, run_days(arguments.rows, arguments.days))


if __name__ == "__main__":
    main()
