"""A day's run: purchases in a warehouse become profiles in Adobe Target.

One SQL statement computes each customer's recency, frequency, monetary value and tier as of the end of the
run's data interval; the operator uploads the rows, and the sensor waits until Target has taken them in. The
purchases are CDNOW's (``data/cdnow/README.md``): a run for 1 January 1998 sends 23,570 profiles.

Needs the connections ``adobe_target_default`` and ``warehouse``, the latter of type ``sqlite`` with the path
of a file, which the first task creates, as its host.
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
    """Fill the warehouse, in one transaction: any number of runs leave the same table."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    with PURCHASES.open() as lines:
        next(lines)  # the heading
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
    max_active_runs=1,  # Target keeps what comes last: a later day must not be overtaken by an earlier one
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    upload = BulkProfileUpdateOperator(
        task_id="upload",
        sql="sql/customer_profiles.sql",
        sql_conn_id="warehouse",
        id_column="customer_id",
        wait_for_completion=False,  # the sensor does that
    )
    landed = BatchStatusSensor(task_id="landed", batches=upload.output, poke_interval=30)

    load_purchases() >> upload >> landed
