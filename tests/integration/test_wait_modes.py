"""One table for the five ways to wait: the responses of Adobe Target, and how the task ends."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.exceptions import AdobeTargetUnavailableError
from airflow_provider_adobe_target.load import file_upload
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor
from support.real_airflow import connection
from support.wait_modes import (
    HOUR,
    ROWS,
    WAYS,
    Case,
    deferred,
    rescheduled,
    sensor,
    task_context,
    upload,
    use_fake_clock,
    wait,
)

FAILS, TIMES_OUT, UNAVAILABLE = AirflowFailException, AirflowSensorTimeout, AdobeTargetUnavailableError


def xml(*fields: str) -> Answer:
    return Answer(200, f"<response>{''.join(fields)}</response>")


COMPLETE = "<status>complete</status><batchSize>10</batchSize>"


def counted(consumed: int, successful: int, not_found: int, failed: int, *, listed: int = 0) -> Answer:
    """Return the answer about a complete batch of ten rows."""
    names = ("consumedCount", "successfulUpdates", "profilesNotFound", "failedUpdates")
    counters = zip(names, (consumed, successful, not_found, failed), strict=True)
    rows = [f"<profile><id>U{number}</id><status>failed</status></profile>" for number in range(listed)]
    return xml(COMPLETE, *(f"<{name}>{count}</{name}>" for name, count in counters), *rows)


HTML = Answer(200, "<html><body>Please wait</body></html>", content_type="text/html")
REFUSED_404 = Answer(404, "<response><success>false</success></response>")
ENTITIES = Answer(200, '<!DOCTYPE r [<!ENTITY a "complete">]><response><status>&a;</status></response>')

CASES = {
    "complete": Case(),
    "complete as JSON": Case(says={"answer_format": "json"}),
    "complete with noise": Case(says={"noise": True}),
    "failures within the limit": Case(
        says={"fail_ids": ("U1",)}, limits={"max_failed_pct": 10}, ends_as=("complete", 10, 10, 9, 0, 1)
    ),
    "failures beyond the limit": Case(
        says={"fail_ids": ("U1", "U2")}, limits={"max_failed_pct": 10}, raises=FAILS, word="max_failed_pct"
    ),
    "one failure where none is allowed": Case(says={"fail_ids": ("U1",)}, raises=FAILS, word="max_failed_pct"),
    "unknown profiles without a limit": Case(
        api_version="v1", word="no profile for any of the 10 rows, in {id}", ends_as=("complete", 10, 10, 0, 10, 0)
    ),
    "unknown profiles within the limit": Case(
        api_version="v1", limits={"max_not_found_pct": 100}, ends_as=("complete", 10, 10, 0, 10, 0)
    ),
    "unknown profiles beyond the limit": Case(
        api_version="v1", limits={"max_not_found_pct": 99.9}, raises=FAILS, word="max_not_found_pct"
    ),
    "failures that are listed, not counted": Case(
        says={"fail_ids": ("U1",), "omit_counters": ("failedUpdates",)}, raises=FAILS, word="max_failed_pct"
    ),
    "failures that are listed as error, not counted, within the limit": Case(
        says={"fail_ids": ("U1",), "omit_counters": ("failedUpdates",), "failed_row_word": "error"},
        limits={"max_failed_pct": 10},
        ends_as=("complete", 10, 10, 9, 0, None),
    ),
    "failures that are listed, and counted as none": Case(
        script=(counted(10, 10, 0, 0, listed=4),), limits={"max_failed_pct": 39}, raises=FAILS, word="4 of 10 rows"
    ),
    "failures that are listed, and counted as fewer, within the limit": Case(
        script=(counted(10, 9, 0, 1, listed=4),),
        limits={"max_failed_pct": 40},
        word="4 rows are listed as failed, and failedUpdates is 1",
        ends_as=("complete", 10, 10, 9, 0, 1),
    ),
    "consumedCount below batchSize": Case(
        script=(counted(6, 10, 0, 0),), word="consumedCount is 6 of 10", ends_as=("complete", 10, 6, 10, 0, 0)
    ),
    "successfulUpdates below batchSize": Case(
        script=(counted(10, 0, 0, 0),), word="successfulUpdates is 0", ends_as=("complete", 10, 10, 0, 0, 0)
    ),
    "a counter above batchSize": Case(
        script=(counted(12, 10, 0, 0),),
        word="consumedCount is 12, more than its 10",
        ends_as=("complete", 10, 12, 10, 0, 0),
    ),
    "batchSize of fewer rows than were sent": Case(says={"batch_size_offset": -1}, raises=FAILS, word="{id}"),
    "batchSize of more rows than were sent": Case(says={"batch_size_offset": 1}, raises=FAILS, word="{id}"),
    "complete without counters": Case(
        says={
            "omit_counters": ("batchSize", "consumedCount", "successfulUpdates", "profilesNotFound", "failedUpdates")
        },
        word="{id}",
        ends_as=("complete", None, None, None, None, None),
    ),
    "stuck": Case(says={"final_status": "stuck"}, raises=FAILS, word="{id} is stuck"),
    "incomplete until the timeout": Case(says={"processing_seconds": 5 * HOUR}, raises=TIMES_OUT, word="{id}"),
    "an unknown word, then complete": Case(says={"processing_status": "on its way"}),
    "an unknown word until the timeout": Case(
        says={"processing_seconds": 5 * HOUR, "processing_status": "on its way"}, raises=TIMES_OUT
    ),
    "401": Case(script=(Answer(401, "no"),), forever=True, raises=FAILS, word="token"),
    "403": Case(script=(Answer(403, "no"),), forever=True, raises=FAILS, word="token"),
    "404 in Target's form": Case(script=(REFUSED_404,), forever=True, raises=FAILS, word="status lost"),
    "404 in Target's form twice, then complete": Case(script=(REFUSED_404, REFUSED_404)),
    "404 of a gateway, then complete": Case(script=(Answer(404, "<html>Not found</html>"), Answer(410, "Gone"))),
    "404 in HTML forever": Case(
        script=(Answer(404, "<html>Not found</html>"),), forever=True, raises=UNAVAILABLE, word="{id}"
    ),
    "404 in the JSON of a gateway forever": Case(
        script=(Answer(404, '{"message": "no Route matched"}'),), forever=True, raises=UNAVAILABLE, word="{id}"
    ),
    "400": Case(script=(Answer(400, "Bad request"),), forever=True, raises=FAILS, word="{id}"),
    "success=false": Case(
        script=(xml("<success>false</success><message>no</message>"),), forever=True, raises=FAILS, word="status lost"
    ),
    "well formed, without a status": Case(
        script=(xml("<batchId>b</batchId>"),), forever=True, raises=FAILS, word="status lost"
    ),
    "without a status twice, then complete": Case(script=(xml("<batchId>b</batchId>"), xml())),
    "a status of another client's batch": Case(
        script=(xml("<batchId>globex-17-9</batchId>", COMPLETE),), raises=FAILS, word="another client code"
    ),
    "JSON without a status": Case(
        script=(Answer(200, '{"batchId": "b"}'),), forever=True, raises=FAILS, word="status lost"
    ),
    "HTML, then complete": Case(script=(HTML, HTML)),
    "garbage, then complete": Case(script=(Answer(200, b"\x00\xff garbage"), Answer(200, ""))),
    "a counter that is not a number, then complete": Case(
        script=(xml(COMPLETE, "<failedUpdates>a few</failedUpdates>"),)
    ),
    "HTML forever": Case(script=(HTML,), forever=True, raises=UNAVAILABLE, word="{id}"),
    "HTML until a timeout that comes sooner": Case(
        script=(HTML,), forever=True, limits={"timeout": 600}, raises=TIMES_OUT, word="{id}"
    ),
    "incomplete for long, then HTML until the timeout": Case(
        script=(*[xml("<status>incomplete</status>")] * 15, HTML),
        forever=True,
        limits={"timeout": 40 * 60},
        raises=TIMES_OUT,
        word="{id}",
    ),
    "500, then complete": Case(script=(Answer(500), Answer(502))),
    "500 forever": Case(script=(Answer(500),), forever=True, raises=UNAVAILABLE, word="{id}"),
    "503 with Retry-After, then complete": Case(script=(Answer(503, headers={"Retry-After": "7"}),)),
    "503 without Retry-After, then complete": Case(script=(Answer(503),)),
    "503 forever": Case(script=(Answer(503),), forever=True, raises=UNAVAILABLE, word="{id}"),
    "429, then complete": Case(script=(Answer(429),)),
    "a redirect to another host": Case(
        script=(Answer(302, headers={"Location": "http://other.example/"}),), raises=FAILS, word="{id}"
    ),
    "an answer that is cut, then complete": Case(script=(Answer.real(cut=20),)),
    "a connection that breaks, then complete": Case(script=(Answer(reset="before"),)),
    "XML with entities, then complete": Case(script=(ENTITIES,)),
    "a refused token that comes with complete": Case(
        script=(Answer(401, f"<response>{COMPLETE}</response>"),), raises=FAILS, word="token"
    ),
}


@pytest.fixture
def clock(monkeypatch):
    return use_fake_clock(monkeypatch)


@pytest.fixture
def context(monkeypatch):
    return task_context(monkeypatch)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(clock=lambda: clocks.SYSTEM.now()) as sandbox:
        yield sandbox


@pytest.fixture
def target(sandbox, clock, monkeypatch):
    def says(**settings: Any) -> Sandbox:
        sandbox.reset(**{"token": "t0ken", "processing_seconds": 150.0, **settings})
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox))
        return sandbox

    return says


def _is_ours(warning: str) -> bool:
    return "cannot be called outside" not in warning


@pytest.fixture
def warnings(monkeypatch):
    """What operator and sensor warn of; Airflow's own logging is not in the way of it."""
    warned: list[str] = []
    for kind in (BulkProfileUpdateOperator, BatchStatusSensor):
        log = SimpleNamespace(
            **dict.fromkeys(("debug", "info", "error", "exception"), lambda *_, **__: None),
            warning=lambda text, *values: warned.append(text % values if values else text) if _is_ours(text) else None,
        )
        monkeypatch.setattr(kind, "log", log)
        monkeypatch.setattr(file_upload, "log", log)
    return warned


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_every_wait_mode_reaches_the_outcome_of_the_table(name, way, target, context, clock, warnings):
    case = CASES[name]
    sandbox = target(**case.says)
    sandbox.script("status", *case.script, forever=case.forever)
    if case.raises:
        with pytest.raises(case.raises) as caught:
            wait(way, case, context, clock)
        assert caught.type is case.raises, caught.value
        said = str(caught.value)
    else:
        [batch] = wait(way, case, context, clock)
        counters = ("batch_size", "consumed_count", "successful_updates", "profiles_not_found", "failed_updates")
        assert (batch["status"], *(batch[counter] for counter in counters)) == case.ends_as
        assert batch["rows"] == len(ROWS)
        assert batch["sha256"] == sandbox.batches[0].sha256
        assert bool(warnings) == bool(case.word)
        said = " ".join(warnings)
    assert case.word.format(id=sandbox.batches[0].batch_id) in said
    assert len(sandbox.batches) == 1


