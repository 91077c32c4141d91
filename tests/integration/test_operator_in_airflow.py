"""Where rows come from and where reports go, run by Airflow itself."""

from __future__ import annotations

import json
import sqlite3
from itertools import pairwise
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from support.real_airflow import FRAMES_IN_XCOM, connection

DAG = """
common = dict(poll_interval=0.1)
folder = os.environ["FOLDER"]

@task
def records():
    return [{"thirdPartyId": "records", "note": "{{ ds }}", "score": 3.0, "tags": ["a", None, "b"]}]

@task
def frame():
    import pandas
    rows = pandas.DataFrame({"thirdPartyId": ["frame"], "score": [0.1], "missing": [None]})
    return rows.to_dict("records") if os.environ["FRAMES_IN_XCOM"] == "no" else rows

@task
def no_rows():
    return []

@task
def files():
    return [f"{folder}/b-1.csv", f"{folder}/b-2.csv"]

BulkProfileUpdateOperator(task_id="from_records", data=records(), **common)
BulkProfileUpdateOperator(task_id="from_frame", data=frame(), **common)

dag.template_searchpath = [folder]
BulkProfileUpdateOperator(
    task_id="from_sql", sql="profiles.sql", sql_conn_id="warehouse", parameters={"least": "{{ 1 + 1 }}"}, **common
)
BulkProfileUpdateOperator(
    task_id="from_sql_text", sql="SELECT id AS pc_id, tier FROM profiles WHERE id = ?", sql_conn_id="warehouse",
    parameters=["{{ 'S' }}2"], id_type="thirdPartyId", id_column="pc_id", **common,
)
BulkProfileUpdateOperator(task_id="from_glob", path=f"{folder}/a-*.parquet", **common)
BulkProfileUpdateOperator(task_id="from_file_url", path=f"file://{folder}/b-{{{{ 1 }}}}.csv", **common)
BulkProfileUpdateOperator(task_id="from_list", path=[f"{folder}/b-1.csv", f"{folder}/a-*.parquet"], **common)

import fsspec
try:
    from airflow.sdk.io import attach
except ImportError:
    from airflow.io.store import attach
attach("memory", fs=fsspec.filesystem("memory"))  # stands for any object storage

@task
def write_to_memory():
    file = ObjectStoragePath("memory://bucket/rows.ndjson")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"thirdPartyId": "memory", "tier": "gold"}\\n{"thirdPartyId": "m/m", "tier": "x"}')
    return str(file)

in_memory = write_to_memory()
BulkProfileUpdateOperator(
    task_id="from_memory", path=in_memory, rejects_path="memory://bucket/rejects", **common
)

@task
def read_rejects(report):
    import pyarrow.parquet
    with ObjectStoragePath(report["rejects_path"]).open("rb") as file:
        return pyarrow.parquet.read_table(file).num_rows

read_rejects(dag.get_task("from_memory").output)

mapped = BulkProfileUpdateOperator.partial(task_id="mapped", wait_for_completion=False).expand(
    path=[f"{folder}/b-1.csv", f"{folder}/b-2.csv"]
)
BatchStatusSensor(task_id="all_mapped", batches=mapped.output, poke_interval=0.1)
also_mapped = BulkProfileUpdateOperator.partial(task_id="mapped_over_output", wait_for_completion=False).expand(
    path=files()
)
BatchStatusSensor(task_id="templated", batches="{{ ti.xcom_pull('mapped_by_key', key='batches') }}", poke_interval=0.1)
by_key = BulkProfileUpdateOperator(task_id="mapped_by_key", path=f"{folder}/b-1.csv", wait_for_completion=False)
by_key >> dag.get_task("templated")

empty = BulkProfileUpdateOperator(task_id="empty", data=no_rows(), **common)
BatchStatusSensor(task_id="after_empty", batches=empty.output, poke_interval=0.1)
BatchStatusSensor(task_id="after_empty_deferred", batches=empty.output["batches"], poke_interval=0.1, deferrable=True)

dry = BulkProfileUpdateOperator(task_id="dry", path=f"{folder}/b-*.csv", max_rows_per_file=1, dry_run=True)
BatchStatusSensor(task_id="after_dry", batches=dry.output, poke_interval=0.1, timeout=3)
BatchStatusSensor(task_id="after_dry_deferred", batches=dry.output, poke_interval=0.1, timeout=3, deferrable=True)

BulkProfileUpdateOperator(
    task_id="counted", path=f"{folder}/mixed.ndjson", rejects_path=f"{folder}/rejects", max_rows_per_file=2, **common
)

@task
def reads_the_report(report):
    return [batch["rows"] for batch in report["batches"]]

reads_the_report(dag.get_task("counted").output)
"""

