"""Files of refused ids, which a sensor writes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sandbox import Sandbox
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor

ROWS = [
    {"third_party_id": "U1", "pc_id": None, "tier": "gold"},
    {"third_party_id": None, "pc_id": "p2.28_0", "tier": "gold"},
]


@pytest.mark.parametrize(("fallback", "rows", "column"), [("pc_id", ROWS, "id"), (None, ROWS[:1], "thirdPartyId")])
def test_ids_of_two_types_are_in_a_column_without_a_type(tmp_path, monkeypatch, fallback, rows, column):
    with Sandbox(processing_seconds=0, calls_per_minute=None, fail_ids=("U1", "p2.28_0")) as sandbox:
        connection = {"conn_type": "adobe_target", "login": "acme", "host": sandbox.url, "extra": {"uses_ecid": False}}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
        ti = SimpleNamespace(
            dag_id="d", task_id="t", run_id="r", map_index=-1, xcom_push=lambda key, value: None, start_date=None
        )
        report = BulkProfileUpdateOperator(
            task_id="up",
            data=rows,
            id_column="third_party_id",
            fallback_id_column=fallback,
            attributes=["tier"],
            wait_for_completion=False,
            durable=False,
        ).execute({"ti": ti, "run_id": "r"})
        sensor = BatchStatusSensor(
            task_id="t", batches=report, rejects_path=str(tmp_path), max_failed_pct=100, deferrable=False
        )
        sensor.poke({"ti": ti})
    [file] = tmp_path.glob("refused-*.parquet")
    table = pq.read_table(file)
    assert column in table.schema.names
    assert sorted(table[column].to_pylist()) == (["U1", "p2.28_0"] if fallback else ["U1"])
