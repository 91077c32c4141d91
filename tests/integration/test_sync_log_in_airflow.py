"""What operators and sensors write to the sync log, run by Airflow itself."""

from __future__ import annotations

import json

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_adobe_target.sync_log.location import open_sync_log
from airflow_provider_adobe_target.sync_log.record import NESTED_COLUMNS
from airflow_provider_adobe_target.sync_log.store import RunFilter
from support.real_airflow import connection

HAS_TABS = tuple(map(int, airflow_version.split(".")[:2])) >= (3, 1)
ROWS = [
    {"thirdPartyId": "s3cret-id-1", "tier": "s3cret-value", "score": 1},
    {"thirdPartyId": "s3cret-id-2", "tier": None, "score": 20},
    {"thirdPartyId": "s3cret-id-2", "tier": "twice", "score": 3},
    {"thirdPartyId": None, "tier": "x", "score": 4},
]
DAG = """
rows = json.loads(os.environ["ROWS"])
common = dict(poll_interval=0.1, data=rows)
BulkProfileUpdateOperator(task_id="waits", **common)
BulkProfileUpdateOperator(task_id="defers", deferrable=True, max_rows_per_file=1, **common)
BulkProfileUpdateOperator(task_id="dry", dry_run=True, **common)
BulkProfileUpdateOperator(task_id="elsewhere", sync_log=os.environ["FOLDER"] + "/{{ dag.dag_id }}", **common)
BulkProfileUpdateOperator(task_id="refused", skip_invalid_records=False, **common)
BulkProfileUpdateOperator(task_id="nothing", data=[], on_no_rows="skip")
BulkProfileUpdateOperator.partial(task_id="mapped", poll_interval=0.1).expand(data=[rows[:1], rows[1:2]])
for mode in ("poke", "reschedule"):
    upload = BulkProfileUpdateOperator(task_id=f"sends_{mode}", wait_for_completion=False, data=rows)
    BatchStatusSensor(task_id=f"landed_{mode}", batches=upload.output, poke_interval=0.1, mode=mode)
upload = BulkProfileUpdateOperator(task_id="sends_deferred", wait_for_completion=False, data=rows)
BatchStatusSensor(task_id="landed_deferred", batches=upload.output, poke_interval=0.1, deferrable=True)

from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator
SingleProfileUpdateOperator(
    task_id="one", profile_id="s3cret-id-1", attributes={"city": "s3cret-value"}, if_not_found="send"
)
SingleProfileUpdateOperator(task_id="some", data=rows, if_not_found="send")
"""


@pytest.fixture(scope="module")
def recorded(airflow, tmp_path_factory):
    """Run the DAG once, and return its result and its records by task."""
    from airflow_provider_adobe_target.sandbox import Sandbox

    folder = tmp_path_factory.mktemp("sync_log")
    database = json.dumps({"conn_type": "sqlite", "host": str(folder / "log.db")})
    with Sandbox(token="t0ken-of-the-tests", processing_seconds=0.2, calls_per_minute=None) as sandbox:
        run = airflow.run(
            DAG,
            ROWS=json.dumps(ROWS),
            FOLDER=str(folder / "files"),
            AIRFLOW_CONN_LOG_DB=database,
            AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox, extra={"sync_log": "log_db"}),
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_LOG_DB", database)
        records = open_sync_log("log_db").read(RunFilter(nested=NESTED_COLUMNS))
    run_records = {(record.task_id, record.map_index): record for record in records}
    return run, run_records, folder


def of(recorded, task_id, map_index=-1):
    return recorded[1][task_id, map_index]


