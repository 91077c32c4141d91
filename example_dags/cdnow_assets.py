"""A DAG that runs when profiles are fresh: the upload updates an asset, on which a second DAG is scheduled.

The first DAG uploads each customer's favourite weekday. The second one reads the events of the asset: counts, status
and attribute names. The purchases are CDNOW's (``data/cdnow/README.md``). Needs the connection
``adobe_target_default``, whose client code must be ``acme``, as in the asset's URI.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task

PURCHASES = Path(__file__).parent / "data" / "cdnow" / "CDNOW_master.txt"
PROFILES = Asset("adobetarget://acme/thirdPartyId")

with DAG(
    dag_id="cdnow_assets",
    schedule="@daily",
    start_date=datetime(1998, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["adobe-target", "example"],
    doc_md=__doc__,
):

    @task.bulk_profile_update(id_column="customer_id", attributes=["favourite_weekday"], outlets=[PROFILES])
    def upload() -> Any:
        """Return a DataFrame: it goes to Adobe Target without passing through XCom."""
        import pandas as pd

        names = ["customer_id", "day", "cds", "dollars"]
        purchases = pd.read_csv(PURCHASES, sep=r"\s+", skiprows=1, names=names, dtype="str")
        purchases["favourite_weekday"] = pd.to_datetime(purchases["day"], format="%Y%m%d").dt.day_name()
        first_mode = purchases.groupby("customer_id")["favourite_weekday"].agg(lambda days: days.mode()[0])
        return first_mode.reset_index()

    upload()

with DAG(
    dag_id="cdnow_fresh_profiles",
    schedule=[PROFILES],
    start_date=datetime(1998, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["adobe-target", "example"],
):

    @task
    def account(**context: Any) -> list[dict[str, Any]]:
        """Return what the events say. A manual run has none."""
        name = "triggering_asset_events" if "triggering_asset_events" in context else "triggering_dataset_events"
        return [event.extra for events in context[name].values() for event in events]

    account()
