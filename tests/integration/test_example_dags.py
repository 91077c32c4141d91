"""Each example as it is, with real Airflow, real purchases and the sandbox."""

import json
from datetime import date

import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.sandbox import Answer
from support.real_airflow import EXAMPLES, FRAMES_IN_XCOM, IS_AIRFLOW_3_0, connection

PURCHASES = EXAMPLES / "data" / "cdnow" / "CDNOW_master.txt"


@pytest.fixture
def sandbox(open_sandbox):
    return open_sandbox(processing_seconds=0)  # the examples ask every half minute


@pytest.fixture
def run_example(airflow, sandbox, tmp_path):
    def run(name, day="1998-01-01", **more):
        environment = {
            "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": connection(sandbox),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}),
            "TMPDIR": str(tmp_path),
            **more,
        }
        return airflow.run_example(name, day, **environment)

    return run


def purchases(before=date.max):
    with PURCHASES.open() as lines:
        next(lines)
        for line in lines:
            customer_id, day, _, dollars = line.split()
            bought = date(int(day[:4]), int(day[4:6]), int(day[6:]))
            if bought < before:
                yield customer_id, bought, float(dollars)


def test_every_example_has_a_test_here():
    tested = {
        "call_centre",
        "cdnow_assets",
        "cdnow_audiences",
        "cdnow_backfill",
        "cdnow_daily",
        "cdnow_dataframe",
        "cdnow_landing",
        "cdnow_ledger",
        "cdnow_linking",
        "cdnow_partitions",
        "cdnow_replay",
        "cdnow_thresholds",
        "edge_profile",
        "profile_token",
    }
    assert {file.stem for file in EXAMPLES.glob("*.py")} == tested


def test_only_changed_customers_are_sent(run_example, sandbox):
    first = run_example("cdnow_ledger", "1997-01-05", WITHOUT_APPROVAL="1")
    assert set(first.states.values()) == {"success"}
    rows = first.result("upload")["rows_sent"]
    assert (first.result("plan")["rows_sent"], rows) == (len({id_ for id_, _, _ in purchases(date(1997, 1, 6))}),) * 2

    report = run_example("cdnow_ledger", "1997-01-06", WITHOUT_APPROVAL="1").result("upload")
    assert report["rows_read"] == len({id_ for id_, _, _ in purchases(date(1997, 1, 7))})
    bought = {id_ for id_, day, _ in purchases(date(1997, 1, 7)) if day == date(1997, 1, 6)}
    assert report["rows_sent"] == len(bought) < report["rows_read"]


def test_a_stuck_file_is_sent_again_from_the_archive(run_example, sandbox):
    stuck = Answer(200, "<response><status>stuck</status><batchSize>1000</batchSize></response>")
    sandbox.script("status", Answer.real(), stuck)
    run = run_example("cdnow_replay")
    assert (run.states["upload"], run.states["replay"]) == ("failed", "success")
    report = run.result("replay")
    assert (report["rows_sent"], report["outcome"]) == (1_000, "complete")
    assert len(sandbox.batches) == 4


def test_a_day_of_purchases_becomes_profiles(run_example, sandbox):
    run = run_example("cdnow_daily")

    assert set(run.states.values()) == {"success"}
    report = run.result("upload")
    customers = {customer_id for customer_id, _, _ in purchases(date(1998, 1, 2))}
    assert report["rows_read"] == report["rows_sent"] == len(customers) == 23_570
    assert [(batch["rows"], batch["status"]) for batch in run.result("landed")] == [
        (10_000, "complete"),
        (10_000, "complete"),
        (3_570, "complete"),
    ]
    for customer_id in ("00001", "00002", "23570"):
        own = [(day, dollars) for id_, day, dollars in purchases(date(1998, 1, 2)) if id_ == customer_id]
        last = max(day for day, _ in own)
        profile = sandbox.profile(customer_id)
        assert profile["frequency"] == str(len(own))
        assert float(profile["monetary_value"]) == pytest.approx(sum(dollars for _, dollars in own), abs=0.006)
        assert profile["last_purchase_on"] == last.isoformat()
        assert profile["recency_days"] in {str((date(1998, 1, day) - last).days) for day in (1, 2)}
        assert profile["tier"] in ("gold", "silver", "bronze")


