"""Update one profile immediately, without a batch file.

A call center writes the topic of a call to the customer's profile, without waiting for the nightly upload. Trigger the
DAG with the customer's id. If the customer has never visited the website, there is no profile, and the task is skipped.

It requires the connection ``adobe_target_default``.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator

with DAG(
    "call_centre",
    description="Update one profile immediately",
    schedule=None,
    start_date=datetime(1997, 1, 1),
    params={"customer_id": Param("00001", type="string")},
    tags=["adobe-target", "example"],
):

    @task(show_return_value_in_logs=False)
    def open_case() -> list[str]:
        """Return what the call center's system would return."""
        return ["refund", "call back"]

    SingleProfileUpdateOperator(
        task_id="update_profile",
        profile_id="{{ params.customer_id }}",
        attributes={
            "service": {
                "topic": "delivery",
                "wishes": open_case(),
                # In Airflow 3, a manual run may have no data interval.
                "last_call_on": "{{ data_interval_end | default(dag_run.run_after, true) | ds }}",
                "complaint": None,  # null: the attribute keeps its value
            }
        },
        if_not_found="skip",
    )
