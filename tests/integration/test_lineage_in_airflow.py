"""OpenLineage events of tasks, written by the OpenLineage provider."""

from __future__ import annotations

import json

import pytest

from support.real_airflow import RealAirflow, connection

pytest.importorskip("airflow.providers.openlineage")

DAG = """
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook

folder = os.environ["FOLDER"]
common = dict(poll_interval=0.1, timeout=20)
upload = BulkProfileUpdateOperator(task_id="upload", path=f"{folder}/rows.csv", **common)
deferred = BulkProfileUpdateOperator(task_id="deferred", path=f"{folder}/rows.csv", deferrable=True, **common)

@task
def by_hook():
    AdobeTargetHook().upload_batch(f"{folder}/batch.txt")

upload >> deferred >> by_hook()
"""


@pytest.fixture
def airflow(tmp_path):
    transport = {"type": "file", "log_file_path": str(tmp_path / "events.ndjson"), "append": True}
    with RealAirflow(tmp_path / "home").started(AIRFLOW__OPENLINEAGE__TRANSPORT=json.dumps(transport)) as started:
        yield started


def test_complete_events_have_inputs_outputs_and_counts(airflow, sandbox, tmp_path):
    (tmp_path / "rows.csv").write_text("thirdPartyId,tier\ngoldfinch-1,gold\n,x\n")
    (tmp_path / "batch.txt").write_text("batch=thirdPartyId,tier\ngoldfinch-2,silver\n")
    run = airflow.run(DAG, FOLDER=str(tmp_path), AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox))

    assert set(run.states.values()) == {"success"}
    text = (tmp_path / "events.ndjson").read_text()
    events = [json.loads(line) for line in text.splitlines()]
    complete = {event["job"]["name"].partition(".")[2]: event for event in events if event["eventType"] == "COMPLETE"}
    for task in ("upload", "deferred"):
        event = complete[task]
        assert [(item["namespace"], item["name"]) for item in event["inputs"]] == [("file", f"{tmp_path}/rows.csv")]
        [output] = event["outputs"]
        assert (output["namespace"], output["name"]) == ("adobetarget://acme", "thirdPartyId")
        assert [field["name"] for field in output["facets"]["schema"]["fields"]] == ["tier"]
        assert output["outputFacets"]["outputStatistics"]["rowCount"] == 1
        facet = event["run"]["facets"]["adobeTarget"]
        assert {name: facet[name] for name in ("status", "rowsRead", "rowsSent", "rowsRejected", "batches")} == {
            "status": "partial",
            "rowsRead": 2,
            "rowsSent": 1,
            "rowsRejected": 1,
            "batches": 1,
        }
    by_hook = complete["by_hook"]
    assert [(item["namespace"], item["name"]) for item in by_hook["outputs"]] == [
        ("adobetarget://acme", "thirdPartyId")
    ]
    assert [item["name"] for item in by_hook["inputs"]] == [f"{tmp_path}/batch.txt"]
    assert "goldfinch" not in text
