"""Verify that an upload reached the profiles, with a sample of the customers.

The sensor reads the same file as the upload, and checks the same hundred customers each time. The file is on the
worker's disk, so the example runs on a single machine.

It requires the connection ``adobe_target_default``.
"""

from __future__ import annotations

import csv
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sensors.adobe_target import ProfileLandingSensor

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"


@task
def first_purchases() -> str:
    """Write the date of each customer's first purchase to a file, and return its path."""
    first: dict[str, str] = {}
    with PURCHASES.open() as lines:
        next(lines)
        for line in lines:
            customer_id, day, *_ = line.split()
            first[customer_id] = min(day, first.get(customer_id, day))
    path = Path(tempfile.mkdtemp(prefix="cdnow-")) / "first_purchases.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer_id", "customer_since"])
        rows.writerows(first.items())
    return str(path)


with DAG(
    "cdnow_landing",
    description="Verify an upload",
    schedule="@daily",
    start_date=datetime(1997, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["adobe-target", "example"],
):
    rows = {"path": first_purchases(), "id_column": "customer_id"}
    upload = BulkProfileUpdateOperator(task_id="upload", poll_interval=30, **rows)
    upload >> ProfileLandingSensor(task_id="landed", deferrable=True, **rows)
