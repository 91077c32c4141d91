"""Upload a DataFrame that a TaskFlow task returns.

The DataFrame is stored in XCom, which is suitable for the 23,570 rows of this example. For more rows, write Parquet in
the task and set ``path``, or use ``sql``.

It requires the connection ``adobe_target_default`` and, before Airflow 3.3, pandas 2: the XCom of earlier versions does
not support the DataFrame of pandas 3.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"


@task
def order_habits():
    """Return the average order value, the largest order and the most frequent weekday of each customer."""
    import pandas as pd

    purchases = pd.read_csv(
        PURCHASES,
        sep=r"\s+",
        skiprows=1,
        names=["customer_id", "purchased_on", "cds", "dollars"],
        dtype={"customer_id": "str"},  # as a number, 00001 would become 1
        parse_dates=["purchased_on"],
    )
    purchases["weekday"] = purchases["purchased_on"].dt.day_name()
    customers = purchases.groupby("customer_id")
    return pd.DataFrame(
        {
            "average_order_value": customers["dollars"].mean().round(2),
            "largest_order_cds": customers["cds"].max(),
            "favourite_weekday": customers["weekday"].agg(lambda days: days.mode().iloc[0]),
        }
    ).reset_index()


with DAG(
    dag_id="cdnow_dataframe",
    schedule=None,
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    max_active_runs=1,  # Target guarantees no order between two runs
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    BulkProfileUpdateOperator(task_id="upload", data=order_habits(), id_column="customer_id")
