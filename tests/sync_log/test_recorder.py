"""What is written when a task starts, sends, waits and ends."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.sync_log import recorder as recorders
from airflow_provider_adobe_target.sync_log.decorator import Recorded, recorded
from airflow_provider_adobe_target.sync_log.location import open_sync_log
from airflow_provider_adobe_target.sync_log.record import NESTED_COLUMNS, RunRecord
from airflow_provider_adobe_target.sync_log.store import RunFilter

EVERYTHING = RunFilter(nested=NESTED_COLUMNS)
SUBMITTED = Batch(
    batch_id="acme-1-1",
    status_url="https://x.tt.omtrdc.net/status?batchId=acme-1-1",
    rows=7,
    bytes=123,
    sha256="ab",
    submitted_at="2026-01-01T00:00:00Z",
    status="submitted",
)


class TaskDeferred(BaseException):
    """As Airflow's, whose module differs between versions."""


def finished(status="complete", **counters):
    known = {
        "batch_size": 7,
        "consumed_count": 7,
        "successful_updates": 7,
        "profiles_not_found": 0,
        "failed_updates": 0,
    }
    return Batch.from_dict({**SUBMITTED.to_dict(), "status": status, **known, **counters})


def report(*batches, **changes):
    known = {
        "client_code": "acme",
        "api_version": "v2",
        "id_type": "pcId",
        "dry_run": False,
        "rows_read": 10,
        "rows_sent": 7,
        "rows_rejected": 2,
        "rows_empty": 1,
        "rows_unchanged": 0,
        "rejected_by_reason": {"missing_id": 2},
        "rejects_path": "/rejects/x.parquet",
    }
    return {**known, **changes, "batches": [batch.to_dict() for batch in batches]}


class Task(Recorded):
    """A task with the attributes that operators have."""

    sql = "SELECT 1"
    api_version = "v2"
    id_type = None

    def __init__(self, folder, steps, **settings):
        self.sync_log = folder
        self.steps = steps
        usage = SimpleNamespace(calls=3, throttles=0, wait_seconds=1.5)
        known = {"client_code": "acme", "sync_log": None, "sync_log_keep_days": None}
        session = SimpleNamespace(limits=SimpleNamespace(calls=SimpleNamespace(usage=usage)))
        self.hook = SimpleNamespace(settings=SimpleNamespace(**{**known, **settings}), session=session)

    @recorded
    def execute(self, context):
        return self.steps(self)

    @recorded
    def execute_complete(self, context, event):
        return self.steps(self)


class Sensor(Task):
    sync_log_is_sender = False


@pytest.fixture
def folder(tmp_path):
    return f"{tmp_path}/log"


@pytest.fixture
def log(folder):
    return open_sync_log(folder)


@pytest.fixture
def context():
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=1, start_date=None)
    return {"ti": ti}


def run(folder, context, steps, kind=Task, **settings):
    try:
        return kind(folder, steps, **settings).execute(context)
    except (RuntimeError, AirflowSkipException, TaskDeferred) as error:
        return error


def test_a_task_that_waited_is_complete_with_all_counts(folder, log, context):
    run(folder, context, lambda task: report(finished()))
    [found] = log.read(EVERYTHING)
    assert (found.outcome, found.operator, found.client_code, found.id_type) == ("complete", "Task", "acme", "pcId")
    assert (found.rows_read, found.rows_sent, found.rows_rejected, found.rows_empty) == (10, 7, 2, 1)
    assert (found.rows_updated, found.rows_not_found, found.rows_failed) == (7, 0, 0)
    assert (found.files, found.bytes, found.calls, found.wait_seconds) == (1, 123, 3, 1.5)
    assert found.rejected_by_reason == {"missing_id": 2}
    assert found.details == {"source": "sql", "rejects_path": "/rejects/x.parquet"}
    assert found.started_at <= found.finished_at


def test_a_record_has_no_status_url_and_no_digest(folder, log, context):
    run(folder, context, lambda task: report(finished()))
    [batch] = log.read(EVERYTHING)[0].batches
    assert (batch["batch_id"], batch["status"], batch["rows"]) == ("acme-1-1", "complete", 7)
    assert batch["finished_at"]
    assert not {"status_url", "sha256"} & set(batch)


