"""What a customer told the call centre is handed to Adobe Target at once, without waiting for the nightly upload.

One profile is updated at once, without a file. Trigger it with the customer's id; whoever has never visited the website
has no profile, and the task is skipped.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator

with DAG(
    "call_centre",
    description="One call, one profile",
    schedule=None,
    start_date=datetime(1997, 1, 1),
    params={"customer_id": Param("00001", type="string")},
    tags=["adobe-target", "example"],
):

    @task(show_return_value_in_logs=False)
    def open_case() -> list[str]:
        """Stand in for the call centre's own system."""
        return ["refund", "call back"]

    SingleProfileUpdateOperator(
        task_id="update_profile",
        profile_id="{{ params.customer_id }}",
        attributes={
            "service": {
                "topic": "delivery",
                "wishes": open_case(),
                # A run by hand may have no data interval on Airflow 3.
                "last_call_on": "{{ data_interval_end | default(dag_run.run_after, true) | ds }}",
                "complaint": None,  # nothing to say: the attribute stays as it is
            }
        },
        if_not_found="skip",
    )
