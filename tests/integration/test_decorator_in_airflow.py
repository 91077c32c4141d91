"""``@task.bulk_profile_update``, run by Airflow itself."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow import __version__ as airflow_version

from support.real_airflow import IS_AIRFLOW_3_0

DAG = """
import pandas, pyarrow

folder = os.environ["FOLDER"]
options = dict(poll_interval=0.1, timeout=20)

def row(number):
    return {"customer_id": f"goldfinch-{number}", "note": "goldfinch {{ ds }}"}

@task.bulk_profile_update(id_column="customer_id", **options)
def frame(ds=None, **context):
    assert context["ti"].task_id == "frame" and (ds is None or len(ds) == 10)
    return pandas.DataFrame([row("frame")])

@task.bulk_profile_update(id_column="customer_id", deferrable=True, **options)
def deferred():
    return pyarrow.Table.from_pylist([row("deferred")])

@task.bulk_profile_update(id_column="customer_id", **options)
def records(numbers, prefix="x"):
    return [row(f"{prefix}-{number}") for number in numbers]

@task.bulk_profile_update(**options)
def one_path():
    return f"{folder}/one.parquet"

@task.bulk_profile_update(**options)
def paths():
    return [pathlib.Path(folder) / "one.parquet", f"{folder}/tw*.csv"]

@task.bulk_profile_update
def nothing():
    return []

@task.bulk_profile_update
def forgotten():
    pass

@task(show_return_value_in_logs=False)
def upstream():
    return [["goldfinch-a"], ["goldfinch-b", "goldfinch-c"]]

frame()
deferred()
numbers = upstream()
records(numbers=["literal"], prefix="{{ 'rendered' }}")
records.override(task_id="from_upstream")(numbers)
records.override(task_id="mapped").partial(prefix="mapped").expand(numbers=[["goldfinch-1"], ["goldfinch-2"]])
records.override(task_id="mapped_deferred", deferrable=True).partial(prefix="later").expand(numbers=numbers)
records.override(task_id="mapped_kwargs").expand_kwargs([{"numbers": ["goldfinch-k"], "prefix": "k"}])
one_path()
report = paths()
nothing()
forgotten()

@task
def reads(report):
    return report["rows_sent"]

reads(report)
"""


@pytest.fixture
def run(run_dag, airflow, tmp_path):
    pq.write_table(pa.table({"thirdPartyId": ["one"], "tier": ["gold"]}), tmp_path / "one.parquet")
    (tmp_path / "two.csv").write_text("thirdPartyId,tier\ntwo,silver\n")
    with airflow.remembering():
        return run_dag(DAG, FOLDER=str(tmp_path))


def test_rows_of_functions_are_uploaded_and_not_stored(run, sandbox, airflow):
    assert {task for task, state in run.states.items() if state != "success"} == {"forgotten"}
    assert "The function forgotten returned None." in run.log("forgotten")
    sent = {row["thirdPartyId"]: row for batch in sandbox.batches for row in batch.rows}
    names = ["frame", "deferred", "rendered-literal", "mapped-goldfinch-1", "mapped-goldfinch-2", "k-goldfinch-k"]
    names += ["x-['goldfinch-a']", "x-['goldfinch-b', 'goldfinch-c']"]
    names += [f"later-goldfinch-{letter}" for letter in "abc"]
    expected = {f"goldfinch-{name}" for name in names if "," not in name} | {"one", "two"}
    rejected = {f"goldfinch-{name}" for name in names if "," in name}
    assert set(sent) == expected
    assert run.result("from_upstream")["rejected_by_reason"] == {"id_forbidden_character": len(rejected)}
    assert {row["note"] for row in sent.values() if "note" in row} == {"goldfinch {{ ds }}"}
    assert run.result("reads") == run.result("paths")["rows_sent"] == 2
    assert run.result("nothing")["batches"] == []
    assert [run.result(("mapped_deferred", number))["rows_sent"] for number in (0, 1)] == [1, 2]
    assert [batch["status"] for batch in run.result("deferred")["batches"]] == ["complete"]
    _assert_no_row_is_stored_or_logged(run, airflow)


def _assert_no_row_is_stored_or_logged(run, airflow):
    assert "goldfinch" not in run.logged
    for task, xcoms in run.xcoms.items():
        if task != "upstream":
            assert "goldfinch" not in json.dumps(xcoms)
    leaks = {
        table
        for table, row in airflow.tables()
        if "goldfinch" in row and run.dag_id in row and not (table.endswith("xcom") and "upstream" in row.split())
    }
    assert leaks <= {"dag_code", "ever_dag_code"}  # the file itself
    dags = [row for table, row in airflow.tables() if table == "serialized_dag" and run.dag_id in row]
    assert any("@task.bulk_profile_update" in dag for dag in dags) or IS_AIRFLOW_3_0
    if not airflow_version.startswith("2."):  # whose dag.test() does not keep rendered fields
        rendered = [row for table, row in airflow.tables() if table == "ever_rendered_task_instance_fields"]
        assert any(run.dag_id in row and "rendered" in row and "<hidden>" in row for row in rendered)
