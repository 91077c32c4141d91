"""``AdobeTargetNotifier`` as a callback of tasks, run by Airflow itself."""

from __future__ import annotations

import pytest
from airflow import __version__ as airflow_version

DAG = """
from airflow.providers.common.compat.sdk import BaseNotifier
from airflow_provider_adobe_target.notifications.adobe_target import AdobeTargetNotifier

folder = pathlib.Path(os.environ["FOLDER"])
rows = [{"thirdPartyId": "goldfinch-1", "tier": "gold"}, {"thirdPartyId": None, "tier": "goldfinch-2"}]

class FileNotifier(BaseNotifier):
    template_fields = ("name", "message")

    def __init__(self, name, message):
        super().__init__()
        self.name, self.message = name, message

    def notify(self, context):
        (folder / self.name).write_text(self.message)

def write(name):
    return lambda message: (folder / name).write_text(message)

def fails():
    raise ValueError("goldfinch-3")

other = FileNotifier("{{ ti.task_id }}", "<pre>{{ adobe_target_text }}</pre>{{ adobe_target_markdown }}")
both = AdobeTargetNotifier(notifier=other)
markdown = AdobeTargetNotifier(notifier=write("markdown"), message_format="markdown", title="Done on {{ ti.task_id }}")
common = dict(poll_interval=0.1, timeout=20)
for task_id, notifier in {"first": both, "second": both, "third": markdown, "logged": AdobeTargetNotifier()}.items():
    upload = BulkProfileUpdateOperator(
        task_id=task_id, data=rows, deferrable=task_id == "second", on_success_callback=notifier, **common
    )
failed = AdobeTargetNotifier(notifier=write("failed"))
BulkProfileUpdateOperator(
    task_id="failed", adobe_target_conn_id="failing", data=rows, on_failure_callback=failed, **common
)
BatchStatusSensor(
    task_id="sensor", batches=upload.output, poke_interval=0.1,
    on_success_callback=AdobeTargetNotifier(notifier=write("sensor")),
)
BulkProfileUpdateOperator.partial(task_id="mapped", on_success_callback=AdobeTargetNotifier(), **common).expand(
    data=[rows, rows[:1]]
)

@task.bulk_profile_update(on_failure_callback=AdobeTargetNotifier(notifier=write("other_error")))
def other_error():
    fails()

other_error()
"""


@pytest.fixture
def run(run_dag, open_sandbox, tmp_path):
    from support.real_airflow import connection

    failing = open_sandbox(fail_ids=("goldfinch-1",))
    return run_dag(DAG, FOLDER=str(tmp_path), AIRFLOW_CONN_FAILING=connection(failing))


def test_callbacks_pass_on_the_report(run, tmp_path, sandbox):
    assert {task for task, state in run.states.items() if state != "success"} == {"failed", "other_error"}
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert set(written) == {"first", "second", "markdown", "failed", "sensor", "other_error"}
    for name in ("first", "second"):
        assert f"<pre>Adobe Target: {run.dag_id}.{name} succeeded (" in written[name]
        assert "1 of 2 rows sent to Adobe Target (acme, thirdPartyId, v2)" in written[name]
        assert run.result(name)["batches"][0]["batch_id"] in written[name]
        assert "| missing\\_id | 1 |" in written[name]
        assert name in written[name].rpartition("Log: http")[2]
    assert written["markdown"].startswith("**Done on third**\n")
    assert "| Rows rejected | 1 |" in written["markdown"]
    assert f"{run.dag_id}.failed failed (" in written["failed"]
    assert "Batches: 1 (1 complete)" in written["failed"]
    if not airflow_version.startswith(("3.0.", "3.1.", "3.2.")):  # whose dag.test() passes no exception to callbacks
        assert "max_failed_pct" in written["failed"]
        assert "Error: ValueError" in written["other_error"]
    assert "Batches: 1 (1 complete)" in written["sensor"]
    assert "1 of 2 rows sent to Adobe Target" in run.log("logged")
    assert "mapped[1] succeeded" in run.output
    assert not any("goldfinch" in text for text in written.values())