def test_the_record_is_there_while_the_task_runs(folder, log, context):
    seen = []

    def steps(task):
        seen.extend(record.outcome for record in log.read(EVERYTHING))
        task._recorder.sent(report(SUBMITTED))
        [record] = log.read(EVERYTHING)
        seen.extend([record.outcome, record.rows_sent, record.sent_at is not None, record.finished_at])
        return report(finished())

    run(folder, context, steps)
    assert seen == ["sending", "submitted", 7, True, None]


def test_a_task_that_does_not_wait_stays_submitted(folder, log, context):
    run(folder, context, lambda task: report(SUBMITTED))
    [found] = log.read(EVERYTHING)
    assert (found.outcome, found.finished_at, found.rows_updated) == ("submitted", None, None)
    assert found.sent_at


def test_a_deferred_task_continues_its_record(folder, log, context):
    def defer(task):
        task._recorder.sent(report(SUBMITTED))
        raise TaskDeferred

    run(folder, context, defer)
    [before] = log.read(EVERYTHING)
    assert (before.outcome, before.calls) == ("submitted", 3)
    Task(folder, lambda task: report(finished(failed_updates=2, successful_updates=5))).execute_complete(context, {})
    [after] = log.read(EVERYTHING)
    assert (after.outcome, after.rows_updated, after.rows_failed) == ("partial", 5, 2)
    assert (after.started_at, after.sent_at, after.calls) == (before.started_at, before.sent_at, 6)


@pytest.mark.parametrize(
    ("batches", "outcome"),
    [
        ([finished()], "complete"),
        ([finished(profiles_not_found=7, successful_updates=0)], "complete"),
        ([finished(failed_updates=1)], "partial"),
        ([finished(failed_updates=None, listed_failures=1)], "partial"),
        ([finished(), finished("stuck", successful_updates=None)], "partial"),
        ([finished("stuck", successful_updates=None, failed_updates=None)], "failed"),
        ([finished("status_lost", successful_updates=None, failed_updates=None)], "failed"),
        ([], "complete"),
    ],
)
def test_the_outcome_of_a_task_that_succeeded_follows_its_batches(folder, log, context, batches, outcome):
    run(folder, context, lambda task: report(*batches))
    assert log.read(EVERYTHING)[0].outcome == outcome


def test_a_dry_run_is_marked(folder, log, context):
    planned = Batch(batch_id=None, status_url=None, rows=7, bytes=9, sha256="ab", status="dry_run")
    run(folder, context, lambda task: report(planned, dry_run=True))
    [found] = log.read(EVERYTHING)
    assert (found.outcome, found.rows_sent, found.rows_updated) == ("dry_run", 7, None)


def test_a_failed_task_names_the_error_without_its_message(folder, log, context):
    def fail(task):
        raise RuntimeError("secret-value")

    run(folder, context, fail)
    [found] = log.read(EVERYTHING)
    assert (found.outcome, found.details["error"]) == ("failed", "RuntimeError")
    assert "secret-value" not in str(found)


def test_a_task_that_fails_after_batches_were_updated_is_partial(folder, log, context):
    def fail(task):
        task._recorder.sent(report(finished()))
        raise RuntimeError

    run(folder, context, fail)
    assert log.read(EVERYTHING)[0].outcome == "partial"


def test_a_skipped_task_has_no_error(folder, log, context):
    def skip(task):
        raise AirflowSkipException

    run(folder, context, skip)
    [found] = log.read(EVERYTHING)
    assert (found.outcome, found.rows_sent, "error" in found.details) == ("complete", 0, False)


def test_single_updates_have_no_batches_and_are_complete(folder, log, context):
    run(folder, context, lambda task: {"client_code": "acme", "id_type": "ECID", "rows_read": 3, "rows_sent": 3})
    [found] = log.read(EVERYTHING)
    assert (found.outcome, found.rows_sent, found.rows_updated, found.files) == ("complete", 3, None, None)


