"""Checkpoint where Airflow has a place for them."""

from __future__ import annotations

import json

import pytest
from airflow import __version__ as airflow_version

pytestmark = pytest.mark.skipif(
    tuple(map(int, airflow_version.split(".")[:2])) < (3, 3), reason="the task state store is new in Airflow 3.3"
)

UPLOAD = """
BulkProfileUpdateOperator(
    task_id="up",
    data=[{"thirdPartyId": f"CANARY{n}", "tier": "gold"} for n in range(20)],
    max_rows_per_file=2,
    max_concurrent_uploads=4,
    poll_interval=0.05,
    deferrable=%s,
)
"""


@pytest.mark.parametrize("deferrable", [False, True])
def test_checkpoints_and_statuses_are_in_the_task_state_store(airflow, run_dag, sandbox, deferrable):
    run = run_dag(UPLOAD % deferrable)
    assert run.states == {"up": "success"}
    stored = dict(airflow.query("SELECT key, value FROM task_state_store WHERE dag_id = ?", run.dag_id))
    assert sorted(stored) == ["adobe_target_receipts_0"]
    receipts = [entry for page in stored.values() for entry in json.loads(page).values()]
    assert sorted(entry["batch_id"] for entry in receipts) == sorted(batch.batch_id for batch in sandbox.batches)
    assert len(receipts) == 10
    assert {(entry["status"], entry["rows"], entry["batch_size"]) for entry in receipts} == {("complete", 2, 2)}
    assert "CANARY" not in str(stored)
    assert sandbox.settings.token not in str(stored)
