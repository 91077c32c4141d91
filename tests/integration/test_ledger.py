"""Operators and sensors with a ledger, run by Airflow itself."""

import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.sync_log.location import open_sync_log
from airflow_provider_adobe_target.sync_log.store import RunFilter
from support.reports import NO_LEDGER

DAG = """
import pandas
from airflow_provider_adobe_target.operators.adobe_target import AudienceFlagOperator, SingleProfileUpdateOperator
from airflow_provider_adobe_target.ledger import ProfileLedger
folder = os.environ["FOLDER"]
rows = [{"thirdPartyId": "very-" "personal-1", "tier": "gold"}, {"thirdPartyId": "very-" "personal-2", "tier": "tin"}]
changed = [{"thirdPartyId": "very-" "personal-1", "tier": "iron"}, rows[1]]
common = dict(poll_interval=0.1)

def ledger(name="one", **arguments):
    return ProfileLedger(folder + "/{{ task.task_id and '" + name + "' }}", as_of="{{ '2026-01-0' ~ 2 }}", **arguments)

first = BulkProfileUpdateOperator(task_id="first", data=rows, ledger=ledger(), **common)
deferred = BulkProfileUpdateOperator(task_id="deferred", data=changed, ledger=ledger(), deferrable=True, **common)
plan = BulkProfileUpdateOperator(
    task_id="plan", data=pandas.DataFrame(rows), dry_run=True, **common,
    ledger=ledger(suppress=["very-" "personal-2", "{{ 1 / 0 }}"]),
)
other = BulkProfileUpdateOperator(
    task_id="other", data=[{"thirdPartyId": "very-" "personal-1", "city": "Rome"}], ledger=ledger(), **common
)
first >> deferred >> plan >> other

unwatched = BulkProfileUpdateOperator(
    task_id="unwatched", data=rows, ledger=ledger("two"), wait_for_completion=False, **common
)
landed = BatchStatusSensor(
    task_id="landed", batches=unwatched.output, ledger=ProfileLedger(folder + "/two"), poke_interval=0.1,
    deferrable=True,
)
again = BulkProfileUpdateOperator(task_id="again", data=rows, ledger=ledger("two"), **common)
landed >> again

mapped = BulkProfileUpdateOperator.partial(task_id="mapped", ledger=ledger("three"), **common).expand(
    data=[[{"thirdPartyId": "m1", "tier": "x"}], [{"thirdPartyId": "m2", "tier": "x"}]]
)
BulkProfileUpdateOperator.partial(
    task_id="mapped_markers", ledger=ledger("four", on_missing="marker", missing_values={"tier": "none"}), **common
).expand(data=[[{"thirdPartyId": "m1", "tier": "x"}]])

visited = BulkProfileUpdateOperator(task_id="visited", data=rows, ledger=ledger("five"), **common)
single = SingleProfileUpdateOperator(
    task_id="single", data=[*changed, {"thirdPartyId": "unknown", "tier": "x"}], ledger=ledger("five"),
    if_not_found="skip",
)
visited >> single
single >> BulkProfileUpdateOperator(task_id="after_single", data=changed, ledger=ledger("five"), **common)

def flags(task_id, members, **arguments):
    return AudienceFlagOperator(
        task_id=task_id, data=[{"thirdPartyId": id, "audience": "vip"} for id in members], audiences=["vip"],
        ledger=ledger("six", send="changed"), **common, **arguments
    )

flags("two_members", ["a1", "a2"]) >> flags("one_member", ["a2"]) >> flags("no_member", [], allow_no_members=True)
"""


@pytest.fixture(scope="module")
def ran(airflow, tmp_path_factory):
    from airflow_provider_adobe_target.sandbox import Sandbox
    from support.real_airflow import connection

    folder = tmp_path_factory.mktemp("ledgers")
    with Sandbox(token="t0ken", processing_seconds=0.1, calls_per_minute=None) as sandbox:
        target = connection(sandbox, extra={"sync_log": str(folder / "sync_log")})
        run = airflow.run(DAG, FOLDER=str(folder), AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=target)
    run.__dict__.update(sandbox=sandbox, folder=folder)
    return run


