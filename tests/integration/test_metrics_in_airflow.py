"""Metrics of tasks, received over a StatsD socket."""

from __future__ import annotations

import socket
from collections import Counter

import pytest

from airflow_provider_adobe_target.sandbox import Answer
from support.real_airflow import RealAirflow, connection

pytest.importorskip("statsd")

DAG = """
from airflow.providers.common.compat.sdk import AirflowSkipException

rows = [{"thirdPartyId": "goldfinch-1", "tier": "gold"}, {"thirdPartyId": None, "tier": "x"}]
common = dict(poll_interval=0.1, timeout=20)
upload = BulkProfileUpdateOperator(task_id="upload", data=rows, **common)
deferred = BulkProfileUpdateOperator(task_id="deferred", data=rows[:1], deferrable=True, **common)
dry = BulkProfileUpdateOperator(task_id="dry", data=rows, dry_run=True, **common)
empty = BulkProfileUpdateOperator(task_id="empty", data=[], on_no_rows="skip", **common)
failed = BulkProfileUpdateOperator(task_id="failed", data=rows, skip_invalid_records=False, **common)
upload >> deferred >> dry >> empty
"""


@pytest.fixture
def statsd():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        yield receiver


@pytest.fixture
def airflow(statsd, tmp_path, monkeypatch):
    options = {"ON": "True", "HOST": "127.0.0.1", "PORT": str(statsd.getsockname()[1]), "INFLUXDB_ENABLED": "True"}
    with RealAirflow(tmp_path / "home").started(
        **{f"AIRFLOW__METRICS__STATSD_{name}": value for name, value in options.items()}
    ) as started:
        yield started


def received(statsd) -> Counter[tuple[str, str]]:
    """Return the sum of each counter by name and task."""
    statsd.settimeout(1)
    sums: Counter[tuple[str, str]] = Counter()
    texts = []
    while True:
        try:
            texts.append(statsd.recv(65_535).decode())
        except TimeoutError:
            break
    for line in "\n".join(texts).splitlines():
        name, _, value = line.partition(":")
        name, *tags = name.split(",")
        if name.startswith("airflow.adobe_target."):
            tag = dict(item.split("=") for item in tags)
            assert set(tag) == {"dag_id", "task_id", "operator"}
            sums[name.removeprefix("airflow.adobe_target."), tag["task_id"]] += float(value.split("|")[0])
    assert "goldfinch" not in "".join(texts)
    return sums


def test_rows_batches_and_outcomes_are_counted(airflow, statsd, sandbox):
    run = airflow.run(DAG, AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox))

    assert (run.states["deferred"], run.states["empty"], run.states["failed"]) == ("success", "skipped", "failed")
    found = received(statsd)
    size = run.result("upload")["batches"][0]["bytes"]
    counts = {"rows_read": 2, "rows_sent": 1, "rows_rejected": 1, "batches": 1, "rows_updated": 1, "bytes": size}
    of_upload = {name: count for (name, task), count in found.items() if task == "upload"}
    assert {name: of_upload.get(name) for name in counts} == counts
    outcomes = {(name, task) for name, task in found if name.startswith("runs_")}
    assert outcomes == {
        ("runs_partial", "upload"),
        ("runs_complete", "deferred"),
        ("runs_dry_run", "dry"),
        ("runs_skipped", "empty"),
        ("runs_failed", "failed"),
    }
    assert found["batches", "deferred"] == found["rows_sent", "deferred"] == 1
    assert found["batches", "dry"] == 0


def test_calls_throttles_and_waits_are_counted(airflow, statsd, sandbox):
    sandbox.script("submit", Answer(503, headers={"Retry-After": "1"}))
    source = 'BulkProfileUpdateOperator(task_id="upload", data=[{"thirdPartyId": "a", "tier": "x"}], poll_interval=0.1)'
    airflow.run(source, AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox))
    found = received(statsd)
    assert found["throttles", "upload"] == 1
    assert found["calls", "upload"] == len(sandbox.calls) >= 3
    assert 1_000 <= found["wait_time", "upload"] < 60_000
