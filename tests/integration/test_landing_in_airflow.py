"""The landing of an upload's profiles, in a real Airflow."""

from __future__ import annotations

SOURCE = """
from airflow_provider_adobe_target.sensors.adobe_target import ProfileLandingSensor

@task(show_return_value_in_logs=False)
def customers():
    return [{"thirdPartyId": f"canary-id-{n}", "tier": "canary-value"} for n in range(5)]

rows = customers()
upload = BulkProfileUpdateOperator(task_id="upload", data=rows, poll_interval=0.1)
common = dict(data=rows, poke_interval=0.3)
poked = ProfileLandingSensor(task_id="poked", deferrable=False, **common)
rescheduled = ProfileLandingSensor(task_id="rescheduled", deferrable=False, mode="reschedule", **common)
deferred = ProfileLandingSensor(task_id="deferred", deferrable=True, **common)
upload >> [poked, rescheduled, deferred]

@task(show_return_value_in_logs=False)
def others():
    return [{"thirdPartyId": "canary-id-0", "tier": "canary-other"}]

other = others()
poked >> rescheduled >> deferred >> other
late = dict(data=other, poke_interval=0.2, timeout=0.5)
ProfileLandingSensor(task_id="never", deferrable=True, **late)
ProfileLandingSensor(task_id="never_mind", deferrable=True, soft_fail=True, **late)
"""


def test_every_wait_mode_sees_the_profiles_and_shows_no_id(airflow, run_dag, open_sandbox, sandbox):
    sandbox.settings.visible_after_seconds = 3
    run = run_dag(SOURCE)

    assert {task: run.states[task] for task in ("poked", "rescheduled", "deferred", "never", "never_mind")} == {
        "poked": "success",
        "rescheduled": "success",
        "deferred": "success",
        "never": "failed",
        "never_mind": "skipped",
    }
    whole = {"sampled": 5, "landed": 5, "not_found": 0, "different": 0}
    assert [run.result(task) for task in ("poked", "rescheduled", "deferred")] == [whole] * 3
    upstream = {"customers", "others"}
    leaks = {
        table
        for table, row in airflow.tables()
        if ("canary-id" in row or "canary-value" in row) and run.dag_id in row and not upstream & set(row.split())
    }
    assert leaks <= {"dag_code"}
