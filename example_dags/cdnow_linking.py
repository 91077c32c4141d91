"""Link customers and their browsers, then write attributes to each browser.

The warehouse contains the ECIDs with which each customer logged in. The first operator links them through the Delivery
API, and adds the returned Target ids to the table ``links``. The second operator uploads attributes with these ids. It
uses ``v1``, because Adobe restricts ``pcId`` to ``v1`` on sites with ECID.

It requires the connections ``adobe_target_default`` and ``warehouse``. ``warehouse`` is of type ``sqlite``. Its host is
the path of a file, which the first task creates. The ECIDs are generated.
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
    """Fill the warehouse with the first customers, the numbers of their orders, and their ECIDs."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    with PURCHASES.open() as lines:
        next(lines)  # header
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
    max_active_runs=1,  # only one run at a time must link the ids of a person
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
