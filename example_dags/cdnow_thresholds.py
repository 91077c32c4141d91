"""Upload a file with invalid rows, with thresholds, rejects and deferral.

Rows without an id and repeated ids are written to a Parquet file in ``rejects``, with the reason. If more than 2 % of
the rows are invalid, nothing is sent. Repeated ids do not count. If Target fails more than 0.5 % of the rows, the task
fails. While Target processes the batch, the task waits in the triggerer and occupies no worker slot.

It requires the connection ``adobe_target_default``. The parameter ``folder`` may also be in object storage.
"""

from __future__ import annotations

import tempfile
from datetime import datetime, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, task

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"


@task
def partner_file(folder: str) -> str:
    """Write a file of 1,000 rows, of which five have no id and five are repeated."""
    with PURCHASES.open() as lines:
        next(lines)  # header
        customer_ids = sorted({line.split()[0] for line in lines})[:990]
    rows = [f"{customer_id},{'home' if int(customer_id) % 2 else 'garden'}" for customer_id in customer_ids]
    rows += [",home"] * 5 + rows[:5]
    path = ObjectStoragePath(folder) / "segments.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["customer_id,partner_segment", *rows]) + "\n")
    return str(path)


@task
def account(report: dict) -> str:
    """Summarize the report, which is the return value of the upload."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in report["rejected_by_reason"].items())
    return f"{report['rows_sent']} of {report['rows_read']} rows sent; rejected: {reasons or 'none'}"


with DAG(
    dag_id="cdnow_thresholds",
    schedule=None,
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    max_active_runs=1,  # Target guarantees no order between two runs
    params={"folder": f"{tempfile.gettempdir()}/adobe_target_cdnow"},
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    upload = BulkProfileUpdateOperator(
        task_id="upload",
        path=partner_file("{{ params.folder }}"),
        id_column="customer_id",
        on_duplicate_id="first",
        max_invalid_pct=2,
        rejects_path="{{ params.folder }}/rejects",
        max_failed_pct=0.5,
        deferrable=True,
        poll_interval=30,
        timeout=6 * 60 * 60,
    )
    account(upload.output)
