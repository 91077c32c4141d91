"""The retry policy in a real Airflow."""

from __future__ import annotations

import json

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_adobe_target.sandbox import Answer

pytestmark = pytest.mark.skipif(
    tuple(map(int, airflow_version.split(".")[:2])) < (3, 3), reason="Airflow has retry_policy from 3.3 on"
)

SOURCE = """
    from airflow_provider_adobe_target.exceptions import AdobeTargetUnavailableError
    from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
    from airflow_provider_adobe_target.policies.retry import AdobeTargetRetryPolicy

    policy = AdobeTargetRetryPolicy()
    file = pathlib.Path(os.environ["AIRFLOW_HOME"], "batch.txt")
    file.write_text("batch=thirdPartyId,tier\\nU1,gold")

    @task(retries=1, retry_delay=datetime.timedelta(hours=1), retry_policy=policy)
    def patient(ti=None):
        if ti.try_number == 1:
            raise AdobeTargetUnavailableError("not now", retry_after=2)

    @task(retries=1, retry_delay=datetime.timedelta(0), retry_policy=policy)
    def refused():
        AdobeTargetHook().upload_batch(file)

    upload = BulkProfileUpdateOperator.partial(task_id="upload", retries=1, retry_policy=policy)
    patient() >> upload.expand(data=[[{"thirdPartyId": "U1", "tier": "gold"}]]) >> refused()
"""


def test_retry_after_delays_a_retry_and_final_errors_get_none(airflow, run_dag, sandbox):
    sandbox.script("submit", Answer.real(), Answer(403))
    dag = run_dag(SOURCE)
    tasks = {
        task: rest
        for task, *rest in airflow.query(
            "SELECT task_id, state, try_number, retry_delay_override FROM task_instance WHERE dag_id = ?", dag.dag_id
        )
    }
    assert tasks["patient"][:2] == ["success", 2]
    assert "Adobe Target throttled the request; retry after 2 seconds" in dag.log("patient")
    assert tasks["upload"][:2] == ["success", 1]
    assert tasks["refused"] == ["failed", 1, None]
    assert "TokenRefusedError is permanent; a retry cannot succeed" in dag.log("refused")
    [(stored,)] = airflow.query("SELECT data FROM serialized_dag WHERE dag_id = ?", dag.dag_id)
    assert json.dumps(json.loads(stored)).count('"has_retry_policy": true') == 3
