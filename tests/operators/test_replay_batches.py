"""Archives of uploads, and their replay, against the sandbox over real sockets."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError
from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.load.archived_files import STATES, read_manifests, state_of
from airflow_provider_adobe_target.operators import replay_batches
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator, ReplayBatchesOperator
from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor
from airflow_provider_adobe_target.version_compat import AirflowFailException, AirflowSkipException

ROWS = [{"thirdPartyId": f"SECRET-{number}", "tier": f"gold-{number}"} for number in range(1, 4)]
STUCK = Answer(200, "<response><status>stuck</status><batchSize>1</batchSize></response>")
REAL = Answer.real()


@pytest.fixture
def sandbox():
    with Sandbox(processing_seconds=0, calls_per_minute=None) as sandbox:
        yield sandbox


@pytest.fixture
def connect(sandbox, monkeypatch):
    def connect(login="acme", **extra):
        connection = {"conn_type": "adobe_target", "login": login, "host": sandbox.url, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))

    connect()
    return connect


def context_of(task_id, run_id="run", map_index=-1, pushed=None):
    pushed = {} if pushed is None else pushed
    ti = SimpleNamespace(
        dag_id="dag",
        task_id=task_id,
        run_id=run_id,
        map_index=map_index,
        xcom_push=lambda key, value: pushed.update({key: value}),
    )
    return {"ti": ti, "run_id": run_id}


@pytest.fixture
def upload(connect, tmp_path):
    def upload(rows=ROWS, run_id="run", **arguments):
        arguments = {"max_rows_per_file": 1, "max_concurrent_uploads": 1, "durable": False, **arguments}
        operator = BulkProfileUpdateOperator(
            task_id="upload", data=rows, poll_interval=0.01, archive_path=str(tmp_path / "archive"), **arguments
        )
        return operator.execute(context_of("upload", run_id))

    return upload


@pytest.fixture
def replay(connect, tmp_path):
    def replay(run="replay", **arguments):
        arguments = {"archive_path": str(tmp_path / "archive"), "max_concurrent_uploads": 1, **arguments}
        return ReplayBatchesOperator(task_id="replay", poll_interval=0.01, **arguments).execute(
            context_of("replay", run)
        )

    return replay


@pytest.fixture
def stuck_upload(upload, sandbox):
    """Upload three files, the second of which is stuck and not applied."""
    sandbox.script("status", REAL, STUCK, REAL)
    with pytest.raises(AirflowFailException, match="stuck"):
        upload()
    sent = len(sandbox.batches)
    assert sent == 3
    return sandbox


def test_only_what_did_not_end_complete_is_sent_and_only_once(stuck_upload, replay, sandbox, caplog):
    failed_id = sandbox.batches[1].batch_id
    report = replay()
    assert report["replay_of"] == [failed_id]
    assert (report["rows_read"], report["rows_sent"], report["outcome"]) == (1, 1, "complete")
    assert report["batches"][0]["resubmitted_after"] == ["stuck"]
    assert report["id_type"] == "thirdPartyId"
    assert len(sandbox.batches) == 4
    assert "SECRET" not in json.dumps(report) + caplog.text
    assert replay(run="later")["batches"] == []
    assert len(sandbox.batches) == 4


def test_a_file_that_target_did_not_accept_is_sent(upload, replay, sandbox):
    sandbox.script("submit", REAL, Answer(400))
    with pytest.raises(AirflowFailException):
        upload()
    report = replay()
    assert sandbox.profile("SECRET-2") == {"tier": "gold-2"}
    assert report["replay_of"] == [None]
    assert "resubmitted_after" not in report["batches"][0]
    assert sandbox.profile("SECRET-3") is None  # no file was made of it


def test_the_status_of_open_batches_is_requested_first(upload, replay, sandbox, caplog):
    upload(wait_for_completion=False)
    sandbox.script("status", REAL, STUCK, Answer(200, "<response><status>incomplete</status></response>"))
    report = replay()
    assert [batch["rows"] for batch in report["batches"]] == [1]
    assert "Not chosen, because Adobe Target has not finished them" in caplog.text
    assert len(sandbox.batches) == 4


def test_batches_are_chosen_by_their_ids(upload, replay, sandbox):
    report = upload()
    ids = [batch["batch_id"] for batch in report["batches"]]
    assert replay(batches=[ids[2]])["replay_of"] == [ids[2]]
    assert replay(run="2", batches=f"{ids[0]}, {ids[2]}")["replay_of"][0] == ids[0]  # an earlier id of the file
    assert replay(run="3", batches={"batches": report["batches"][:1]})["rows_sent"] == 1
    assert replay(run="4", batches=str(report["batches"][:1]))["rows_sent"] == 1
    with pytest.raises(AirflowFailException, match="does not have the batches acme-none"):
        replay(run="5", batches=["acme-none"])
    assert replay(run="6", batches=[])["batches"] == []


def test_the_operator_accepts_the_states_of_an_archive():
    """The operator has its own list, so that DAG files do not import the modules of the archive."""
    assert replay_batches._STATES == STATES


def test_states_choose_files(upload, replay, sandbox):
    failed = "<response><status>complete</status><batchSize>1</batchSize><failedUpdates>1</failedUpdates></response>"
    sandbox.script("status", Answer(200, failed))
    upload(max_failed_pct=100)
    counts = {state: replay(statuses=[state], dry_run=True)["rows_sent"] for state in ("failed", "complete", "stuck")}
    assert counts == {"failed": 1, "complete": 2, "stuck": 0}
    assert replay(dry_run=True)["rows_sent"] == 0


def test_a_dry_run_makes_no_call_and_changes_nothing(stuck_upload, replay, sandbox, tmp_path):
    calls = len(sandbox.calls)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.json")}
    report = replay(dry_run=True)
    assert (report["rows_sent"], report["batches"][0]["status"]) == (1, "dry_run")
    assert len(sandbox.calls) == calls
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.json")} == before


@pytest.mark.parametrize("change", ["damage", "remove", "replace"])
def test_a_file_that_differs_from_its_manifest_is_not_sent(stuck_upload, replay, sandbox, tmp_path, change):
    [manifest] = [file for file in tmp_path.rglob("*.json") if "stuck" in file.read_text()]
    body = manifest.with_suffix(".txt.gz")
    content = body.read_bytes()
    if change == "remove":
        body.unlink()
    elif change == "damage":
        body.write_bytes(content[:-12])
    else:
        text = gzip.decompress(content)
        body.write_bytes(gzip.compress(text.replace(b"gold", b"coal")))
    with pytest.raises(AirflowFailException, match=r"does not have the file|damaged|differs from its manifest"):
        replay()
    assert len(sandbox.batches) == 3


def test_files_of_another_account_are_refused(stuck_upload, replay, sandbox, connect):
    connect(login="other")
    with pytest.raises(AirflowFailException, match="files of the account acme, and the connection is for other"):
        replay()
    assert len(sandbox.batches) == 3


def test_files_of_several_runs_are_sent_in_order(upload, replay, sandbox, caplog):
    for run_id, tier in (("1", "old"), ("2", "new")):
        sandbox.script("submit", Answer(400))
        with pytest.raises(AirflowFailException):
            upload([{"thirdPartyId": "SECRET-1", "tier": tier}], run_id=run_id)
    with pytest.raises(AirflowFailException, match=r"2 DAG runs.*Set guaranteed_upload=True"):
        replay()
    assert replay(run_id="1", dry_run=True)["rows_sent"] == 1
    assert replay(guaranteed_upload=True)["rows_sent"] == 2
    assert sandbox.profile("SECRET-1") == {"tier": "new"}


def test_later_files_of_other_runs_are_a_warning(upload, replay, sandbox, tmp_path, caplog):
    sandbox.script("submit", Answer(400))
    with pytest.raises(AirflowFailException):
        upload(ROWS[:1], run_id="1")
    for manifest in tmp_path.rglob("*.json"):
        manifest.write_text(manifest.read_text().replace('"archived_at": "20', '"archived_at": "19'))
    upload(ROWS[:1], run_id="2")
    replay()
    assert "The archive has 1 later files of other runs" in caplog.text


def test_an_upload_with_a_ledger_is_archived_and_cannot_be_replayed(upload, replay, sandbox, tmp_path):
    sandbox.script("status", STUCK)
    with pytest.raises(AirflowFailException, match="stuck"):
        upload(ROWS[:1], ledger=ProfileLedger(str(tmp_path / "ledger")))
    with pytest.raises(AirflowFailException, match="The upload has a ledger"):
        replay()
    assert len(sandbox.batches) == 1


def test_a_retry_sends_only_what_was_not_accepted(upload, replay, sandbox):
    sandbox.script("status", STUCK, STUCK, STUCK)
    with pytest.raises(AirflowFailException, match="stuck"):
        upload()
    sandbox.script("submit", REAL, Answer(400))
    with pytest.raises(AirflowFailException, match="refused"):
        replay()
    assert len(sandbox.batches) == 4
    report = replay()
    assert len(sandbox.batches) == 6
    assert [batch["status"] for batch in report["batches"]] == ["complete"] * 3
    assert [batch["resubmitted_after"] for batch in report["batches"]] == [["stuck"]] * 3


def test_a_stuck_replay_is_resubmitted_on_request(upload, replay, sandbox):
    sandbox.script("submit", Answer(400))
    with pytest.raises(AirflowFailException):
        upload(ROWS[:1], run_id="other")
    sandbox.script("status", STUCK)
    report = replay(run_id="other", on_stuck="resubmit")
    assert report["batches"][0]["resubmitted_after"] == ["stuck"]
    assert len(sandbox.batches) == 2


def test_the_version_of_the_upload_is_used(upload, replay, sandbox):
    upload(api_version="v1", max_not_found_pct=100)
    assert replay(statuses=["complete"])["api_version"] == "v1"
    assert {batch.version for batch in sandbox.batches} == {"v1"}


def test_a_sensor_writes_the_status_to_the_manifests(upload, replay, sandbox, tmp_path):
    report = upload(wait_for_completion=False)
    sandbox.script("status", REAL, STUCK)
    sensor = BatchStatusSensor(task_id="sensor", batches=[report], deferrable=False)
    with pytest.raises(AirflowFailException, match="stuck"):
        sensor.poke(context_of("sensor"))
    states = [state_of(file.manifest.batch) for file in read_manifests([str(tmp_path / "archive")])]
    assert states == ["complete", "stuck", "complete"]
    calls = len(sandbox.calls)
    assert replay(dry_run=True)["replay_of"] == [report["batches"][1]["batch_id"]]
    assert len(sandbox.calls) == calls


@pytest.mark.parametrize(("choice", "outcome"), [("skip", AirflowSkipException), ("fail", AirflowFailException)])
def test_nothing_to_send_can_skip_or_fail(upload, replay, choice, outcome):
    upload()
    with pytest.raises(outcome, match="no rows"):
        replay(on_no_rows=choice)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"statuses": "stuck"}, "statuses must be a list"),
        ({"statuses": ["bad"]}, "is not one of 'to_send'"),
        ({"api_version": "v3"}, "api_version='v3'"),
        ({"timeout": 0}, "timeout=0"),
    ],
)
def test_bad_arguments_are_refused_when_the_dag_is_parsed(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        ReplayBatchesOperator(task_id="replay", archive_path="x", **arguments)


def test_the_report_of_the_upload_names_its_folder(upload, replay):
    report = upload()
    assert replay(archive_path=report["archive_folder"], statuses=["complete"])["rows_sent"] == 3
    manifest = next(Path(report["archive_folder"]).glob("000001-*.json"))
    assert replay(run="2", archive_path=[manifest], statuses=["complete"])["rows_sent"] == 1
