"""Set audience-membership flags each day: ``true`` for members, ``false`` for everyone else.

``sql`` returns a row for each member of each audience. ``universe_sql`` returns everyone. A customer who leaves an
audience is in no row of ``sql``, and gets ``false`` because of ``universe_sql``: Adobe Target cannot clear attributes.
In Target, define each audience once, as ``profile.audience.NAME`` equals ``true``. ``v1`` creates no profiles.

It requires the connections ``adobe_target_default`` and ``warehouse``. ``warehouse`` is of type ``sqlite``. Its host is
the path of a file, which the first task creates.
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.operators.adobe_target import AudienceFlagOperator

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"

MEMBERS = """
    {% set as_of = data_interval_end | default(dag_run.run_after, true) | ds %}
    SELECT customer_id, 'active' AS audience FROM orders WHERE purchased_on < '{{ as_of }}'
    GROUP BY customer_id HAVING MAX(purchased_on) >= date('{{ as_of }}', '-90 days')
    UNION ALL
    SELECT customer_id, 'big spender' FROM orders WHERE purchased_on < '{{ as_of }}'
    GROUP BY customer_id HAVING SUM(dollars) >= 250
"""


@task
def load_orders() -> int:
    """Fill the warehouse in one transaction, so that repeated runs leave the same table."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    with PURCHASES.open() as lines:
        next(lines)  # header
        orders = [
            (customer_id, datetime.strptime(day, "%Y%m%d").date().isoformat(), float(dollars))
            for customer_id, day, _, dollars in map(str.split, lines)
        ]
    with closing(SqliteHook(sqlite_conn_id="warehouse").get_conn()) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS orders (customer_id TEXT, purchased_on TEXT, dollars REAL)")
        connection.execute("DELETE FROM orders")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", orders)
    return len(orders)


with DAG(
    dag_id="cdnow_audiences",
    schedule="@daily",
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    end_date=datetime(1998, 7, 1, tzinfo=timezone.utc),
    catchup=True,
    max_active_runs=1,  # the last batch takes precedence, so days must not overlap
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    flags = AudienceFlagOperator(
        task_id="flags",
        sql=MEMBERS,
        sql_conn_id="warehouse",
        universe_sql="SELECT DISTINCT customer_id FROM orders",
        id_column="customer_id",
        audiences={"active": "active", "big spender": "big_spender"},
        api_version="v1",
        poll_interval=30,
    )
    load_orders() >> flags