@pytest.mark.parametrize(("name", "seconds"), [("503 forever", 65), ("500 forever", None)])
@pytest.mark.parametrize("way", WAYS)
def test_the_error_shows_whether_a_retry_may_help(name, seconds, way, target, context, clock):
    case = CASES[name]
    target().script("status", *case.script, forever=True)
    with pytest.raises(AdobeTargetUnavailableError) as caught:
        wait(way, case, context, clock)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("way", ["poke", "reschedule", "deferred"])
@pytest.mark.parametrize(
    "name", ["stuck", "failures beyond the limit", "incomplete until the timeout", "500 forever", "403"]
)
def test_soft_fail_and_never_fail_mean_the_same_in_every_mode(name, way, flag, target, context, clock):
    case = CASES[name]
    target(**case.says).script("status", *case.script, forever=case.forever)
    is_skipped = flag == "never_fail" or case.raises is not UNAVAILABLE
    with pytest.raises(AirflowSkipException if is_skipped else case.raises):
        wait(way, case, context, clock, **{flag: True})


@pytest.mark.parametrize("way", ["poke", "reschedule", "deferred"])
def test_a_sensor_over_no_batches_ends_at_once(way, target, context, clock):
    sandbox = target()
    begun = clock.now()
    for nothing in ([], {"batches": []}, "[]"):
        if way == "deferred":
            assert deferred(lambda nothing=nothing: sensor(Case(), nothing, deferrable=True), context) == []
        else:
            assert sensor(Case(), nothing, mode=way).execute(context) == []
    assert (clock.now(), sandbox.calls) == (begun, [])


