"""Rows of several upstream tasks, read as one source in a real Airflow."""

from __future__ import annotations

from support.real_airflow import IS_AIRFLOW_3_0

DAG = """
from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator as Single
common = dict(poll_interval=0.1)

@task
def rows(name):
    return [{"thirdPartyId": f"{name}-{number}", "tier": name} for number in range(2)]

@task
def row(name):
    return {"thirdPartyId": name, "tier": name}

def gold(row):
    return {**row, "tier": "gold"}

BulkProfileUpdateOperator(task_id="listed", data=[rows("a"), rows("b")], **common)
BulkProfileUpdateOperator(task_id="with_literal", data=[row("l"), [{"thirdPartyId": "canary-literal", "tier": "x"}]],
                          **common)
BulkProfileUpdateOperator(task_id="mapped", data=rows.expand(name=["c", "d"]), **common)
BulkProfileUpdateOperator(task_id="mapped_row", data=row.expand(name=["e", "f"]), **common)
BulkProfileUpdateOperator(task_id="concat", data=rows("g").concat(rows("h")), **common)
BulkProfileUpdateOperator(task_id="concat_mapped", data=row.expand(name=["i"]).concat(row.expand(name=["j"])), **common)
BulkProfileUpdateOperator(task_id="map", data=row.expand(name=["k", "m"]).map(gold), **common)
BulkProfileUpdateOperator(task_id="zip", data=row.expand(name=["n", "o"]).zip(row.expand(name=["p", "q"])), **common)
BulkProfileUpdateOperator.partial(task_id="hidden", **common).expand(data=[[{"thirdPartyId": "canary-mapped", "a": 1}]])
Single(task_id="single", data=[rows("r"), row("s")], if_not_found="send")
"""

SENT = {
    "listed": ["a-0", "a-1", "b-0", "b-1"],
    "with_literal": ["l", "canary-literal"],
    "mapped": ["c-0", "c-1", "d-0", "d-1"],
    "mapped_row": ["e", "f"],
    "concat": ["g-0", "g-1", "h-0", "h-1"],
    "concat_mapped": ["i", "j"],
    "map": ["k", "m"],
    "zip": ["n", "p", "o", "q"],
    "single": ["r-0", "r-1", "s"],
}


def test_rows_of_several_tasks_are_one_source_and_show_nowhere(airflow, run_dag, sandbox):
    for profile_id in SENT["single"]:
        sandbox.put_profile(profile_id, {})
    run = run_dag(DAG)
    for task, ids in SENT.items():
        assert run.states[task] == "success", task
        assert run.result(task)["rows_read"] == run.result(task)["rows_sent"] == len(ids), task
        assert all(sandbox.profile(profile_id) for profile_id in ids), task
    assert sandbox.profile("k") == {"tier": "gold"}

    dags = [row for table, row in airflow.tables() if table == "serialized_dag" and run.dag_id in row]
    assert dags or IS_AIRFLOW_3_0  # its dag.test() does not store the DAG
    assert not [dag for dag in dags if "canary" in dag]
