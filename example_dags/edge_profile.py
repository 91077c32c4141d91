"""Tell Target, by way of an Experience Platform datastream, what a visitor has just bought.

The visitor is known by the Experience Cloud ID that the shop has put into the order. ``edge_profile`` is run for one
order, for example through Airflow's REST API with ``{"ecid": "…", "order": {…}}``.

Needs the connection ``adobe_target_default`` with a ``datastream_id``, and an OAuth credential with ``ims_org_id``.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_target.operators.adobe_target import EdgeProfileUpdateOperator


@task(multiple_outputs=False)
def latest_order() -> dict[str, object]:
    """Return what is known of the order; yours comes from the run's ``conf``, or a database."""
    return {"last_order": {"cds": 3, "dollars": 35.5}, "is_customer": True, "note": None}


with DAG(
    dag_id="edge_profile",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):
    EdgeProfileUpdateOperator(
        task_id="update_profile",
        profile_id="{{ dag_run.conf.get('ecid', '41112206153430122006023018240013441424') }}",
        attributes=latest_order(),
    )