def test_polls_of_an_incomplete_batch_are_a_minute_or_more_apart(target, context, clock):
    sandbox = target(processing_seconds=3000.0)
    wait("worker", Case(), context, clock)
    polls = [call.at for call in sandbox.calls if call.route == "status"]
    pauses = [later - sooner for sooner, later in pairwise(polls)]
    assert min(pauses) >= 60
    assert max(pauses) == 300


@pytest.mark.parametrize("way", ["deferrable", "deferred", "reschedule"])
@pytest.mark.parametrize("answer", [xml("<status>incomplete</status>"), HTML], ids=["incomplete", "HTML"])
def test_execution_timeout_ends_a_wait_outside_the_worker(way, answer, target, context, clock):
    limit = timedelta(minutes=10)
    target().script("status", xml("<status>incomplete</status>"), answer, forever=True)
    begun = clock.now()
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout"):
        wait(way, Case(limits={"execution_timeout": limit}), context, clock)
    late = 60 if way == "reschedule" else 0  # the poke after the end
    assert clock.now() - begun <= limit.total_seconds() + late


# ------ rows that Target refuses


def refused_rows(folder):
    return [row for file in sorted(folder.iterdir()) for row in pq.read_table(file).to_pylist()]


@pytest.mark.parametrize("way", ["poke", "reschedule", "deferred"])
@pytest.mark.parametrize("is_named", [True, False], ids=["its own rejects_path", "the upload's rejects_path"])
def test_a_sensor_keeps_the_ids_that_target_refused(way, is_named, target, context, clock, tmp_path):
    target(fail_ids=("U3", "U9"))
    folder = tmp_path / "rejects"
    arguments = {"rejects_path": str(folder)}
    report = upload(Case(), wait_for_completion=False, **({} if is_named else arguments)).execute(context)
    report = json.loads(json.dumps(report))
    make = partial(sensor, Case(limits={"max_failed_pct": 20}), report, **(arguments if is_named else {}))
    if way == "deferred":
        landed = deferred(lambda: make(deferrable=True), context)
    elif way == "reschedule":
        landed = rescheduled(lambda: make(mode="reschedule"), context, clock)
    else:
        landed = make(mode="poke").execute(context)
    assert [(row["thirdPartyId"], row["reject_reason"], row["reject_batch_id"]) for row in refused_rows(folder)] == [
        ("U3", "refused_by_target", landed[0]["batch_id"]),
        ("U9", "refused_by_target", landed[0]["batch_id"]),
    ]
    assert all("failed" in row["reject_detail"] for row in refused_rows(folder))
    assert "U3" not in json.dumps([landed, context["ti"].pushed])
    with pytest.raises(AirflowFailException, match="no attribute column besides the id 'thirdPartyId'"):
        BulkProfileUpdateOperator(task_id="again", path=f"{folder}/*.parquet").execute(context)


