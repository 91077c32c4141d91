"""Backfill a year and a half of days in order.

In Target, the last batch takes precedence, so an older day must never follow a newer one. Only one run is active at a
time, and each run requires the success of the previous one. A backfill has its own limit of active runs::

    airflow backfill create --dag-id cdnow_backfill --max-active-runs 1 --from-date 1997-01-02 --to-date 1998-07-01

Never use ``--run-backwards``. In Airflow 2, use ``airflow dags backfill -s 1997-01-02 -e 1998-07-01 cdnow_backfill``.

The DAG does not use ``ds``, which a manual run in Airflow 3 may not have. It requires the connection
``adobe_target_default``.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"


@task
def orders_of_the_day(data_interval_end=None, dag_run=None) -> list[dict]:
    """Return the orders of the day before the end of the data interval."""
    as_of = data_interval_end or dag_run.run_after
    day_before = (as_of - timedelta(days=1)).date()
    with PURCHASES.open() as lines:
        next(lines)  # header
        orders = [line.split() for line in lines if f" {day_before:%Y%m%d} " in line]
    return [
        {
            "customer_id": customer_id,
            "last_order_on": day_before.isoformat(),
            "last_order_value": float(dollars),
        }
        for customer_id, _, _, dollars in orders
    ]


with DAG(
    dag_id="cdnow_backfill",
    schedule="@daily",
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    end_date=datetime(1998, 7, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"depends_on_past": True},
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    BulkProfileUpdateOperator(
        task_id="upload",
        data=orders_of_the_day(),
        id_column="customer_id",
        on_duplicate_id="last",  # the later of two orders on the same day
    )
