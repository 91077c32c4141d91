"""The five ways to wait, run by Airflow itself; ``test_wait_modes.py`` holds the whole table."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from support.real_airflow import connection

WAYS = ("worker", "deferrable", "poke", "reschedule", "deferred")
BEHAVIOURS = {
    "good": ({}, None, ""),
    "failing": ({"fail_ids": ("U1",)}, None, "max_failed_pct"),
    "stuck": ({"final_status": "stuck"}, None, "stuck"),
    "refusing": ({}, Answer(403, "no"), "token"),
}
DAG = """
rows = [{"thirdPartyId": "U1", "tier": "gold"}, {"thirdPartyId": "U2", "tier": "silver"}]
for name in os.environ["BEHAVIOURS"].split():
    upload = dict(data=rows, max_rows_per_file=1, adobe_target_conn_id=name, poll_interval=0.2)
    sensor = dict(adobe_target_conn_id=name, poke_interval=0.2)
    BulkProfileUpdateOperator(task_id=f"{name}_worker", **upload, deferrable=False)
    BulkProfileUpdateOperator(task_id=f"{name}_deferrable", **upload, deferrable=True)
    sent = BulkProfileUpdateOperator(task_id=f"{name}_sent", **upload, wait_for_completion=False)
    BatchStatusSensor(task_id=f"{name}_poke", batches=sent.output, deferrable=False, mode="poke", **sensor)
    BatchStatusSensor(
        task_id=f"{name}_reschedule", batches=sent.output["batches"], deferrable=False, mode="reschedule", **sensor
    )
    BatchStatusSensor(task_id=f"{name}_deferred", batches=sent.output, deferrable=True, **sensor)
"""


@pytest.fixture(scope="module")
def run(airflow):
    environment = {"BEHAVIOURS": " ".join(BEHAVIOURS)}
    with ExitStack() as opened:
        for name, (settings, script, _) in BEHAVIOURS.items():
            sandbox = opened.enter_context(
                Sandbox(token="t0ken", processing_seconds=0.5, calls_per_minute=None, **settings)
            )
            if script:
                sandbox.script("status", script, forever=True)
            environment[f"AIRFLOW_CONN_{name.upper()}"] = connection(sandbox)
        yield airflow.run(DAG, **environment)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_every_wait_mode_ends_as_the_status_requires(run, behaviour, way):
    task = f"{behaviour}_{way}"
    word = BEHAVIOURS[behaviour][2]
    assert run.states[task] == ("failed" if word else "success"), run.log(task)
    assert word in run.log(task)


@pytest.mark.parametrize("way", WAYS)
def test_every_wait_mode_returns_the_same_batches(run, way):
    returned = run.result(f"good_{way}")
    batches = returned if isinstance(returned, list) else returned["batches"]
    assert [(batch["status"], batch["rows"], batch["batch_size"]) for batch in batches] == [("complete", 1, 1)] * 2
    assert [batch["sha256"] for batch in batches] == [batch["sha256"] for batch in run.xcoms["good_sent"]["batches"]]


@pytest.mark.parametrize("behaviour", ["good", "failing", "stuck"])
@pytest.mark.parametrize("way", ["worker", "deferrable"])
def test_the_final_batches_have_their_own_xcom_key(run, behaviour, way):
    batches = run.xcoms[f"{behaviour}_{way}"]["batches"]
    assert {batch["status"] for batch in batches} == {"stuck" if behaviour == "stuck" else "complete"}


def test_only_poke_mode_occupies_the_worker_between_polls(run_dag, sandbox):
    incomplete = Answer(200, "<response><status>incomplete</status></response>")
    sandbox.script("status", *[incomplete, Answer.real(), incomplete, incomplete, Answer.real()] * 2)
    run = run_dag(
        """
        sent = BulkProfileUpdateOperator(task_id="sent", data=[{"pcId": "1.1_0", "a": 1}], wait_for_completion=False)
        ways = {
            "rescheduled": {"mode": "reschedule", "deferrable": False},
            "poked": {"deferrable": False},
            "deferred": {"deferrable": True},
        }
        before = sent
        for task_id, way in ways.items():
            sensor = BatchStatusSensor(task_id=task_id, batches=sent.output, poke_interval=0.3, **way)
            before >> sensor
            before = sensor
        """,
        AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox, extra={"uses_ecid": False}),
    )
    assert set(run.states.values()) == {"success"}
    executions = {way: run.log(way).count("[DAG TEST] running task") for way in ("rescheduled", "poked", "deferred")}
    assert executions == {"rescheduled": 2, "poked": 1, "deferred": 2}
