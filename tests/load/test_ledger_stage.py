"""Uploads with a ledger against the sandbox, which replaces profiles as Adobe's override caveat describes it."""

import logging
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.client.session import Session
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.verdict import OutcomeLimits
from airflow_provider_adobe_target.derived_attributes import DerivedAttributes, RunStamp
from airflow_provider_adobe_target.exceptions import AdobeTargetError, BatchOutcomeError
from airflow_provider_adobe_target.inputs.row_source import RowSource
from airflow_provider_adobe_target.inputs.templating import RowsArgument
from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.ledger.as_of import to_micros
from airflow_provider_adobe_target.ledger.claims import open_claims
from airflow_provider_adobe_target.ledger.errors import LedgerLimitError, LedgerRefusedError
from airflow_provider_adobe_target.load.bulk_upload import BulkUpload
from airflow_provider_adobe_target.load.ledger_stage import LedgerStage, settle_batches
from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadSource
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.sandbox import Answer, Sandbox

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
ROWS = [{"thirdPartyId": "a", "tier": "gold"}, {"thirdPartyId": "b", "tier": "tin"}]


@pytest.fixture(scope="module")
def started():
    with Sandbox(calls_per_minute=None, processing_seconds=0) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(started):
    started.reset(calls_per_minute=None, processing_seconds=0)
    return started


@pytest.fixture
def run(sandbox, tmp_path):
    """Run one upload with a ledger, and return its report."""
    settings = TargetSettings.from_fields("acme", None, sandbox.url, None, {"calls_per_minute": 50, "uses_ecid": False})

    def run(rows, task="dag.a", *, day=0, ledger=None, run_id=None, options=None, profile_options=None, **more):
        ledger = ProfileLedger(str(tmp_path / "ledger"), **(ledger or {}))
        session = Session(settings)
        stage = LedgerStage(
            ledger,
            session,
            writer=task,
            run=run_id or f"run {day}",
            key=f"{task} {run_id or day}",
            as_of=to_micros(START + timedelta(days=day)),
            poll_interval=0.05,
            timeout=5,
            dry_run=(options or {}).get("dry_run", False),
            **more,
        )
        data = RowsArgument(pa.Table.from_pylist(rows) if isinstance(rows, list) and rows else rows)
        upload = BulkUpload(
            session,
            UploadSource(lambda folder: RowSource(data=data).read()),
            ProfileOptions(**(profile_options or {})),
            options=UploadOptions(**{"poll_interval": 0.05, "timeout": 30, **(options or {})}),
            limits=OutcomeLimits(),
            ledger=stage,
        )
        return upload.run()

    run.session = Session(settings)
    run.ledger = ProfileLedger(str(tmp_path / "ledger"))
    return run


def held(run):
    return {row["id"]: dict(row["attributes"]) for row in run.ledger.read().read_all().to_pylist()}


def counts(report):
    names = ("rows_sent", "rows_rejected", "rows_empty", "rows_unchanged", "rows_stale", "rows_suppressed")
    assert report["rows_read"] == sum(report[name] for name in names)
    assert sum(report["rows_sent_because"].values()) == report["rows_sent"]
    assert sum(batch["rows"] for batch in report["batches"]) == report["rows_sent"] + report["rows_left"]
    return {
        name: report[name] for name in (*names, "rows_left", "values_carried", "values_not_cleared") if report[name]
    }


def test_only_changed_rows_are_sent(run, sandbox):
    assert counts(run(ROWS)) == {"rows_sent": 2}
    assert counts(run([ROWS[0], {"thirdPartyId": "b", "tier": "iron"}], day=1)) == {"rows_sent": 1, "rows_unchanged": 1}
    assert sandbox.profile("b") == {"tier": "iron"}
    assert held(run) == {"a": {"tier": "gold"}, "b": {"tier": "iron"}}
    report = run(ROWS[:1], day=2)
    assert (counts(report), report["batches"]) == ({"rows_unchanged": 1}, [])


