"""A run that was started by hand may have no logical date in Airflow 3, and its context none of the keys for it."""

from __future__ import annotations

from types import SimpleNamespace

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor
from support.real_airflow import connection


def test_operator_and_sensor_need_no_date_of_the_run(sandbox, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox))
    ti = SimpleNamespace(dag_id="dag", task_id="up", run_id="manual__2026", map_index=-1, xcom_push=lambda **_: None)
    context = {"ti": ti, "run_id": ti.run_id, "params": {}}
    rows = [{"thirdPartyId": "U1", "tier": "gold"}, {"thirdPartyId": "a/b", "tier": "gold"}]
    operator = BulkProfileUpdateOperator(
        task_id="up", data=rows, rejects_path=str(tmp_path), wait_for_completion=False, deferrable=False
    )
    operator.render_template_fields(context)
    report = operator.execute(context)
    sensor = BatchStatusSensor(task_id="sensor", batches=report, poke_interval=0.1, deferrable=False)
    sensor.render_template_fields(context)
    [batch] = sensor.execute(context)
    assert (report["rows_sent"], report["rows_rejected"], batch["status"]) == (1, 1, "complete")
    assert report["rejects_path"].startswith(str(tmp_path))
