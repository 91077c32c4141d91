"""The bulk upload as a program without Airflow uses it, against the sandbox."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_adobe_target.client.session import Session
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.verdict import OutcomeLimits
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.exceptions import BatchOutcomeError, EmptySourceError, ProfileDataError
from airflow_provider_adobe_target.load.bulk_upload import BulkUpload
from airflow_provider_adobe_target.load.checkpoint import Checkpoint
from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadOutputs, UploadSource
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.row_counts import RowCountLimit
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.sandbox import Answer, Sandbox

ROWS = [{"thirdPartyId": f"U{number}", "tier": "gold" * number} for number in range(1, 4)]
STUCK = Answer(200, "<response><status>stuck</status><batchSize>1</batchSize></response>")
REAL = Answer.real()


@pytest.fixture
def sandbox():
    with Sandbox(processing_seconds=0, calls_per_minute=None) as sandbox:
        yield sandbox


@pytest.fixture
def upload(sandbox):
    """Return an upload of one file per row."""

    def upload(rows=ROWS, *, outputs=None, checkpoint=None, limits=None, profile_options=None, **options):
        session = Session(TargetSettings.from_fields("acme", None, sandbox.url, None, {"calls_per_minute": 50}))
        return BulkUpload(
            session,
            UploadSource(lambda folder: read_data(rows)),
            ProfileOptions(**{"max_rows_per_file": 1, **(profile_options or {})}),
            options=UploadOptions(**{"poll_interval": 0.01, "max_concurrent_uploads": 1, **options}),
            limits=limits,
            checkpoint=checkpoint,
            outputs=outputs,
        )

    return upload


def statuses(report):
    return [batch["status"] for batch in report["batches"]]


def test_all_files_are_sent_and_evaluated(upload, sandbox):
    report = upload().run()
    assert statuses(report) == ["complete"] * 3
    assert (report["rows_read"], report["rows_sent"], report["rows_rejected"]) == (3, 3, 0)
    assert len(sandbox.batches) == 3


def test_an_upload_needs_no_airflow(sandbox):
    program = f"""
import sys
from airflow_provider_adobe_target.client.session import Session
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.load.bulk_upload import BulkUpload
from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadSource
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data

