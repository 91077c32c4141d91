"""Customers and their browsers: link the ids first, then write to each browser what its customer bought.

The shop knows which visitor, by ECID, logged in as which customer. The first operator tells Adobe Target so, through
its Delivery API, and adds the Target ids it answers to the table ``links``. The second uploads attributes keyed by
these. They are for version 1 of the bulk interface, as Adobe warns of ``pcId`` with version 2 on sites with ECIDs.

Needs the connections ``adobe_target_default`` and ``warehouse``, the latter of type ``sqlite`` with the path of a file,
which the first task creates, as its host. The purchases are CDNOW's (``data/cdnow/README.md``); the ECIDs are made up.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator, IdentityLinkOperator

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"
CUSTOMERS = 200


@task
def load_visitors() -> int:
    """Fill the warehouse with the first customers, their orders, and the visitors they logged in as."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    with PURCHASES.open() as lines:
        next(lines)  # the heading
        orders = Counter(line.split()[0] for line in lines)
    customers = sorted(orders.items())[:CUSTOMERS]
    with closing(SqliteHook(sqlite_conn_id="warehouse").get_conn()) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS visitors")
        connection.execute("CREATE TABLE visitors (customer_id TEXT, ecid TEXT, orders INTEGER)")
        connection.executemany(
            "INSERT INTO visitors VALUES (?, ?, ?)",
            [(customer_id, f"{int(customer_id):038d}", count) for customer_id, count in customers],
        )
        connection.execute("DROP TABLE IF EXISTS links")
        connection.execute(
            "CREATE TABLE links (thirdPartyId TEXT, ECID TEXT, customerId TEXT, integrationCode TEXT, pcId TEXT)"
        )
    return len(customers)


with DAG(
    dag_id="cdnow_linking",
    schedule=None,
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    max_active_runs=1,  # a person's ids are told to Target by one run at a time
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    link = IdentityLinkOperator(
        task_id="link",
        sql="SELECT customer_id, ecid FROM visitors ORDER BY customer_id",
        sql_conn_id="warehouse",
        id_columns={"customer_id": "thirdPartyId", "ecid": "ECID"},
        result_table="links",
        result_conn_id="warehouse",
    )
    upload = BulkProfileUpdateOperator(
        task_id="upload",
        sql="SELECT links.pcId AS pcId, orders FROM links JOIN visitors ON customer_id = thirdPartyId",
        sql_conn_id="warehouse",
        api_version="v1",
        poll_interval=30,
    )
    load_visitors() >> link >> upload