@pytest.mark.skipif(not FRAMES_IN_XCOM, reason="before 3.3 Airflow puts no DataFrame of pandas 3 into XCom")
def test_a_frame_of_one_task_is_uploaded_by_the_next(run_example, sandbox):
    run = run_example("cdnow_dataframe")

    assert set(run.states.values()) == {"success"}
    assert run.result("upload")["rows_sent"] == 23_570
    assert sandbox.profile("00001") == {
        "average_order_value": "11.77",
        "largest_order_cds": "1",
        "favourite_weekday": "Wednesday",
    }


def test_rejected_rows_within_the_limit_are_written_and_counted(run_example, sandbox):
    run = run_example("cdnow_thresholds")

    assert set(run.states.values()) == {"success"}
    report = run.result("upload")
    assert report["rejected_by_reason"] == {"missing_id": 5, "duplicate_id": 5}
    assert report["rows_read"] == 1000
    assert report["rows_sent"] == 990
    assert pq.read_table(report["rejects_path"].removeprefix("file://")).num_rows == 10
    assert run.result("account") == "990 of 1000 rows sent; rejected: 5 missing_id, 5 duplicate_id"
    assert sandbox.profile("00002") == {"partner_segment": "garden"}


def test_a_day_of_a_backfill_sends_the_orders_of_the_day_before(run_example, sandbox):
    run = run_example("cdnow_backfill", "1997-01-31")

    assert set(run.states.values()) == {"success"}
    report = run.result("upload")
    orders = [id_ for id_, day, _ in purchases() if day in (date(1997, 1, 30), date(1997, 1, 31))]
    assert report["rows_sent"] == sandbox.batches[0].row_count > 100
    assert {row["thirdPartyId"] for row in sandbox.batches[0].rows} <= set(orders)
    assert len({row["last_order_on"] for row in sandbox.batches[0].rows}) == 1


def test_four_mapped_tasks_send_each_customer_once(run_example, sandbox):
    run = run_example("cdnow_partitions")

    assert set(run.states.values()) == {"success"}
    assert run.result("account") == {
        "rows_read": 23_570,
        "rows_sent": 23_570,
        "rows_rejected": 0,
        "rows_empty": 0,
        "rows_unchanged": 0,
        "files": 4,
    }
    assert [batch["status"] for batch in run.result("landed")] == ["complete"] * 4
    ids = [row["thirdPartyId"] for batch in sandbox.batches for row in batch.rows]
    assert len(ids) == len(set(ids)) == 23_570
    shares = [run.result(("upload", number))["rows_sent"] for number in range(4)]
    assert max(shares) - min(shares) <= 1


def test_linked_browsers_get_the_purchases_of_their_customer(run_example, sandbox):
    run = run_example("cdnow_linking")

    assert set(run.states.values()) == {"success"}
    linked, uploaded = run.result("link"), run.result("upload")
    assert (linked["rows_read"], linked["rows_linked"], linked["result_table"]) == (200, 200, "links")
    assert (uploaded["id_type"], uploaded["rows_sent"]) == ("pcId", 200)
    assert uploaded["batches"][0]["profiles_not_found"] == 0
    assert f"{1:038d}" not in run.output + json.dumps(run.xcoms)  # an ECID
    for customer_id in ("00001", "00002", "00200"):
        orders = sum(id_ == customer_id for id_, _, _ in purchases())
        assert sandbox.profile(customer_id) == {"orders": str(orders)}


def test_a_sample_of_an_upload_is_seen_in_the_profiles(run_example, sandbox):
    run = run_example("cdnow_landing")

    assert set(run.states.values()) == {"success"}
    assert run.result("landed") == {"sampled": 100, "landed": 100, "not_found": 0, "different": 0}
    assert sum(call.route == "fetch" for call in sandbox.calls) == 100


@pytest.mark.parametrize("days_left", [90, 13])
def test_a_token_is_replaced_when_it_is_nearly_over(run_example, sandbox, tmp_path, days_left):
    sandbox.settings.token_seconds = days_left * 24 * 60 * 60
    places = {"ims_host": sandbox.url, "admin_host": sandbox.url}
    extra = {"client_id": "id", "client_secret": "p8e-secret", "tenant_id": "acmeinc", **places}
    own = connection(sandbox, password=None, extra=extra)

    run = run_example(
        "profile_token", "2026-01-02", AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=own, SECRETS_FOLDER=str(tmp_path)
    )

    if days_left == 90:
        assert run.states == {"nearly_over": "skipped", "rotate": "skipped"}
        assert sandbox.settings.token == "t0ken-of-the-tests"
        return
    assert run.states == {"nearly_over": "success", "rotate": "success"}
    assert run.result("nearly_over")["days_left"] == pytest.approx(13, abs=0.1)
    stored = tmp_path / "adobe_target_default"
    assert stored.read_text() == sandbox.settings.token != "t0ken-of-the-tests"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert set(run.result("rotate")) == {"expires_at", "rotated_at"}