def test_all_tasks_end_as_expected(ran):
    assert {task for task, state in ran.states.items() if state != "success"} == {("mapped_markers", 0)}
    assert "none of the mapped tasks reads all rows" in ran.logged


def test_a_deferred_operator_settles_the_ledger(ran):
    report = ran.result("deferred")
    assert (report["rows_sent"], report["rows_unchanged"]) == (1, 1)
    assert report["rows_sent_because"] == {"new": 0, "changed": 1, "refreshed": 0, "forced": 0}
    held = ProfileLedger(str(ran.folder / "one")).get("very-personal-1")
    assert held["attributes"] == {"tier": "iron", "city": "Rome"}
    assert held["as_of"].isoformat().startswith("2026-01-02T00:00:00")
    assert held["writer"].endswith(".other")


def test_a_plan_sends_nothing(ran):
    report = ran.result("plan")
    assert (report["rows_suppressed"], report["dry_run"]) == (1, True)
    assert "## Plan" in ran.log("plan")


def test_attributes_of_other_tasks_are_carried(ran):
    assert ran.result("other")["values_carried"] == 1
    assert ran.sandbox.profile("very-personal-1") == {"tier": "iron", "city": "Rome"}


def test_the_sensor_settles_the_ledger(ran):
    assert (ran.result("again")["rows_sent"], ran.result("again")["rows_unchanged"]) == (0, 2)
    assert not list((ran.folder / "two" / "_pending").iterdir())


def test_the_sync_log_has_the_number_of_profiles_that_are_held_after_each_task(ran):
    records = open_sync_log(str(ran.folder / "sync_log")).read(RunFilter(nested=["details"]))
    held = {record.task_id: record.details.get("ledger") for record in records if record.map_index == -1}
    assert held["first"] == held["deferred"] == held["plan"] == {"id_type": "thirdPartyId", "profiles": 2}
    assert (held["unwatched"]["profiles"], held["landed"]["profiles"], held["again"]["profiles"]) == (0, 2, 2)
    assert "cannot be counted" not in ran.logged


def test_mapped_tasks_share_a_ledger(ran):
    assert [ran.result(("mapped", number))["rows_sent"] for number in (0, 1)] == [1, 1]
    assert len(ProfileLedger(str(ran.folder / "three")).read(["id"]).read_all()) == 2


def test_single_updates_send_changed_rows_only(ran):
    report = ran.result("single")
    assert report["rows_read"] == 3
    names = ("rows_sent", "rows_rejected", "rows_unchanged")
    assert {name: report[name] for name in names} == {"rows_sent": 1, "rows_rejected": 1, "rows_unchanged": 1}
    assert report["rows_sent_because"] == {"new": 0, "changed": 1, "refreshed": 0, "forced": 0}
    assert ran.result("after_single")["rows_unchanged"] == 2


def test_former_members_are_known_from_the_ledger(ran):
    assert ran.result("one_member")["rows_sent"] == 1
    assert ran.result("one_member")["rows_unchanged"] == 1
    assert [ran.sandbox.profile(id)["audience.vip"] for id in ("a1", "a2")] == ["false", "false"]


def test_reports_without_a_ledger_have_the_keys(airflow, run_dag):
    run = run_dag("""
from airflow_provider_adobe_target.operators.adobe_target import AudienceFlagOperator, SingleProfileUpdateOperator
BulkProfileUpdateOperator(task_id="plain", data=[{"thirdPartyId": "a", "tier": "x"}], poll_interval=0.1)
SingleProfileUpdateOperator(task_id="one", profile_id="a", attributes={"tier": "y"}, if_not_found="send")
""")
    for task in ("plain", "one"):
        report = run.result(task)
        assert NO_LEDGER.items() <= report.items()


def test_nothing_personal_is_in_logs_and_the_database(ran, airflow):
    assert "very-personal" not in ran.logged
    for table, text in airflow.tables():
        assert "very-personal" not in text, table


def test_the_ledger_of_a_run_can_be_read_by_others(ran):
    files = list((ran.folder / "one").glob("bucket=-1/*.parquet"))
    assert {"id", "a_tier", "as_of"} <= set(pq.read_schema(files[0]).names)
