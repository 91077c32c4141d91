"""Replace the Profile API token before it expires.

Each day, the sensor reads the expiry of the token from the Admin API. If fewer than 14 days are left, the operator
generates a new token and passes it to ``store_token``. Generating a token revokes the previous one, for every system
that uses it. List these systems before you copy this example, or replace the last task by an alert.

If the connection has an OAuth credential, a ``tenant_id`` and no password, tasks read the current token themselves. The
token still expires, which the sensor detects.

``store_token`` writes a file that is mounted as a secret. Write to the source of your connection instead. The secrets
backend for AWS Secrets Manager, for example, requires a whole connection, not only the token.

It requires the connection ``adobe_target_default`` with an OAuth credential and a ``tenant_id``.
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
    """Write the token to a file that only this user can read, and replace the previous file atomically."""
    folder = Path(os.environ["SECRETS_FOLDER"])
    unfinished = folder / f".{conn_id}"
    unfinished.touch(mode=0o600)
    unfinished.write_text(token)
    unfinished.replace(folder / conn_id)


with DAG(
    "profile_token",
    description="Replace the Profile API token before it expires",
    schedule="@daily",
    start_date=datetime(1997, 1, 2),
    catchup=False,
    max_active_runs=1,
    tags=["adobe-target", "example"],
):
    nearly_over = ProfileTokenSensor(task_id="nearly_over", min_days_left=14, timeout=0, soft_fail=True)
    rotate = RotateProfileTokenOperator(
        task_id="rotate",
        confirm="rotate the token for every user of it",
        store_token=store_token,
    )
    nearly_over >> rotate