def test_a_member_that_leaves_an_audience_is_set_to_false(run_example, sandbox):
    def members(as_of):
        bought = {}
        for id_, day, dollars in purchases(as_of):
            latest, total = bought.get(id_, (date.min, 0.0))
            bought[id_] = (max(day, latest), total + dollars)
        active = {id_ for id_, (latest, _) in bought.items() if (as_of - latest).days <= 90}
        return active, {id_ for id_, (_, total) in bought.items() if total >= 250}

    sandbox.put_profile("00001", {"seen": "yes"})
    sandbox.put_profile("00004", {"seen": "yes"})
    then = run_example("cdnow_audiences", "1997-03-01")
    assert sandbox.profile("00001") == {"seen": "yes", "audience.active": "true", "audience.big_spender": "false"}
    later = run_example("cdnow_audiences", "1998-06-01")

    assert set(then.states.values()) == set(later.states.values()) == {"success"}
    assert sandbox.profile("00001") == {"seen": "yes", "audience.active": "false", "audience.big_spender": "false"}
    report = later.result("flags")
    assert report["rows_sent"] == 23_570
    counted = {tuple(report["members"].values())}
    # Airflow's versions differ in whether a run by hand is about its own day or the one before.
    assert counted <= {tuple(map(len, members(date(1998, 6, day)))) for day in (1, 2)}
    assert report["batches"][0]["profiles_not_found"] == 23_568
    assert sandbox.profile("00002") is None


def test_a_call_changes_one_profile_and_no_unknown_profile(run_example, sandbox):
    assert run_example("call_centre").states == {"open_case": "success", "update_profile": "skipped"}
    sandbox.put_profile("00001", {"tier": "gold"})

    run = run_example("call_centre")

    assert run.states == {"open_case": "success", "update_profile": "success"}
    assert run.result("update_profile")["rows_sent"] == 1
    assert sandbox.profile("00001") == {
        "tier": "gold",
        "service.last_call_on": "1998-01-01",
        "service.topic": "delivery",
        "service.wishes": "refund|call back",
    }


def test_an_order_reaches_target_by_way_of_a_datastream(run_example, sandbox):
    credential = {"client_id": "id", "client_secret": "p8e-secret", "ims_org_id": "ORG@AdobeOrg"}
    places = {"ims_host": sandbox.url, "edge_host": sandbox.url}
    own = connection(sandbox, extra={"datastream_id": "ds1", **credential, **places})

    run = run_example("edge_profile", "2026-01-02", AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=own)

    assert set(run.states.values()) == {"success"}
    assert run.result("update_profile")["rows_sent"] == 1
    profile = sandbox.profile("41112206153430122006023018240013441424", "marketingCloudVisitorId")
    assert profile == {"last_order.cds": "3", "last_order.dollars": "35.5", "is_customer": "true"}


@pytest.mark.skipif(IS_AIRFLOW_3_0, reason="before 3.1 dag.test() refuses outlets that no scheduler has activated")
def test_an_upload_updates_the_asset_on_which_a_dag_is_scheduled(run_example, sandbox, airflow):
    run = run_example("cdnow_assets")

    assert run.result("upload")["rows_sent"] == 23_570
    assert sandbox.profile("00001") == {"favourite_weekday": "Wednesday"}
    tables = {name for (name,) in airflow.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
    name = "asset" if "asset_event" in tables else "dataset"
    [(extra, asset)] = airflow.query(f"SELECT extra, {name}_id FROM {name}_event WHERE source_dag_id = ?", run.dag_id)
    assert json.loads(extra) == {
        "rows_sent": 23_570,
        "rows_rejected": 0,
        "batches": 1,
        "status": "complete",
        "attributes": ["favourite_weekday"],
    }
    scheduled = airflow.query(f"SELECT dag_id FROM dag_schedule_{name}_reference WHERE {name}_id = ?", asset)
    assert scheduled == [("cdnow_fresh_profiles",)]