MIXED = [
    {"thirdPartyId": "m1", "tier": "gold"},
    {"thirdPartyId": "m1", "tier": "twice"},
    {"thirdPartyId": None, "tier": "no id"},
    {"thirdPartyId": "m/2", "tier": "slash"},
    {"thirdPartyId": "m3", "tier": None},
    {"thirdPartyId": "m4", "tier": "x" * 6000},
    {"thirdPartyId": "m5", "tier": "silver"},
    {"thirdPartyId": "m6", "tier": "silver"},
]


@pytest.fixture(scope="module")
def ran(airflow, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for number in (1, 2):
        pq.write_table(pa.table({"thirdPartyId": [f"A{number}"], "day": ["x"]}), folder / f"a-{number}.parquet")
        (folder / f"b-{number}.csv").write_text(f"thirdPartyId,tier\nB{number},csv\n")
    (folder / "mixed.ndjson").write_text("\n".join(map(json.dumps, MIXED)))
    (folder / "profiles.sql").write_text(
        "SELECT id AS thirdPartyId, tier, '{{ dag.dag_id }}' AS dag FROM profiles WHERE number >= :least ORDER BY id"
    )
    with sqlite3.connect(folder / "warehouse.db") as warehouse:
        warehouse.execute("CREATE TABLE profiles (id TEXT, number INTEGER, tier TEXT)")
        warehouse.executemany("INSERT INTO profiles VALUES (?, ?, ?)", [(f"S{n}", n, f"tier {n}") for n in (1, 2, 3)])
    warehouse.close()
    with Sandbox(token="t0ken", processing_seconds=0.1, calls_per_minute=None) as sandbox:
        run = airflow.run(
            DAG,
            FOLDER=str(folder),
            FRAMES_IN_XCOM="yes" if FRAMES_IN_XCOM else "no",
            AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox),
            AIRFLOW_CONN_WAREHOUSE=json.dumps({"conn_type": "sqlite", "host": str(folder / "warehouse.db")}),
        )
        yield SimpleNamespace(run=run, sandbox=sandbox, folder=folder)


def test_every_task_succeeds(ran):
    assert {task for task, state in ran.run.states.items() if state != "success"} == set()


@pytest.mark.parametrize(
    ("profile_id", "attributes"),
    [
        ("records", {"note": "{{ ds }}", "score": "3", "tags": "a|b"}),
        ("frame", {"score": "0.1"}),
        ("S3", {"tier": "tier 3"}),
        ("B1", {"tier": "csv"}),
        ("A2", {"day": "x"}),
        ("memory", {"tier": "gold"}),
    ],
)
def test_rows_of_every_source_are_uploaded(ran, profile_id, attributes):
    found = ran.sandbox.profile(profile_id)
    found.pop("dag", None)
    assert found == attributes


def test_a_statement_and_its_parameters_are_rendered(ran):
    assert ran.sandbox.profile("S1") is None
    assert ran.sandbox.profile("S2")["tier"] == "tier 2"
    assert ran.sandbox.profile("S3")["dag"] == ran.run.dag_id


def test_files_are_read_in_the_order_of_their_names(ran):
    [batch] = ran.run.result("from_glob")["batches"]
    assert [row["thirdPartyId"] for row in stored(ran.sandbox, batch).rows] == ["A1", "A2"]


def stored(sandbox, batch):
    return next(known for known in sandbox.batches if known.batch_id == batch["batch_id"])


def test_one_sensor_waits_for_the_batches_of_all_mapped_uploads(ran):
    sent = [ran.run.result(("mapped", index))["batches"][0] for index in (0, 1)]
    landed = ran.run.result("all_mapped")
    assert [batch["batch_id"] for batch in landed] == [batch["batch_id"] for batch in sent]
    assert {batch["status"] for batch in sent} == {"submitted"}
    assert {batch["status"] for batch in landed} == {"complete"}


def test_a_sensor_reads_what_jinja_made_of_batches(ran):
    assert [batch["status"] for batch in ran.run.result("templated")] == ["complete"]


def test_no_rows_are_no_batches_and_no_wait(ran):
    report = ran.run.result("empty")
    assert (report["rows_read"], report["batches"]) == (0, [])
    assert ran.run.xcoms["empty"]["batches"] == []
    assert ran.run.result("after_empty") == ran.run.result("after_empty_deferred") == []


def test_a_dry_run_is_reported_and_its_sensor_ends_at_once(ran):
    report = ran.run.result("dry")
    [first, second] = report["batches"]
    [sent] = ran.run.result(("mapped", 0))["batches"]
    assert (report["dry_run"], report["rows_sent"]) == (True, 2)
    assert (first["status"], first["rows"], first["batch_id"]) == ("dry_run", 1, None)
    assert (first["bytes"], first["sha256"]) == (sent["bytes"], sent["sha256"])
    assert second["sha256"] not in (None, first["sha256"])
    assert ran.run.result("after_dry") == ran.run.result("after_dry_deferred") == report["batches"]


