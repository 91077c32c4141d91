"""Replace the Profile API token before it ends.

Each morning one call of the Admin API tells how long the token lasts. With two weeks or more left, nothing else
happens. Then a new token is made, and handed to a function of yours. From that moment on Target refuses the former
token, whoever uses it: list all who do before you copy this, or leave the last task out and have yourself told instead.

A connection that has an OAuth credential, a ``tenant_id`` and no password needs none of this: its tasks read the token
in force when they begin, and read it again when it is refused. It still ends one day, which is what the sensor is for.

``store_token`` here writes the file that a secret is mounted from: write to whatever your connection is made from.
Where that is AWS Secrets Manager, Airflow's secrets backend expects a whole connection: a bare token will not do.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow_provider_adobe_target.operators.adobe_target import RotateProfileTokenOperator
from airflow_provider_adobe_target.sensors.adobe_target import ProfileTokenSensor

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow.models.dag import DAG


def store_token(conn_id: str, token: str) -> None:
    """Write the token where only this user can read it, and where no half-written one is ever read."""
    folder = Path(os.environ["SECRETS_FOLDER"])
    unfinished = folder / f".{conn_id}"
    unfinished.touch(mode=0o600)
    unfinished.write_text(token)
    unfinished.replace(folder / conn_id)


with DAG(
    "profile_token",
    description="Replace the Profile API token before it ends",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["adobe-target"],
):
    nearly_over = ProfileTokenSensor(task_id="nearly_over", min_days_left=14, timeout=0, soft_fail=True)
    rotate = RotateProfileTokenOperator(
        task_id="rotate",
        confirm="rotate the token for every user of it",
        store_token=store_token,
    )
    nearly_over >> rotate