@pytest.mark.parametrize("task_id", ["waits", "defers"])
def test_an_upload_that_waits_is_recorded_with_its_end(recorded, task_id):
    record, report = of(recorded, task_id), recorded[0].result(task_id)
    assert (record.outcome, record.operator) == ("complete", "BulkProfileUpdateOperator")
    names = ("rows_read", "rows_sent", "rows_rejected", "rows_empty", "client_code", "id_type", "api_version")
    assert [getattr(record, name) for name in names] == [report[name] for name in names]
    assert record.rejected_by_reason == report["rejected_by_reason"] == {"duplicate_id": 1, "missing_id": 1}
    assert (record.rows_updated, record.rows_failed, record.files) == (2, 0, len(report["batches"]))
    assert [batch["batch_id"] for batch in record.batches] == [batch["batch_id"] for batch in report["batches"]]
    assert record.started_at <= record.sent_at <= record.finished_at
    assert record.calls >= record.files
    assert record.attributes == {
        "tier": {"type": "text", "filled": 1, "rows": 2, "max_length": 12},
        "score": {"type": "integer", "filled": 2, "rows": 2, "max_length": 2},
    }
    assert record.details["source"] == "data"


@pytest.mark.parametrize("mode", ["poke", "reschedule", "deferred"])
def test_a_sensor_writes_the_end_of_the_upload(recorded, mode):
    upload, sensor = of(recorded, f"sends_{mode}"), of(recorded, f"landed_{mode}")
    assert (upload.outcome, upload.rows_sent, upload.rows_updated) == ("complete", 2, 2)
    assert upload.finished_at >= upload.sent_at
    assert (sensor.outcome, sensor.operator, sensor.rows_sent) == ("complete", "BatchStatusSensor", None)
    assert [batch["status"] for batch in sensor.batches] == ["complete"]


def test_a_dry_run_is_recorded_as_one(recorded):
    record = of(recorded, "dry")
    assert (record.outcome, record.rows_sent, record.rows_updated, record.sent_at is None) == (
        "dry_run",
        2,
        None,
        False,
    )


def test_a_task_that_fails_before_it_sends_has_sent_nothing(recorded):
    record = of(recorded, "refused")
    assert (record.outcome, record.rows_sent, record.details["error"]) == ("failed", 0, "AirflowFailException")


def test_a_skipped_task_is_recorded(recorded):
    assert (of(recorded, "nothing").outcome, of(recorded, "nothing").rows_sent) == ("complete", 0)


def test_mapped_tasks_have_records_of_their_own(recorded):
    assert [of(recorded, "mapped", index).rows_sent for index in range(2)] == [1, 1]


def test_single_updates_are_recorded(recorded):
    one, some = of(recorded, "one"), of(recorded, "some")
    assert (one.outcome, one.rows_sent, one.rows_updated) == ("complete", 1, None)
    assert one.attributes["city"]["filled"] == 1
    assert (some.rows_read, some.rows_sent, some.rows_rejected) == (4, 2, 2)


def test_the_argument_is_templated_and_takes_precedence(recorded):
    run, records, folder = recorded
    assert ("elsewhere", -1) not in records
    [found] = open_sync_log(f"{folder}/files/{run.dag_id}").read(RunFilter())
    assert (found.task_id, found.outcome) == ("elsewhere", "complete")


def test_recorded_tasks_link_to_their_tabs(recorded):
    if not HAS_TABS:
        pytest.skip("this Airflow has no tabs of plugins")
    run = recorded[0]
    for task, path in (("waits", "waits"), ("landed_poke", "landed_poke"), (("mapped", 1), "mapped/mapped/1")):
        url = run.xcoms[task]["adobe_target_run_url"]
        assert url.startswith(f"/dags/{run.dag_id}/runs/")
        assert url.endswith(f"/tasks/{path}/plugin/adobe-target-ti")


def test_the_log_has_no_ids_and_no_values(recorded):
    _, records, folder = recorded
    assert len(records) == 15
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"s3cret" not in path.read_bytes()


def test_a_log_that_cannot_be_written_is_a_warning(airflow, sandbox):
    source = (
        'BulkProfileUpdateOperator(task_id="upload", data=[{"thirdPartyId": "U1", "tier": "x"}], poll_interval=0.1)'
    )
    run = airflow.run(
        source,
        AIRFLOW_CONN_AWAY=json.dumps({"conn_type": "sqlite", "host": "/no/such/folder/log.db"}),
        AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox, extra={"sync_log": "away"}),
    )
    assert run.states == {"upload": "success"}
    assert "The sync log away cannot be used" in run.output