def test_a_stamp_does_not_change_a_row_and_a_constant_does(run, sandbox):
    def options(constant, run_id):
        derived = DerivedAttributes(constants={"source": constant}, sent_at="sent_at", run_id="run")
        return {"derived": derived, "run_stamp": RunStamp(START, run_id)}

    assert counts(run(ROWS, profile_options=options("crm", "r1"))) == {"rows_sent": 2}
    assert counts(run(ROWS, day=1, profile_options=options("crm", "r2"))) == {"rows_unchanged": 2}
    changed = [{**ROWS[0], "tier": "iron"}, ROWS[1]]
    assert counts(run(changed, day=2, profile_options=options("crm", "r3"))) == {"rows_sent": 1, "rows_unchanged": 1}
    stamp = {"sent_at": "2026-01-01T00:00:00Z"}
    assert sandbox.profile("a") == {"tier": "iron", "source": "crm", **stamp, "run": "r3"}
    assert sandbox.profile("b") == {"tier": "tin", "source": "crm", **stamp, "run": "r1"}
    assert held(run)["a"] == {"tier": "iron", "source": "crm"}
    assert counts(run(changed, day=3, profile_options=options("erp", "r4"))) == {"rows_sent": 2}


def test_two_tasks_do_not_erase_each_other(run, sandbox):
    run(ROWS)
    report = run([{"thirdPartyId": "a", "city": "Rome"}], "dag.b", day=1)
    assert counts(report) == {"rows_sent": 1, "values_carried": 1}
    assert sandbox.profile("a") == {"tier": "gold", "city": "Rome"}


def test_a_backfill_does_not_overwrite_later_values(run, sandbox):
    run(ROWS, day=3)
    report = run([{"thirdPartyId": "a", "tier": "old"}, {"thirdPartyId": "c", "tier": "old"}], day=1)
    assert counts(report) == {"rows_sent": 1, "rows_stale": 1}
    assert sandbox.profile("a") == {"tier": "gold"}


def test_counts_add_up_with_all_kinds_of_rows(run):
    run(ROWS)
    rows = [
        *ROWS,
        {"thirdPartyId": "x/y", "tier": "bad"},
        {"thirdPartyId": "a", "tier": "again"},
        {"thirdPartyId": "e", "tier": None},
        {"thirdPartyId": "s", "tier": "secret"},
        {"thirdPartyId": "n", "tier": "new"},
    ]
    report = run(rows, day=1, suppressed=lambda: pa.array(["s"]))
    assert counts(report) == {
        "rows_sent": 1,
        "rows_rejected": 2,
        "rows_empty": 1,
        "rows_unchanged": 2,
        "rows_suppressed": 1,
    }


def test_failed_rows_are_sent_again(run, sandbox):
    sandbox.settings.fail_ids = ("b",)
    with pytest.raises(BatchOutcomeError, match="max_failed_pct"):
        run(ROWS)
    assert held(run) == {"a": {"tier": "gold"}}
    sandbox.settings.fail_ids = ()
    assert counts(run(ROWS, day=1)) == {"rows_sent": 1, "rows_unchanged": 1}


def test_rows_of_a_stuck_batch_are_sent_again(run, sandbox):
    run(ROWS)
    sandbox.settings.final_status = "stuck"
    with pytest.raises(BatchOutcomeError, match="stuck"):
        run([{"thirdPartyId": "a", "tier": "x"}, {"thirdPartyId": "b", "tier": "x"}], day=1)
    sandbox.settings.final_status = "complete"
    report = run(ROWS, day=2)
    assert report["rows_sent_because"] == {"new": 0, "changed": 0, "refreshed": 0, "forced": 2}
    assert [sandbox.profile(id)["tier"] for id in "ab"] == ["gold", "tin"]


def test_a_refused_file_leaves_the_rows_as_they_were(run, sandbox):
    sandbox.script("submit", Answer(400, "<response><success>false</success><message>no</message></response>"))
    with pytest.raises(AdobeTargetError):
        run(ROWS)
    assert held(run) == {}
    report = run(ROWS, day=1)
    assert report["rows_sent_because"]["new"] == 2
    assert held(run) == {"a": {"tier": "gold"}, "b": {"tier": "tin"}}