def test_refused_ids_are_kept_where_the_sensor_fails(target, context, tmp_path):
    target(fail_ids=("U3",))
    report = upload(Case(), wait_for_completion=False).execute(context)
    urls = [batch["status_url"] for batch in report["batches"]]
    with pytest.raises(AirflowFailException, match="max_failed_pct"):
        sensor(Case(), urls, rejects_path=str(tmp_path / "rejects")).execute(context)
    assert [row["id"] for row in refused_rows(tmp_path / "rejects")] == ["U3"]  # a status URL has no id type


def test_a_sensor_keeps_no_file_of_an_earlier_try(target, context, tmp_path):
    sandbox = target(fail_ids=("U3",))
    for refused in (1, 0):
        sandbox.settings.fail_ids = ("U3",) if refused else ()
        report = upload(Case(), wait_for_completion=False, rejects_path=str(tmp_path)).execute(context)
        sensor(Case(limits={"max_failed_pct": 20}), report).execute(context)
        assert len(list(tmp_path.iterdir())) == refused


def test_a_sensor_and_its_upload_never_share_a_file(target, context, tmp_path):
    target(fail_ids=("U3",))
    rows = [*ROWS, {"thirdPartyId": None, "tier": "x"}]
    arguments = {"wait_for_completion": False, "rejects_path": str(tmp_path)}
    report = BulkProfileUpdateOperator(task_id="upload", data=rows, **arguments).execute(context)
    sensor(Case(limits={"max_failed_pct": 20}), report).execute(context)
    assert sorted(file.name.split("-")[0] for file in tmp_path.iterdir()) == ["refused", "rejects"]
    assert pq.read_table(report["rejects_path"])["reject_reason"].to_pylist() == ["missing_id"]


def test_reports_with_several_folders_need_one_for_the_sensor(target, context, tmp_path, warnings):
    target(fail_ids=("U3",))
    reports = [
        upload(Case(), wait_for_completion=False, rejects_path=str(tmp_path / name)).execute(context) for name in "ab"
    ]
    sensor(Case(limits={"max_failed_pct": 20}), reports).execute(context)
    assert list(tmp_path.iterdir()) == []
    sensor(Case(limits={"max_failed_pct": 20}), reports, rejects_path=str(tmp_path / "c")).execute(context)
    assert len(refused_rows(tmp_path / "c")) == 2


@pytest.mark.parametrize("way", ["deferrable", "deferred"])
def test_a_shorter_timeout_wins_over_execution_timeout(way, target, context, clock):
    target(processing_seconds=5 * HOUR)
    with pytest.raises(AirflowSensorTimeout):
        wait(way, Case(limits={"execution_timeout": timedelta(hours=2)}), context, clock)


@pytest.mark.parametrize("way", ["deferrable", "deferred"])
def test_a_deferral_has_a_timeout_for_airflow(way, target, context):
    target()
    case = Case(limits={"execution_timeout": timedelta(minutes=10)})
    batches = upload(case, wait_for_completion=False).execute(context)["batches"]
    task = upload(case, deferrable=True) if way == "deferrable" else sensor(case, batches, deferrable=True)
    with pytest.raises(TaskDeferred) as deferral:
        task.execute(context)
    assert timedelta(minutes=10) <= deferral.value.timeout <= timedelta(minutes=12)