session = Session(TargetSettings.from_fields("acme", None, {sandbox.url!r}, None, {{}}))
source = UploadSource(lambda folder: read_data({ROWS!r}))
report = BulkUpload(session, source, ProfileOptions(), options=UploadOptions(poll_interval=0.01)).run()
assert report["batches"][0]["status"] == "complete"
print("airflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr


def test_a_dry_run_makes_no_call(upload, sandbox):
    report = upload(dry_run=True).run()
    assert statuses(report) == ["dry_run"] * 3
    assert sandbox.calls == []


def test_a_dry_run_reports_and_logs_a_plan_without_values(upload, caplog):
    caplog.set_level("INFO")
    report = upload(dry_run=True).run()
    plan = report["plan"]
    assert (plan["rows"], plan["files"]) == (report["rows_sent"], 3)
    assert plan["bytes"] == sum(batch["bytes"] for batch in report["batches"])
    assert [attribute["filled_pct"] for attribute in plan["attributes"]] == [100.0]
    assert "| Attribute | Type | Filled |" in caplog.text
    assert report["outcome"] == "dry_run"
    assert "plan" not in upload().run()


def test_outputs_get_the_batches_when_sent_and_when_final(upload):
    seen = []
    outputs = UploadOutputs(on_batches=lambda batches: seen.append([batch.status for batch in batches]))
    upload(outputs=outputs).run()
    assert seen == [["submitted"] * 3, ["complete"] * 3]


def test_rejected_rows_are_written_also_if_sending_fails(upload, sandbox):
    written = []
    outputs = UploadOutputs(
        rejects_path="rejects", write_rejects=lambda rejects, folder: written.append((folder, dict(rejects.by_reason)))
    )
    sandbox.script("submit", Answer(400))
    with pytest.raises(Exception, match="refused the batch"):
        upload([{"thirdPartyId": "a+b", "tier": "x"}, *ROWS], outputs=outputs).run()
    assert written == [("rejects", {"id_forbidden_character": 1})]


def test_the_log_has_the_counts_and_reasons_in_words(upload, caplog):
    rows = [{"thirdPartyId": f"U{number}", "tier": "x"} for number in range(1_200)] + [
        {"thirdPartyId": "a+b", "tier": "x"}
    ]
    with caplog.at_level("INFO"):
        upload(rows, profile_options={"max_rows_per_file": 5_000}).run()
    expected = "Rows read: 1,201; sent: 1,200, files: 1; rejected: 1 (id_forbidden_character 1); without a value: 0"
    assert expected in caplog.messages
    assert any(message.endswith("is complete: 1,200 of 1,200 rows consumed.") for message in caplog.messages)


def test_a_stuck_batch_is_resubmitted_once(upload, sandbox):
    sandbox.script("status", REAL, STUCK, REAL)
    report = upload(on_stuck="resubmit").run()
    assert [batch.get("resubmitted_after") for batch in report["batches"]] == [None, ["stuck"], None]
    assert len(sandbox.batches) == 4


def test_a_guaranteed_upload_resubmits_a_file_before_the_next_one(upload, sandbox):
    sandbox.script("status", STUCK, REAL)
    report = upload(guaranteed_upload=True, on_stuck="resubmit").run()
    assert [batch.get("resubmitted_after") for batch in report["batches"]] == [["stuck"], None, None]
    assert [call.route for call in sandbox.calls][:4] == ["submit", "status", "submit", "status"]
    assert statuses(report) == ["complete"] * 3


def test_a_failed_batch_of_a_guaranteed_upload_stops_the_upload(upload, sandbox):
    sandbox.script("status", STUCK)
    with pytest.raises(BatchOutcomeError, match="stuck"):
        upload(guaranteed_upload=True).run()
    assert len(sandbox.batches) == 1


def test_a_caller_may_wait_elsewhere(upload, sandbox):
    class WaitsElsewhereError(Exception):
        pass

    def wait(result):
        assert len(result.pending) == 3
        raise WaitsElsewhereError(result)

    started = upload()
    with pytest.raises(WaitsElsewhereError) as raised:
        started.run(wait)
    [result] = raised.value.args
    resumed = upload(checkpoint=Checkpoint(None, "", result.batches))
    batches = resumed.wait(result)
    assert not resumed.schedule_resubmission(batches)
    report = resumed.finish({name: value for name, value in result.report.items() if name != "batches"}, batches)
    assert statuses(report) == ["complete"] * 3
    assert len(sandbox.batches) == 3


def test_files_in_the_checkpoint_are_not_sent_again(upload, sandbox):
    checkpoint = Checkpoint(None, "")
    upload(checkpoint=checkpoint, wait_for_completion=False).run()
    upload(checkpoint=checkpoint).run()
    assert len(sandbox.batches) == 3


def test_a_changed_source_is_sent_again_as_a_whole(upload, sandbox):
    checkpoint = Checkpoint(None, "")
    upload(checkpoint=checkpoint).run()
    report = upload(ROWS[::-1], checkpoint=checkpoint).run()
    assert len(sandbox.batches) == 6
    assert statuses(report) == ["complete"] * 3


def test_an_exceeded_limit_fails(upload, sandbox):
    sandbox.settings.fail_ids = ("U2",)
    with pytest.raises(BatchOutcomeError, match="max_failed_pct=30"):
        upload(limits=OutcomeLimits(max_failed_pct=30)).run()
    assert statuses(upload(limits=OutcomeLimits(max_failed_pct=34)).run()) == ["complete"] * 3


@pytest.mark.parametrize(("on_no_rows", "error"), [("skip", EmptySourceError), ("fail", ProfileDataError)])
def test_an_empty_source_follows_on_no_rows(upload, on_no_rows, error):
    with pytest.raises(error, match="no rows"):
        upload([], on_no_rows=on_no_rows, wait_for_completion=True).run()


@pytest.mark.parametrize("option", [{"api_version": "v3"}, {"max_concurrent_uploads": 11}, {"dry_run": 1}])
def test_options_are_checked(option):
    with pytest.raises(ProfileDataError, match=next(iter(option))):
        UploadOptions(**option)


def test_the_timeout_counts_from_the_end_of_sending(upload, sandbox, monkeypatch):
    sandbox.script("status", Answer(200, "<response><status>incomplete</status></response>"), forever=True)

    class Clock(clock.SystemClock):
        skipped = 0.0

        def now(self):
            return super().now() + self.skipped

        monotonic = now

        def sleep(self, seconds):
            self.skipped += seconds

    monkeypatch.setattr(clock, "SYSTEM", Clock())
    with pytest.raises(Exception, match="No final status at the timeout"):
        upload(poll_interval=10, timeout=25).run()


@pytest.mark.parametrize(
    ("earlier", "pct", "is_stopped"),
    [
        ([1, 100, 100], 50, True),
        ([2, 3, 4], 0, False),
        ([2, 2, 2], 50, False),
        ([2, 2, 2], 49.9, True),
        ([100, 100], 50, False),
        ([1, 1, 1, 1], 199, True),
    ],
)
def test_an_unusual_number_of_rows_ends_the_upload_before_a_call(upload, sandbox, caplog, earlier, pct, is_stopped):
    caplog.set_level("INFO")
    run = upload(profile_options={"row_count_limit": RowCountLimit(pct, earlier)}).run
    if is_stopped:
        with pytest.raises(
            ProfileDataError, match=r"3 rows were read. The median of the last \d runs is .* Nothing was"
        ):
            run()
        assert sandbox.calls == []
    else:
        assert statuses(run()) == ["complete"] * 3
    assert ("is not compared: the sync log has 2 earlier runs" in caplog.text) is (len(earlier) < 3)


def test_no_rows_after_full_runs_end_the_upload(upload, sandbox):
    with pytest.raises(ProfileDataError, match="0 rows were read"):
        upload(rows=[], profile_options={"row_count_limit": RowCountLimit(50, [10, 10, 10])}).run()


def test_limited_rows_are_not_compared(upload):
    options = {"row_count_limit": RowCountLimit(50, [10, 10, 10]), "limit_rows": 1}
    assert upload(profile_options=options).run()["rows_read"] == 1


@pytest.mark.parametrize(("known", "sent_before"), [({"tier"}, True), ({"x"}, False), (None, None)])
def test_the_plan_has_whether_an_attribute_was_sent_before(upload, known, sent_before):
    report = upload(dry_run=True, outputs=UploadOutputs(sent_attributes=lambda: known)).run()
    assert [attribute["sent_before"] for attribute in report["plan"]["attributes"]] == [sent_before]
