"""Retries of a task, and batches that Adobe Target loses or does not complete."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_adobe_target.exceptions import AdobeTargetUnavailableError
from airflow_provider_adobe_target.sandbox import Answer
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor
from airflow_provider_adobe_target.version_compat import AirflowFailException, AirflowSensorTimeout
from support.real_airflow import connection
from support.upload_task import ROWS, WAITING

STUCK = Answer(200, "<response><status>stuck</status><batchSize>1</batchSize></response>")
FORGOTTEN = Answer(404, "<response><success>false</success></response>")
COMPLETE = Answer(200, "<response><status>complete</status><batchSize>1</batchSize></response>")
REAL = Answer.real()
LOST = Answer.real(reset="after")
UNAVAILABLE = Answer(500)


def submits(sandbox):
    """Return the ids of all submitted rows, also of those that were not accepted."""
    return [
        call.body.rpartition(b"\n")[2].partition(b",")[0].decode() for call in sandbox.calls if call.route == "submit"
    ]


@WAITING
def test_a_retry_sends_files_without_a_checkpoint_and_reports_all(task, sandbox, waiting):
    task = task(**waiting)
    sandbox.script("submit", REAL, REAL, *[UNAVAILABLE] * 5)
    with pytest.raises(AdobeTargetUnavailableError):
        task.run()
    assert len(task.pushed["batches"]) == 2
    report = task.run()
    assert submits(sandbox) == ["U1", "U2", *["U3"] * 5, "U3", "U4", "U5"]
    assert len(sandbox.batches) == 5
    assert report["rows_read"] == report["rows_sent"] == 5
    assert [(batch["status"], batch["successful_updates"]) for batch in report["batches"]] == [("complete", 1)] * 5
    assert [batch["batch_id"] for batch in report["batches"]] == [batch.batch_id for batch in sandbox.batches]
    assert not any("resubmitted_after" in batch for batch in report["batches"])
    assert task.pushed["batches"] == report["batches"]


@WAITING
def test_a_cleared_successful_task_reports_the_same_without_a_call(task, sandbox, waiting):
    task = task(**waiting)
    report = task.run()
    calls = len(sandbox.calls)
    assert task.run() == report
    assert len(sandbox.calls) == calls


def test_a_batch_that_was_in_progress_is_waited_for(task, sandbox):
    task = task()
    sandbox.script("status", Answer(401), forever=True)
    with pytest.raises(AirflowFailException, match="token"):
        task.run()
    sandbox.script("status")
    assert [batch["status"] for batch in task.run()["batches"]] == ["complete"] * 5
    assert len(sandbox.batches) == 5


def test_a_retried_guaranteed_upload_waits_for_the_earlier_file(task, sandbox):
    task = task(guaranteed_upload=True)
    sandbox.script("status", REAL, *[Answer(401)] * 2)
    with pytest.raises(AirflowFailException, match="token"):
        task.run()
    sandbox.script("status")
    task.run()
    assert len(sandbox.batches) == len(submits(sandbox)) == 5
    for before, after in zip(sandbox.batches, sandbox.batches[1:]):
        assert before.due_at <= after.received_at


def test_a_sensor_reports_failures_of_the_upload(task, sandbox):
    sandbox.settings.fail_ids, sandbox.settings.omit_counters = ("U2",), ("failedUpdates",)
    report = task(guaranteed_upload=True, wait_for_completion=False).run()
    assert [batch["status"] for batch in report["batches"][:4]] == ["complete"] * 4
    sensor = BatchStatusSensor(task_id="landed", batches=report, poke_interval=0.01, deferrable=False)
    with pytest.raises(AirflowFailException, match="1 of 5 rows failed"):
        sensor.execute({})


def test_without_checkpoints_a_retry_sends_all_files(task, sandbox):
    task = task(durable=False)
    task.run()
    task.run()
    assert len(sandbox.batches) == 10


def test_a_dry_run_reads_and_writes_no_checkpoint(task, sandbox, tmp_path):
    task = task()
    task.run(dry_run=True)
    assert not (tmp_path / "receipts.json").exists()
    task.run()
    assert [batch["status"] for batch in task.run(dry_run=True)["batches"]] == ["dry_run"] * 5


@WAITING
def test_a_file_with_a_lost_answer_is_sent_again_and_reported(task, sandbox, waiting):
    sandbox.script("submit", REAL, LOST, REAL)
    report = task(**waiting).run()
    assert submits(sandbox) == ["U1", "U2", "U2", "U3", "U4", "U5"]
    assert [batch.get("resubmitted_after") for batch in report["batches"]] == [None, ["lost_answer"], None, None, None]


def test_a_retry_reports_a_file_whose_answers_were_all_lost(task, sandbox):
    task = task()
    sandbox.script("submit", REAL, LOST, LOST)
    with pytest.raises(AdobeTargetUnavailableError):
        task.run()
    report = task.run()
    assert submits(sandbox) == ["U1", "U2", "U2", "U2", "U3", "U4", "U5"]
    assert report["batches"][1]["resubmitted_after"] == ["lost_answer"]


# ------ a source that has changed


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([*ROWS[:2], {"thirdPartyId": "U3", "tier": "new"}, *ROWS[3:]], id="another value"),
        pytest.param(ROWS[:2], id="rows that are gone"),
        pytest.param(ROWS[::-1], id="another order"),
    ],
)
def test_a_changed_source_is_logged_and_sent_completely(task, sandbox, logged, rows):
    task = task()
    sandbox.script("submit", REAL, REAL, REAL, *[UNAVAILABLE] * 5)
    with pytest.raises(AdobeTargetUnavailableError):
        task.run()
    sandbox.script("submit")
    before = len(sandbox.calls)
    report = task.run(data=rows)
    assert "rows are not those that an earlier try read" in logged()
    assert submits(sandbox)[8:] == [row["thirdPartyId"] for row in rows]
    # What an earlier try sent is finished before: it cannot come to lie over the newer rows.
    assert [call.route for call in sandbox.calls[before:][:4]] == ["status"] * 3 + ["submit"]
    assert report["rows_sent"] == len(rows)
    assert len(report["batches"]) == len(rows)


def test_another_account_gets_all_files(task, sandbox, open_sandbox, monkeypatch):
    task = task()
    task.run()
    other = open_sandbox()
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(other))
    task.run()
    assert len(sandbox.batches) == len(other.batches) == 5


# ------ batches that do not end well


@WAITING
@pytest.mark.parametrize(
    ("answer", "rule", "status"), [(STUCK, "on_stuck", "stuck"), (FORGOTTEN, "on_status_lost", "status_lost")]
)
def test_a_batch_is_resubmitted_once_with_the_same_bytes(task, sandbox, waiting, answer, rule, status):
    sandbox.script("status", REAL, REAL, answer)
    report = task(**waiting, **{rule: "resubmit"}).run()
    bodies = {}
    for batch in sandbox.batches:
        bodies.setdefault(batch.body, []).append(batch.batch_id)
    assert sorted(map(len, bodies.values())) == [1, 1, 1, 1, 2]
    [again] = [batch for batch in report["batches"] if "resubmitted_after" in batch]
    assert again["resubmitted_after"] == [status]
    assert [again["batch_id"]] == [ids[1] for ids in bodies.values() if len(ids) == 2]
    assert [batch["status"] for batch in report["batches"]] == ["complete"] * 5


@WAITING
@pytest.mark.parametrize(
    ("answer", "rule", "word"), [(STUCK, "on_stuck", "is stuck"), (FORGOTTEN, "on_status_lost", "status lost")]
)
def test_a_batch_that_fails_again_fails_the_task(task, sandbox, waiting, answer, rule, word):
    sandbox.script("status", answer, forever=True)
    with pytest.raises(AirflowFailException, match=word):
        task(data=ROWS[:1], **waiting, **{rule: "resubmit"}).run()
    assert submits(sandbox) == ["U1", "U1"]


@WAITING
@pytest.mark.parametrize(
    ("answer", "word", "status"), [(STUCK, "is stuck", "stuck"), (FORGOTTEN, "status lost", "status_lost")]
)
def test_a_cleared_upload_resubmits_its_failed_batch(task, sandbox, waiting, answer, word, status):
    task = task(data=ROWS[:2], **waiting)
    sandbox.script("status", answer)
    with pytest.raises(AirflowFailException, match=word):
        task.run()
    first = submits(sandbox)
    report = task.run()
    assert submits(sandbox)[len(first) :] == (["U1", "U2"] if first == ["U1"] else ["U1"])
    assert [batch.get("resubmitted_after") for batch in report["batches"]] == [[status], None]


@pytest.mark.parametrize(("answer", "status"), [(STUCK, "stuck"), (FORGOTTEN, "status_lost")])
@pytest.mark.parametrize("choice", ["fail", "resubmit"])
def test_a_cleared_upload_resubmits_a_batch_that_failed_a_sensor(task, sandbox, answer, status, choice):
    task = task(data=ROWS[:3], wait_for_completion=False, on_stuck=choice, on_status_lost=choice)
    task.run()
    first = submits(sandbox)
    sandbox.script("status", REAL, answer)
    report = task.run()
    [again] = submits(sandbox)[len(first) :]
    assert again == first[1]
    assert [batch.get("resubmitted_after") for batch in report["batches"]] == [None, [status], None]
    assert [batch["status_url"] is not None for batch in report["batches"]] == [True] * 3


def test_a_cleared_upload_resubmits_all_that_failed_a_sensor(task, sandbox, logged):
    task = task(data=ROWS[:3], wait_for_completion=False, on_stuck="resubmit", on_status_lost="fail")
    task.run()
    sandbox.script("status", STUCK, FORGOTTEN, REAL)
    report = task.run()
    assert len(sandbox.batches) == 5
    assert [batch.get("resubmitted_after") for batch in report["batches"]] == [["stuck"], ["status_lost"], None]
    assert len(set(re.findall(r"(acme-\S+) .*its rows are sent again", logged()))) == 2  # Airflow 2.11 logs each twice


def test_an_upload_cleared_while_batches_are_processed_only_polls(task, sandbox):
    sandbox.settings.processing_seconds = 600
    task = task(data=ROWS[:3], wait_for_completion=False)
    report = task.run()
    assert task.run() == report
    assert [call.route for call in sandbox.calls] == ["submit"] * 3 + ["status"] * 3


def test_other_batches_are_awaited_before_a_lost_status_fails(task, sandbox):
    task = task(data=ROWS[:2])
    sandbox.script("status", FORGOTTEN)
    with pytest.raises(AirflowFailException, match="status lost"):
        task.run()
    assert [batch["status"] for batch in task.pushed["batches"]] == ["status_lost", "complete"]


@pytest.mark.parametrize("rule", ["on_stuck", "on_status_lost"])
def test_a_choice_that_is_none_is_refused_before_any_call(task, sandbox, rule):
    with pytest.raises(AirflowFailException, match=f"{rule}='again'"):
        task(**{rule: "again"}).run()
    assert sandbox.calls == []


@pytest.mark.parametrize(
    ("answer", "error", "timeout"),
    [
        (Answer(401), AirflowFailException, 3_000),
        (Answer(500), AdobeTargetUnavailableError, 3_000),
        (Answer(200, "<response><status>incomplete</status></response>"), AirflowSensorTimeout, 0.3),
    ],
    ids=["token refused", "out of service", "timeout"],
)
@WAITING
def test_a_final_status_is_kept_if_the_wait_fails(task, sandbox, tmp_path, waiting, answer, error, timeout):
    task = task(data=ROWS[:2], timeout=timeout, **waiting)
    sandbox.script("status", COMPLETE, answer, forever=True)
    with pytest.raises(error):
        task.run()
    kept = json.loads((tmp_path / "receipts.json").read_text())["files"]
    assert [kept[number]["status"] for number in "01"] == ["complete", "submitted"]
    sandbox.script("status", COMPLETE)
    assert [batch["status"] for batch in task.run()["batches"]] == ["complete", "complete"]
    assert submits(sandbox) == ["U1", "U2"]


def test_a_cleared_upload_keeps_final_statuses(task, sandbox, tmp_path):
    task = task(data=ROWS[:2], wait_for_completion=False)
    task.run()
    sandbox.script("status", COMPLETE, Answer(401), forever=True)
    with pytest.raises(AirflowFailException):
        task.run()
    kept = json.loads((tmp_path / "receipts.json").read_text())["files"]
    assert [kept[number]["status"] for number in "01"] == ["complete", "submitted"]
