"""Upload the result of a query each day, and wait for the batches in a sensor.

One SQL statement computes each customer's recency, frequency, monetary value and tier at the end of the run's data
interval. The operator uploads the rows, and the sensor waits until Target has processed them. A run for 1 January 1998
sends 23,570 profiles.

It requires the connections ``adobe_target_default`` and ``warehouse``. ``warehouse`` is of type ``sqlite``. Its host is
the path of a file, which the first task creates.
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"


@task
def load_purchases() -> int:
    """Fill the warehouse in one transaction, so that repeated runs leave the same table."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    with PURCHASES.open() as lines:
        next(lines)  # header
        purchases = [
            (customer_id, datetime.strptime(day, "%Y%m%d").date().isoformat(), int(cds), float(dollars))
            for customer_id, day, cds, dollars in map(str.split, lines)
        ]
    with closing(SqliteHook(sqlite_conn_id="warehouse").get_conn()) as connection, connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS purchases (customer_id TEXT, purchased_on TEXT, cds INTEGER, dollars REAL)"
        )
        connection.execute("DELETE FROM purchases")
        connection.executemany("INSERT INTO purchases VALUES (?, ?, ?, ?)", purchases)
    return len(purchases)


with DAG(
    dag_id="cdnow_daily",
    schedule="@daily",
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    end_date=datetime(1998, 7, 1, tzinfo=timezone.utc),
    catchup=True,
    max_active_runs=1,  # the last batch takes precedence, so days must not overlap
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    upload = BulkProfileUpdateOperator(
        task_id="upload",
        sql="sql/customer_profiles.sql",
        sql_conn_id="warehouse",
        id_column="customer_id",
        max_rows_per_file=10_000,  # the default is 50,000; this example shows several files
        wait_for_completion=False,  # the sensor waits
    )
    landed = BatchStatusSensor(task_id="landed", batches=upload.output, poke_interval=30)

    load_purchases() >> upload >> landed
