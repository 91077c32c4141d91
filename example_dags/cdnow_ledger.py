"""Send only the profiles that changed, after a person has approved the plan.

``plan`` compares the customers with the ledger and logs what would be sent and why. In Airflow 3.1 and later,
``approve`` waits for a decision in Airflow's web interface. ``upload`` sends the changed rows and updates the ledger.

It requires the connection ``adobe_target_default`` and the extra ``ledger``. The environment variable
``WITHOUT_APPROVAL`` leaves ``approve`` out.
"""

from __future__ import annotations

import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from airflow.exceptions import AirflowOptionalProviderFeatureException
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
except (ImportError, AirflowOptionalProviderFeatureException):  # Airflow before 3.1
    ApprovalOperator = None

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"
FOLDER = Path(tempfile.gettempdir(), "cdnow_ledger")


@task
def customers(day: str) -> str:
    """Write the customers as of a day to a Parquet file, and return its path."""
    import pandas as pd

    purchases = pd.read_csv(
        PURCHASES,
        sep=r"\s+",
        skiprows=1,
        names=["customer_id", "purchased_on", "cds", "dollars"],
        dtype={"customer_id": "str"},  # as a number, 00001 would become 1
        parse_dates=["purchased_on"],
    )
    groups = purchases[purchases["purchased_on"] <= day].groupby("customer_id")
    profiles = pd.DataFrame({"orders": groups.size(), "spent": groups["dollars"].sum().round(2)}).reset_index()
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    file = FOLDER / f"customers-{day}.parquet"
    profiles.to_parquet(file, index=False)
    return str(file)


with DAG(
    dag_id="cdnow_ledger",
    schedule=None,
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    max_active_runs=1,
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    path = customers("{{ (data_interval_end | default(dag_run.run_after, true)) | ds }}")
    ledger = ProfileLedger(str(FOLDER / "ledger"), max_rows_to_send=100_000)
    plan = BulkProfileUpdateOperator(
        task_id="plan", path=path, id_column="customer_id", ledger=ledger, dry_run=True, do_xcom_push=True
    )
    upload = BulkProfileUpdateOperator(task_id="upload", path=path, id_column="customer_id", ledger=ledger)
    if ApprovalOperator is None or os.environ.get("WITHOUT_APPROVAL"):
        plan >> upload
    else:
        approve = ApprovalOperator(
            task_id="approve",
            subject="Send the changed profiles to Adobe Target?",
            body="{{ ti.xcom_pull('plan')['rows_sent'] }} rows would be sent: "
            "{{ ti.xcom_pull('plan')['rows_sent_because'] }}. The log of the task plan has the details.",
        )
        plan >> approve >> upload
