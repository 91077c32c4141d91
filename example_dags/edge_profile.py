"""Send a visitor's last order to Target through an Experience Platform datastream.

The order contains the visitor's Experience Cloud ID. Run the DAG for one order, for example through Airflow's REST API
with the ``conf`` ``{"ecid": "…"}``.

It requires the connection ``adobe_target_default`` with a ``datastream_id``, and an OAuth credential with
``ims_org_id``.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.operators.adobe_target import EdgeProfileUpdateOperator


@task(multiple_outputs=False)
def latest_order() -> dict[str, object]:
    """Return the attributes of the order. Replace it by a query or the run's ``conf``."""
    return {"last_order": {"cds": 3, "dollars": 35.5}, "is_customer": True, "note": None}


with DAG(
    dag_id="edge_profile",
    schedule=None,
    start_date=datetime(1997, 1, 2, tzinfo=timezone.utc),
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    EdgeProfileUpdateOperator(
        task_id="update_profile",
        profile_id="{{ dag_run.conf.get('ecid', '41112206153430122006023018240013441424') }}",
        attributes=latest_order(),
    )