def test_the_counts_of_a_report_add_up_and_rejects_are_kept(ran):
    report = ran.run.result("counted")
    reasons = {"duplicate_id": 1, "missing_id": 1, "id_forbidden_character": 1, "value_too_long": 1}
    assert report["rejected_by_reason"] == reasons
    assert (report["rows_read"], report["rows_sent"], report["rows_rejected"], report["rows_empty"]) == (8, 3, 4, 1)
    assert ran.run.result("reads_the_report") == [2, 1]
    assert sum(batch["successful_updates"] for batch in report["batches"]) == 3
    rejects = pq.read_table(report["rejects_path"]).to_pylist()
    assert sorted(row["row_number"] for row in rejects) == [1, 2, 3, 5]
    assert ran.run.xcoms["counted"]["batches"] == report["batches"]


def test_invalid_rows_can_be_kept_in_object_storage(ran):
    path = ran.run.result("from_memory")["rejects_path"]
    assert path.startswith("memory:")
    assert "/bucket/rejects/" in path
    assert ran.run.result("read_rejects") == 1


def test_guaranteed_upload_waits_for_each_batch_before_the_next(run_dag, sandbox):
    run = run_dag(
        """
        rows = [{"thirdPartyId": f"G{number}", "tier": "gold"} for number in range(3)]
        BulkProfileUpdateOperator(
            task_id="up", data=rows, guaranteed_upload=True, max_rows_per_file=1, poll_interval=0.3, deferrable=True
        )
        """
    )
    assert run.states == {"up": "success"}
    routes = [call.route for call in sandbox.calls]
    submits = [index for index, route in enumerate(routes) if route == "submit"]
    assert len(submits) == 3
    assert all("status" in routes[sooner:later] for sooner, later in pairwise(submits))
    calls = [call for call in sandbox.calls if call.route == "submit"]
    first, second, _ = sandbox.batches
    assert calls[1].at >= first.due_at
    assert calls[2].at >= second.due_at


def test_accepted_batches_are_in_xcom_if_a_later_file_is_refused(run_dag, sandbox):
    refused = Answer(200, "<response><success>false</success><message>Enough for today</message></response>")
    sandbox.script("submit", Answer.real(), Answer.real(), refused)
    run = run_dag(
        """
        rows = [{"thirdPartyId": f"R{number}", "tier": "gold"} for number in range(9)]
        BulkProfileUpdateOperator(task_id="up", data=rows, max_rows_per_file=1)
        """
    )
    assert run.states == {"up": "failed"}
    assert "Enough for today" in run.log("up")
    accepted = {batch.batch_id for batch in sandbox.batches}
    assert {batch["batch_id"] for batch in run.xcoms["up"]["batches"]} == accepted
    assert len(sandbox.calls) <= 4  # one may have been on its way, too


def test_the_folder_of_batch_files_is_gone_however_the_task_ends(run_dag, sandbox, tmp_path):
    refused = Answer(200, "<response><success>false</success><message>no</message></response>")
    sandbox.script("submit", Answer.real(), Answer.real(), Answer.real(), refused, Answer.real(delay=6))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run = run_dag(
        """
        rows = [{"thirdPartyId": f"F{number}", "tier": "gold"} for number in range(2)]
        common = dict(data=rows, max_rows_per_file=1, wait_for_completion=False)
        good = BulkProfileUpdateOperator(task_id="good", **common)
        bad_rows = BulkProfileUpdateOperator(
            task_id="bad_rows", **{**common, "data": [*rows, {"thirdPartyId": "a/b"}]}, skip_invalid_records=False
        )
        refused = BulkProfileUpdateOperator(task_id="refused", **common)
        too_slow = BulkProfileUpdateOperator(
            task_id="too_slow", **common, execution_timeout=datetime.timedelta(seconds=1)
        )

        bad_rows.trigger_rule = refused.trigger_rule = too_slow.trigger_rule = "all_done"
        good >> bad_rows >> refused >> too_slow
        """,
        TMPDIR=str(scratch),
    )
    failed = dict.fromkeys(("bad_rows", "refused", "too_slow"), "failed")
    assert run.states == {"good": "success", **failed}
    assert "Timeout" in run.log("too_slow")
    assert [file.name for file in scratch.iterdir() if file.name.startswith("adobe-target-")] == []
    assert len(sandbox.batches) == 5  # two, none, one, and the two that were in progress at the timeout
    assert len(run.xcoms["too_slow"]["batches"]) == 2
