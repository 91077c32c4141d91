"""Send failed batch files again from an archive, without reading the source again.

``upload`` keeps each batch file in the archive before it is sent. ``replay`` sends the files of this run that did not
end complete, also if ``upload`` failed. If all files are complete, it sends nothing. ``replay`` can also be a DAG of
its own, with ``run_id`` or batch ids as parameters.

It requires the connection ``adobe_target_default``. The parameter ``folder`` may also be in object storage.
"""

from __future__ import annotations

import tempfile
from datetime import datetime, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator, ReplayBatchesOperator

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"


@task
def customers() -> list[dict[str, str]]:
    """Return one row for each of 3,000 customers."""
    with PURCHASES.open() as lines:
        next(lines)  # header
        customer_ids = sorted({line.split()[0] for line in lines})[:3_000]
    return [{"customer_id": customer_id, "segment": "known"} for customer_id in customer_ids]


with DAG(
    dag_id="cdnow_replay",
    schedule=None,
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    max_active_runs=1,  # Target guarantees no order between two runs
    params={"folder": f"{tempfile.gettempdir()}/adobe_target_cdnow/archive"},
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    upload = BulkProfileUpdateOperator(
        task_id="upload",
        data=customers(),
        id_column="customer_id",
        max_rows_per_file=1_000,
        archive_path="{{ params.folder }}",
        poll_interval=30,
    )
    replay = ReplayBatchesOperator(
        task_id="replay",
        archive_path="{{ params.folder }}",
        run_id="{{ run_id }}",
        trigger_rule="all_done",
        poll_interval=30,
    )
    upload >> replay