def test_linked_rows_count_as_sent(folder, log, context):
    run(folder, context, lambda task: {"client_code": "acme", "rows_read": 3, "rows_linked": 2})
    assert log.read(EVERYTHING)[0].rows_sent == 2


def test_a_sensor_writes_the_end_to_the_record_of_the_upload(folder, log, context):
    run(folder, context, lambda task: report(SUBMITTED))
    context["ti"].task_id = "landed"

    def observe(task):
        task._recorder.observed([finished()])
        return [finished().to_dict()]

    run(folder, context, observe, Sensor)
    found = {record.task_id: record for record in log.read(EVERYTHING)}
    assert (found["t"].outcome, found["t"].rows_updated, found["t"].bytes) == ("complete", 7, 123)
    assert found["t"].finished_at
    assert found["t"].batches[0]["submitted_at"] == "2026-01-01T00:00:00Z"
    # The counts are in one record only, so that sums over the table are right.
    assert (found["landed"].outcome, found["landed"].rows_updated, found["landed"].rows_sent) == (
        "complete",
        None,
        None,
    )


def test_a_sensor_in_another_dag_finds_the_upload(folder, log, context):
    run(folder, context, lambda task: report(SUBMITTED))
    context["ti"].dag_id = "other"

    def observe(task):
        task._recorder.observed([finished("stuck", successful_updates=0)])
        raise RuntimeError

    run(folder, context, observe, Sensor)
    found = {record.dag_id: record for record in log.read(EVERYTHING)}
    assert (found["d"].outcome, found["other"].outcome) == ("failed", "failed")


def test_a_sensor_that_saw_some_batches_leaves_the_others_submitted(folder, log, context):
    second = Batch.from_dict({**SUBMITTED.to_dict(), "batch_id": "acme-1-2"})
    run(folder, context, lambda task: report(SUBMITTED, second))

    def observe(task):
        task._recorder.observed([finished(), second])
        raise RuntimeError

    context["ti"].task_id = "landed"
    run(folder, context, observe, Sensor)
    [upload] = [record for record in log.read(EVERYTHING) if record.task_id == "t"]
    assert (upload.outcome, [batch["status"] for batch in upload.batches]) == ("submitted", ["complete", "submitted"])


def test_what_other_sensors_return_is_kept_as_details(folder, log, context):
    run(folder, context, lambda task: {"sampled": 100, "landed": 99, "not_found": 1, "different": 0}, Sensor)
    [found] = log.read(EVERYTHING)
    assert found.details == {"source": "sql", "sampled": 100, "landed": 99, "not_found": 1}
    assert found.rows_sent is None


def test_the_argument_takes_precedence_over_the_connection(folder, context, tmp_path):
    run(folder, context, lambda task: report(finished()), sync_log=f"{tmp_path}/of-the-connection")
    assert len(open_sync_log(folder).read(EVERYTHING)) == 1
    run(None, context, lambda task: report(finished()), sync_log=f"{tmp_path}/of-the-connection")
    assert len(open_sync_log(f"{tmp_path}/of-the-connection").read(EVERYTHING)) == 1


def test_old_records_are_deleted_when_a_task_ends(folder, log, context):
    old = datetime.now(timezone.utc) - timedelta(days=100)
    log.write(RunRecord("old", "t", "r", -1, 1, "Task", started_at=old))
    run(folder, context, lambda task: report(finished()), sync_log_keep_days=30)
    assert [record.dag_id for record in log.read(EVERYTHING)] == ["d"]


@pytest.mark.parametrize("name", ["/proc/no/such/folder", "no_such_connection"])
def test_a_log_that_cannot_be_used_is_a_warning(context, caplog, name):
    assert run(name, context, lambda task: report(finished()))["rows_sent"] == 7
    assert f"The sync log {name} cannot be used" in caplog.text
    ours = [record for record in caplog.records if record.name.startswith("airflow_provider_adobe_target")]
    assert {record.levelname for record in ours} == {"WARNING"}


