"""``execution_timeout`` of tasks that look again and again, deferred in between."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred

from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator
from airflow_provider_adobe_target.sandbox import Sandbox
from airflow_provider_adobe_target.sensors.adobe_target import ProfileLandingSensor


class Clock(clocks.SystemClock):
    """A clock that the test moves."""

    moved = 0.0

    def now(self):
        return super().now() + self.moved

    def monotonic(self):
        return super().monotonic() + self.moved


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(clocks, "SYSTEM", clock)
    return clock


@pytest.fixture
def _connection(monkeypatch):
    with Sandbox(token="t0ken-of-the-tests") as sandbox:
        fields = {"login": "acme", "host": sandbox.url, "password": sandbox.settings.token}
        connection = {"conn_type": "adobe_target", **fields}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
        yield


def landing(**arguments):
    rows = [{"customer": "UNKNOWN", "tier": "gold"}]
    return ProfileLandingSensor(task_id="landed", data=rows, id_column="customer", poke_interval=600, **arguments)


def update(**arguments):
    return SingleProfileUpdateOperator(
        task_id="update",
        profile_id="UNKNOWN",
        attributes={"tier": "gold"},
        if_not_found="wait",
        poll_interval=600,
        **arguments,
    )


@pytest.mark.usefixtures("_connection")
@pytest.mark.parametrize("make", [landing, update])
def test_execution_timeout_ends_a_repeatedly_deferred_task(make, clock):
    limit = timedelta(minutes=25)
    begun = clock.now()
    with pytest.raises(TaskDeferred) as deferral:
        make(deferrable=True, execution_timeout=limit).execute({})
    assert limit <= deferral.value.timeout <= limit + timedelta(minutes=2)
    for _ in range(2):
        deferral = resumed(make(deferrable=True, execution_timeout=limit), deferral, clock, TaskDeferred)
    resumed(make(deferrable=True, execution_timeout=limit), deferral, clock, AirflowTaskTimeout)
    assert clock.now() - begun == pytest.approx(limit.total_seconds(), abs=30)


def resumed(task, deferral, clock, ends_as):
    """Continue where the trigger ends, and return how that ends."""
    _, trigger = deferral.value.trigger.serialize()
    clock.moved += max(0.0, trigger["moment"] - clock.now())
    with pytest.raises(ends_as) as end:
        # Like dag.test(), which passes nothing but the event of the trigger.
        task.execute_complete({}, {"deadline": trigger["deadline"], "ends_at": trigger["ends_at"]})
    return end
