"""Deferrable, with thresholds and rejects: a partner's file that is never quite clean.

A row without an id or with an id that came before is kept aside, with the reason, as Parquet below
``rejects``. If more than 2 per cent of the rows are bad, among which repeated ids are not counted, nothing is
sent; if Target then fails more than half a per cent, the task fails. While Target works, the task waits in the
triggerer and takes up no worker.

Needs the connection ``adobe_target_default``. The parameter ``folder`` may be a path in object storage, too.
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
    """Write what a partner might send: 1,000 rows, of which five have no id and five come twice."""
    with PURCHASES.open() as lines:
        next(lines)  # the heading
        customer_ids = sorted({line.split()[0] for line in lines})[:990]
    rows = [f"{customer_id},{'home' if int(customer_id) % 2 else 'garden'}" for customer_id in customer_ids]
    rows += [",home"] * 5 + rows[:5]
    path = ObjectStoragePath(folder) / "segments.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["customer_id,partner_segment", *rows]) + "\n")
    return str(path)


@task
def account(report: dict) -> str:
    """Put the report, which is the upload's return value, into a sentence."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in report["rejected_by_reason"].items())
    return f"{report['rows_sent']} of {report['rows_read']} rows sent; rejected: {reasons or 'none'}"


with DAG(
    dag_id="cdnow_thresholds",
    schedule=None,
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    max_active_runs=1,  # Target knows no order between two runs that write the same ids
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