def test_the_next_run_settles_an_upload_that_did_not_wait(run):
    run(ROWS, options={"wait_for_completion": False})
    assert held(run) == {}
    assert counts(run(ROWS, day=1)) == {"rows_unchanged": 2}
    assert len(held(run)) == 2


def test_final_batches_of_a_sensor_settle_the_upload(run):
    from airflow_provider_adobe_target.client.batch import Batch

    report = run(ROWS, options={"wait_for_completion": False})
    batches = run.session.wait([Batch.from_dict(batch) for batch in report["batches"]], 0.05, 2**40)
    settle_batches(run.ledger, run.session, batches)
    assert len(held(run)) == 2
    table = run.ledger.opened()
    assert open_claims(table.location, table.snapshot()) == []


def test_a_sensor_that_sees_only_some_batches_settles_nothing(run):
    from airflow_provider_adobe_target.client.batch import Batch

    report = run(ROWS, options={"wait_for_completion": False}, profile_options={"max_rows_per_file": 1})
    batches = run.session.wait([Batch.from_dict(report["batches"][0])], 0.05, 2**40)
    settle_batches(run.ledger, run.session, batches)
    assert held(run) == {}


def test_each_file_has_its_own_outcome(run, sandbox):
    sandbox.settings.fail_ids = ("a",)
    sandbox.settings.list_failed_rows = False
    with pytest.raises(BatchOutcomeError):
        run(ROWS, profile_options={"max_rows_per_file": 1})
    assert held(run) == {"b": {"tier": "tin"}}


def test_another_account_is_refused_before_a_call(run, sandbox, tmp_path):
    run(ROWS)
    ledger = run.ledger.table("acme", "thirdPartyId")
    assert ledger
    with pytest.raises(LedgerRefusedError, match="id_type"):
        run([{"pcId": "1.2", "tier": "x"}], day=1, options={"api_version": "v1"})
    assert len(sandbox.batches) == 1


def test_a_limit_ends_the_run_before_a_call(run, sandbox):
    with pytest.raises(LedgerLimitError, match="max_rows_to_send"):
        run(ROWS, ledger={"max_rows_to_send": 1})
    assert sandbox.batches == []


def test_markers_are_refused_in_mapped_tasks(run):
    with pytest.raises(LedgerRefusedError, match="mapped"):
        run(ROWS, ledger={"on_missing": "marker", "missing_values": {"tier": "none"}}, is_mapped=True)


def test_an_empty_source_with_markers_ends_the_run(run, sandbox):
    marker = {"on_missing": "marker", "missing_values": {"tier": "none"}}
    run(ROWS, ledger=marker)
    with pytest.raises(LedgerLimitError, match="max_missing_pct"):
        run(
            pa.table({"thirdPartyId": pa.array([], pa.string()), "tier": pa.array([], pa.string())}),
            day=1,
            ledger=marker,
        )


@pytest.mark.parametrize("dry_run", [False, True], ids=["upload", "dry run"])
def test_an_empty_source_does_not_determine_the_id_type(run, sandbox, dry_run):
    report = run([], options={"dry_run": dry_run})
    assert (report["rows_read"], report["rows_left"], report["batches"]) == (0, 0, [])
    settle_batches(run.ledger, run.session, [])
    assert run([{"pcId": "p.28_0", "tier": "gold"}], day=1)["rows_sent_because"]["new"] == 1
    assert run([], day=2, options={"dry_run": dry_run})["rows_read"] == 0
    assert run([{"pcId": "p.28_0", "tier": "gold"}], day=3)["rows_unchanged"] == 1


def test_rejected_and_empty_rows_have_not_left(run, sandbox):
    marker = {"on_missing": "marker", "missing_values": {"tier": "none"}, "max_missing_pct": 100}
    rows = [{"thirdPartyId": id, "tier": "x"} for id in "abcd"]
    run(rows, ledger=marker)
    rows[0]["tier"], rows[1]["tier"] = None, "x" * 6_000
    report = run(rows[:3], day=1, ledger=marker)
    assert (report["rows_left"], report["rows_empty"], report["rows_rejected"]) == (1, 1, 1)
    assert [sandbox.profile(id)["tier"] for id in "abcd"] == ["x", "x", "x", "none"]
    counts(report)


