"""Upload with an archive and replay it, run by Airflow itself, in the worker and in the triggerer."""

from __future__ import annotations

import pytest

from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from support.real_airflow import connection

STUCK = Answer(200, "<response><status>stuck</status><batchSize>1</batchSize></response>")
REAL = Answer.real()
DAG = """
from airflow_provider_adobe_target.operators.adobe_target import ReplayBatchesOperator

for way in ("worker", "deferrable"):
    common = dict(adobe_target_conn_id=way, poll_interval=0.2, deferrable=way == "deferrable")
    upload = BulkProfileUpdateOperator(
        task_id=f"upload_{way}",
        data=[{"thirdPartyId": f"SECRET-{n}", "tier": "gold"} for n in range(3)],
        max_rows_per_file=1,
        max_concurrent_uploads=1,
        archive_path=os.environ["ARCHIVE"] + "/{{ ti.task_id }}",
        **common,
    )
    replay = ReplayBatchesOperator(
        task_id=f"replay_{way}",
        archive_path=os.environ["ARCHIVE"] + f"/upload_{way}",
        run_id="{{ run_id }}",
        trigger_rule="all_done",
        **common,
    )
    upload >> replay
"""


@pytest.fixture(scope="module")
def run(airflow, tmp_path_factory):
    with (
        Sandbox(token="t0ken", processing_seconds=0, calls_per_minute=None) as worker,
        Sandbox(token="t0ken", processing_seconds=0, calls_per_minute=None) as deferrable,
    ):
        for sandbox in (worker, deferrable):
            sandbox.script("status", REAL, STUCK, REAL)
        environment = {
            "ARCHIVE": str(tmp_path_factory.mktemp("archive")),
            "AIRFLOW_CONN_WORKER": connection(worker),
            "AIRFLOW_CONN_DEFERRABLE": connection(deferrable),
        }
        yield airflow.run(DAG, **environment)


@pytest.mark.parametrize("way", ["worker", "deferrable"])
def test_a_stuck_batch_is_sent_again_from_the_archive(run, way):
    assert run.states[f"upload_{way}"] == "failed"
    assert run.states[f"replay_{way}"] == "success", run.log(f"replay_{way}")
    report = run.result(f"replay_{way}")
    batches = run.xcoms[f"upload_{way}"]["batches"]
    assert report["replay_of"] == [batch["batch_id"] for batch in batches if batch["status"] == "stuck"]
    assert [batch["status"] for batch in report["batches"]] == ["complete"]
    assert "SECRET" not in run.log(f"replay_{way}")
