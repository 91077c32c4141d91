"""From a DataFrame, through TaskFlow: what one task returns, the operator uploads.

The frame travels through XCom: right for what fits there, as the 23,570 rows of this example do. For more,
let the task write Parquet and give the operator its ``path``, or let the operator read ``sql`` itself.

Needs the connection ``adobe_target_default``, and before Airflow 3.3 pandas 2: the XCom of 3.2 and earlier does
not know the DataFrame of pandas 3.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"


@task
def order_habits():
    """Return a DataFrame: what each customer spends on an order, and on which day of the week most often."""
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
    max_active_runs=1,  # Target knows no order between two runs that write the same ids
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    BulkProfileUpdateOperator(task_id="upload", data=order_habits(), id_column="customer_id")