def test_a_dry_run_makes_no_call_and_logs_the_plan(run, sandbox, caplog):
    run(ROWS)
    calls = len(sandbox.calls)
    with caplog.at_level(logging.INFO):
        report = run([{"thirdPartyId": "a", "tier": "tin"}], day=1, options={"dry_run": True})
    assert counts(report) == {"rows_sent": 1}
    assert len(sandbox.calls) == calls
    assert "| sent: changed | 1 |" in caplog.text
    assert "| `tier` | 1 | 0 |" in caplog.text
    assert [batch["status"] for batch in report["batches"]] == ["dry_run"]
    assert held(run)["a"] == {"tier": "gold"}


def test_the_plan_equals_a_count_by_hand(run, caplog):
    run([{"thirdPartyId": id, "t": "1", "u": "1"} for id in "abcg"], day=1)
    run([{"thirdPartyId": id, "city": "Rome"} for id in "ab"], "dag.b", day=1)
    run([{"thirdPartyId": "c", "t": "9", "u": "9"}], "dag.c", day=5)
    rows = [("a", "2", "1"), ("b", "1", "1"), ("c", "0", "0"), ("d", "5", None), ("x/y", "1", "1"), ("e", None, None)]
    rows = [{"thirdPartyId": id, "t": t, "u": u} for id, t, u in [*rows, ("s", "1", "1")]]
    markers = {"on_missing": "marker", "missing_values": {"t": "none"}, "max_missing_pct": 30}
    with caplog.at_level(logging.INFO):
        run(rows, day=2, ledger=markers, options={"dry_run": True}, suppressed=lambda: pa.array(["s"]))
    ones = ["sent: new", "sent: changed", "sent: left (markers)", "unchanged", "stale", "suppressed", "empty"]
    rows = dict.fromkeys([*ones, "rejected: id_forbidden_character"], "1")
    rows |= {"read": "7", "sent: refreshed": "0", "sent: forced": "0"}
    # t: new for d, changed for a, marker for g. u goes along for g, city for a.
    rows |= {"`t`": "3 | 0", "`u`": "0 | 1", "`city`": "0 | 1"}
    assert [line for line in rows.items() if "| {} | {} |".format(*line) not in caplog.text] == []


def test_rows_that_grow_too_large_with_carried_values_are_rejected(run, sandbox):
    long = {f"attribute_{number}": "x" * 4_900 for number in range(8)}
    run([{"thirdPartyId": "a", **long}])
    other = {f"other_{number}": "x" * 4_900 for number in range(8)}
    report = run([{"thirdPartyId": "a", **other}, {"thirdPartyId": "b", **other}], "dag.b", day=1)
    assert counts(report) == {"rows_sent": 1, "rows_rejected": 1}
    assert report["rejected_by_reason"] == {"profile_too_large": 1}
    assert sandbox.profile("a") == long


def test_a_task_that_shares_an_attribute_is_named_in_a_warning(run, caplog):
    run(ROWS)
    run([{"thirdPartyId": "a", "tier": "iron"}], "dag.b", day=1)
    assert "Attribute tier is also written by dag.a." in caplog.text


def test_logs_and_reports_contain_no_id_and_no_value(run, caplog):
    with caplog.at_level(logging.DEBUG):
        report = run([{"thirdPartyId": "very-personal", "tier": "also-personal"}])
        run([{"thirdPartyId": "very-personal", "tier": "also-personal-2"}], day=1, options={"dry_run": True})
    assert "personal" not in caplog.text + str(report)


def test_the_plan_of_a_dry_run_has_carried_and_new_attributes(run):
    def planned(report):
        return {attribute["name"]: attribute["sent_before"] for attribute in report["plan"]["attributes"]}

    dry_run = {"dry_run": True}
    assert set(planned(run(ROWS, options=dry_run)).values()) == {None}
    ids = [{"thirdPartyId": row["thirdPartyId"]} for row in ROWS]
    run([{**row, "region": "north"} for row in ids], "dag.b")
    found = planned(run([{**row, "tier": "new"} for row in ids], day=1, options=dry_run))
    assert found == {"tier": False, "region": True}