def test_a_log_that_hangs_does_not_hold_up_the_task(folder, context, caplog, monkeypatch):
    class HangingLog:
        def write(self, record):
            time.sleep(60)

    monkeypatch.setattr("airflow_provider_adobe_target.sync_log.location.open_sync_log", lambda name: HangingLog())
    monkeypatch.setattr(recorders, "WRITE_SECONDS", 0.05)
    started = time.monotonic()
    run(folder, context, lambda task: report(finished()))
    assert time.monotonic() - started < 5
    assert "TimeoutError: no response within 0.05 seconds" in caplog.text


def test_without_a_log_nothing_is_opened_or_counted(context, monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError

    monkeypatch.setattr("airflow_provider_adobe_target.sync_log.location.open_sync_log", refuse)
    monkeypatch.setattr("airflow_provider_adobe_target.sync_log.decorator._record", refuse)
    assert run(None, context, lambda task: task._recorder.attribute_statistics()) is None


def test_a_subclass_that_calls_the_method_of_its_base_is_recorded_once(folder, log, context):
    class Child(Task):
        @recorded
        def execute(self, context):
            return {**super().execute(context), "rows_read": 11}

    run(folder, context, lambda task: report(finished()), Child)
    [found] = log.read(EVERYTHING)
    assert (found.rows_read, found.operator) == (11, "Child")


def sent_report(rows, **changes):
    return {**report(finished()), "rows_read": rows, **changes}


def test_earlier_row_counts_are_those_of_sent_runs_of_the_task(folder, log, context):
    for number in range(1, 10):
        context["ti"].run_id = f"r{number}"
        run(folder, context, lambda task, rows=number: sent_report(rows))
    context["ti"].run_id = "r9"
    context["ti"].try_number = 2
    run(folder, context, lambda task: sent_report(900))  # another try of the same run
    context["ti"].try_number = 1
    context["ti"].run_id = "dry"
    run(folder, context, lambda task: sent_report(1_000, dry_run=True))
    context["ti"].run_id = "submitted"
    run(folder, context, lambda task: {**report(SUBMITTED), "rows_read": 2_000})
    context["ti"].task_id = "another"
    run(folder, context, lambda task: sent_report(3_000))
    context["ti"].task_id = "t"
    counts = []
    for run_id in ("now", "r9"):
        context["ti"].run_id = run_id
        run(folder, context, lambda task: counts.append(task._recorder.earlier_row_counts()))
    assert counts == [[900, 8, 7, 6, 5, 4, 3], [8, 7, 6, 5, 4, 3, 2]]


def test_sent_attributes_are_those_with_a_value_in_any_task_of_the_account(folder, log, context):
    import pyarrow as pa

    found = []
    run(folder, context, lambda task: found.append(task._recorder.sent_attributes()))

    def steps(task):
        statistics = task._recorder.attribute_statistics()
        columns = [pa.array([0]), pa.array(["U1"]), pa.array(["gold"]), pa.array([None], pa.string())]
        statistics.add(pa.record_batch(columns, ["row_number", "id", "profile.tier", "profile.empty"]))
        return report(finished())

    context["ti"].task_id = "another"
    run(folder, context, steps)
    context["ti"].task_id = "t"
    run(folder, context, lambda task: found.append(task._recorder.sent_attributes()))
    assert found == [None, {"tier"}]


def test_a_task_without_a_sync_log_knows_no_earlier_runs(context):
    found = []
    run(
        None,
        context,
        lambda task: found.extend([task._recorder.earlier_row_counts(), task._recorder.sent_attributes()]),
    )
    assert found == [(), None]


def test_a_ledger_that_cannot_be_counted_is_a_warning(folder, log, context, tmp_path, caplog):
    ledger = ProfileLedger(str(tmp_path / "ledger"))
    ledger.table("globex", "pcId")  # of another account

    kind = type("WithLedger", (Task,), {"ledger": ledger})
    run(folder, context, lambda task: report(finished()), kind=kind)
    [found] = log.read(EVERYTHING)
    assert (found.outcome, found.details.get("ledger")) == ("complete", None)
    assert "The profiles of the ledger cannot be counted: LedgerRefusedError" in caplog.text
