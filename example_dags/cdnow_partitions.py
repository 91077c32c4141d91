"""Upload four partitions with mapped tasks, and wait for all of them in one sensor.

SQL partitions the customers by id, so that no id is in two partitions: repeated ids are only found within one task. The
last task adds up the reports.

All tasks share Adobe Target's 50 calls per minute. The tasks of one machine share the connection's
``calls_per_minute``. With several machines, set 50 divided by their number. The pool limits how many tasks read the
warehouse at a time. Create it, or the tasks are never scheduled (``airflow dags test`` does not require it)::

    airflow pools set adobe_target 2 "Uploads to Adobe Target at a time"

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
PARTITIONS = 4


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


@task
def account(reports) -> dict[str, int]:
    """Add up the reports of all partitions."""
    reports = list(reports)
    counts = ("rows_read", "rows_sent", "rows_rejected", "rows_empty", "rows_unchanged")
    return {count: sum(report[count] for report in reports) for count in counts} | {
        "files": sum(len(report["batches"]) for report in reports)
    }


with DAG(
    dag_id="cdnow_partitions",
    schedule=None,
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    max_active_runs=1,  # Target guarantees no order between two runs
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    upload = BulkProfileUpdateOperator.partial(
        task_id="upload",
        sql="sql/customer_profiles_partition.sql",
        sql_conn_id="warehouse",
        id_column="customer_id",
        wait_for_completion=False,  # the sensor waits
        pool="adobe_target",
    ).expand(parameters=[{"partition": number, "partitions": PARTITIONS} for number in range(PARTITIONS)])
    landed = BatchStatusSensor(task_id="landed", batches=upload.output, deferrable=True)

    load_purchases() >> upload >> landed >> account(upload.output)
