"""Events of ``adobetarget://`` assets, run by Airflow itself."""

from __future__ import annotations

import json

import pytest

DAG = """
from airflow.providers.common.compat.sdk import Asset
from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator

profiles = Asset("adobetarget://acme/thirdPartyId")
rows = [{"customer": "goldfinch-1", "tier": "gold", "city": "goldfinch-2"}]
rows += [{"customer": None, "tier": "x", "city": None}]
common = dict(
    data=rows, id_column="customer", attributes={"tier": "tier", "city": "home.city"}, poll_interval=0.1, timeout=20
)
for deferrable in (False, True):
    BulkProfileUpdateOperator(
        task_id="deferred" if deferrable else "worker", outlets=[profiles], deferrable=deferrable, **common
    )
upload = BulkProfileUpdateOperator(task_id="not_waiting", outlets=[profiles], wait_for_completion=False, **common)
for deferrable in (False, True):
    BatchStatusSensor(
        task_id="sensor_deferred" if deferrable else "sensor", batches=upload.output, outlets=[profiles],
        deferrable=deferrable, poke_interval=0.1, timeout=20,
    )
BatchStatusSensor(
    task_id="of_urls", batches="{{ ti.xcom_pull('not_waiting')['batches'][0]['status_url'] }}", outlets=[profiles],
    poke_interval=0.1, timeout=20,
).set_upstream(upload)
BulkProfileUpdateOperator(task_id="dry", outlets=[profiles], dry_run=True, **common)
BulkProfileUpdateOperator(
    task_id="partial", outlets=[profiles], adobe_target_conn_id="failing", max_failed_pct=100, **common
)
SingleProfileUpdateOperator(
    task_id="single", outlets=[profiles], profile_id="goldfinch-1", attributes={"tier": "gold"}, if_not_found="send"
)
BulkProfileUpdateOperator(task_id="other_account", outlets=[Asset("adobetarget://other/thirdPartyId")], **common)
BulkProfileUpdateOperator(task_id="other_type", outlets=[Asset("adobetarget://acme/pcId")], **common)

@task.bulk_profile_update(outlets=[profiles])
def function():
    return [{"thirdPartyId": "goldfinch-1", "tier": "gold"}]

function()
"""


@pytest.fixture
def run(run_dag, open_sandbox):
    from support.real_airflow import IS_AIRFLOW_3_0, connection

    if IS_AIRFLOW_3_0:
        pytest.skip("before 3.1 dag.test() refuses outlets that no scheduler has activated")

    return run_dag(DAG, AIRFLOW_CONN_FAILING=connection(open_sandbox(fail_ids=("goldfinch-1",))))


def events(airflow, run):
    """Return URI and extra by task."""
    columns = {name for _, name, *_ in airflow.query("PRAGMA table_info(asset_event)")}
    if columns:
        statement = "SELECT source_task_id, uri, e.extra FROM asset_event e JOIN asset a ON a.id = asset_id"
    else:
        statement = "SELECT source_task_id, uri, e.extra FROM dataset_event e JOIN dataset d ON d.id = dataset_id"
    found = airflow.query(f"{statement} WHERE source_dag_id = ?", run.dag_id)
    return {task: (uri, json.loads(extra) if isinstance(extra, str) else extra) for task, uri, extra in found}


def test_events_have_counts_and_no_values(run, airflow):
    assert set(run.states.values()) == {"success"}
    found = events(airflow, run)
    names = ["tier", "home.city"]
    expected = {"rows_sent": 1, "rows_rejected": 1, "batches": 1, "status": "partial", "attributes": names}
    uri = "adobetarget://acme/thirdPartyId"
    assert found["worker"] == found["deferred"] == (uri, expected)
    assert found["not_waiting"] == (uri, {**expected, "status": "submitted"})
    assert found["sensor"] == found["sensor_deferred"] == (uri, {**expected, "attributes": []})
    assert found["of_urls"] == (uri, {})
    assert found["dry"] == (uri, {**expected, "status": "dry_run"})
    assert found["partial"] == (uri, expected)
    one = {**expected, "rows_rejected": 0, "status": "complete", "attributes": ["tier"]}
    assert found["function"] == (uri, one)
    assert found["single"] == (uri, {**one, "batches": 0})
    assert found["other_account"] == ("adobetarget://other/thirdPartyId", {})
    assert found["other_type"] == ("adobetarget://acme/pcId", {})
    assert "adobetarget://other/thirdPartyId is not what this task updates" in run.log("other_account")
    assert "goldfinch" not in json.dumps(found)
