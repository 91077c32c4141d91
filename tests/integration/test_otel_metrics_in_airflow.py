"""Metrics of tasks, received by an OpenTelemetry collector as OTLP over HTTP."""

from __future__ import annotations

import pytest

from airflow_provider_adobe_target.sandbox import Answer
from support.real_airflow import IS_AIRFLOW_3_0, RealAirflow, connection

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="Airflow needs it to send OpenTelemetry metrics")

from support.otel_collector import otel_collector

DAG = """
rows = [{"thirdPartyId": "goldfinch-1", "tier": "gold"}, {"thirdPartyId": None, "tier": "x"}]
BulkProfileUpdateOperator(task_id="upload", data=rows, poll_interval=0.1, timeout=20)
"""


@pytest.mark.skipif(IS_AIRFLOW_3_0, reason="Airflow 3.0 sends no times")
def test_counts_and_times_arrive_with_their_documented_names(tmp_path, sandbox):
    sandbox.script("submit", Answer(503, headers={"Retry-After": "1"}))
    with otel_collector() as collector:
        host, port = collector.url.removeprefix("http://").split(":")
        settings = {"ON": "True", "HOST": host, "PORT": port, "INTERVAL_MILLISECONDS": "60000"}
        with RealAirflow(tmp_path / "home").started(
            **{f"AIRFLOW__METRICS__OTEL_{name}": value for name, value in settings.items()}
        ) as airflow:
            run = airflow.run(DAG, AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox))
    assert run.states == {"upload": "success"}
    found = {name.removeprefix("airflow.adobe_target."): value for (name, _), value in collector.series().items()}
    wait_time = found.pop("wait_time")
    assert 1_000 <= wait_time < 60_000
    assert found == {
        "rows_read": 2,
        "rows_sent": 1,
        "rows_rejected": 1,
        "rows_updated": 1,
        "batches": 1,
        "bytes": run.result("upload")["batches"][0]["bytes"],
        "calls": len(sandbox.calls),
        "throttles": 1,
        "runs_partial": 1,
    }
    assert collector.tag_names() == {"dag_id", "task_id", "operator"}
    assert not any(b"goldfinch" in body for body in collector.bodies)
