"""Wrong arguments of mapped tasks, which Airflow constructs when they run, in a real Airflow."""

from __future__ import annotations

DAG = """
from airflow_provider_adobe_target.operators.adobe_target import IdentityLinkOperator, SingleProfileUpdateOperator
rows = [{"thirdPartyId": "U1", "tier": "gold"}]

@task
def wrong(value):
    return [value]

common = dict(retries=2, retry_delay=0)
BulkProfileUpdateOperator.partial(task_id="choice", data=rows, **common).expand(api_version=["v9"])
BulkProfileUpdateOperator.partial(task_id="bound", data=rows, **common).expand(max_rows_per_file=wrong(0))
SingleProfileUpdateOperator.partial(task_id="sources", data=rows, **common).expand(profile_id=["U1"])
IdentityLinkOperator.partial(task_id="duration", data=rows, **common).expand(max_concurrent_calls=wrong("many"))
"""


def test_wrong_values_of_mapped_tasks_fail_without_a_retry(airflow, run_dag, sandbox):
    run = run_dag(DAG)
    for task in ("choice", "bound", "sources", "duration"):
        assert run.states[(task, 0)] == "failed", task
    for words in (
        "api_version='v9' is not one of 'v1', 'v2'",
        "max_rows_per_file must be between 1 and 499,999",
        "Give one of profile_id, data, sql and path",
        "max_concurrent_calls must be a whole number between 1 and 50",
    ):
        assert words in run.output
    tries = airflow.query("SELECT max(try_number) FROM task_instance WHERE dag_id = ? AND map_index >= 0", run.dag_id)
    assert [number for (number,) in tries] == [1]
    assert sandbox.calls == []
