"""Upload and wait for the batches in each of the five ways: worker, deferrable, poke, reschedule, deferred.

The sandbox answers over sockets; only the clock is not real. What Airflow does around a task is done here as Airflow
does it: a sensor in reschedule mode is a new object at each poke, a trigger is built from what it serialised.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    BaseSensorOperator,
    TaskDeferred,
)

from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sandbox import Answer
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor

try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:
    from airflow.exceptions import AirflowRescheduleException

ROWS = [{"thirdPartyId": f"U{number}", "tier": "gold"} for number in range(1, 11)]
GOOD = ("complete", 10, 10, 10, 0, 0)
HOUR = 3600


@dataclass(frozen=True)
class Case:
    """What Adobe Target says, and the verdict.

    :param says: settings of the sandbox.
    :param script: answers to the first polls; the sandbox's own come after them.
    :param forever: whether the last of them is repeated without end.
    :param limits: arguments of operator and sensor.
    :param api_version: of the upload.
    :param raises: what Airflow gets to see; None for a success.
    :param word: stands in the message, or in the warning of a success; ``{id}`` is the batch id.
    :param ends_as: of a success: status, batchSize, consumed, successful, not found, failed.
    """

    says: dict[str, Any] = field(default_factory=dict)
    script: tuple[Answer, ...] = ()
    forever: bool = False
    limits: dict[str, Any] = field(default_factory=dict)
    api_version: str = "v2"
    raises: type[Exception] | None = None
    word: str = ""
    ends_as: tuple[Any, ...] = GOOD


class FakeClock:
    """Time that passes only during a sleep. It also replaces ``time`` of Airflow's sensors."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def now(self) -> float:
        return self.seconds

    time = monotonic = now

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)

    def utcnow(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, timezone.utc)


class StandIn:
    """What a task instance is to operator and sensor."""

    dag_id, task_id, run_id, map_index, try_number, max_tries = "dag", "task", "run", -1, 1, 0

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}
        self.first_start: datetime | None = None

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        self.pushed[key] = json.loads(json.dumps(value))

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        return self.pushed.get(key) if (task_ids, map_indexes) == (self.task_id, self.map_index) else None

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_start


def use_fake_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Replace the clocks of the provider and of the sensors of Airflow."""
    clock = FakeClock()
    monkeypatch.setattr(clocks, "SYSTEM", clock)
    sensors = sys.modules[BaseSensorOperator.__module__]
    monkeypatch.setattr(sensors, "time", clock)
    monkeypatch.setattr(sensors, "timezone", clock)
    return clock


def task_context(monkeypatch: pytest.MonkeyPatch) -> dict[str, StandIn]:
    """Return the context of a task."""
    ti = StandIn()
    sensors = sys.modules[BaseSensorOperator.__module__]
    if hasattr(sensors, "_orig_start_date"):  # Airflow 2 asks its database
        monkeypatch.setattr(sensors, "_orig_start_date", lambda *_, **__: ti.first_start)
    return {"ti": ti}


def upload(case: Case, **arguments: Any) -> BulkProfileUpdateOperator:
    return BulkProfileUpdateOperator(
        task_id="upload",
        data=ROWS,
        api_version=case.api_version,
        **{"deferrable": False, "timeout": HOUR, **case.limits, **arguments},
    )


def sensor(case: Case, batches: Any, **arguments: Any) -> BatchStatusSensor:
    return BatchStatusSensor(
        task_id="sensor", batches=batches, **{"deferrable": False, "timeout": HOUR, **case.limits, **arguments}
    )


def deferred(make: Any, context: Any) -> Any:
    """Execute, and do what Airflow does with a task that defers itself: nothing of the first object is left."""
    try:
        return make().execute(context)
    except TaskDeferred as deferral:
        path, arguments = deferral.trigger.serialize()
        module, _, name = path.rpartition(".")
        trigger = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))
        event = json.loads(json.dumps(asyncio.run(first_event(trigger)).payload))
        assert max(len(json.dumps(stored)) for stored in (arguments, event)) < 1_000
        # Like dag.test(), which drops other arguments of the method.
        return make().resume_execution(deferral.method_name, {"event": event}, context)


async def first_event(trigger: Any) -> Any:
    events = trigger.run()
    try:
        return await anext(events)
    finally:
        await events.aclose()


def rescheduled(make: Any, context: Any, clock: FakeClock) -> Any:
    context["ti"].first_start = None
    while True:
        start = clock.utcnow()
        try:
            return make().execute(context)
        except AirflowRescheduleException as later:
            context["ti"].first_start = context["ti"].first_start or start
            clock.sleep((later.reschedule_date - clock.utcnow()) / timedelta(seconds=1))


def wait(way: str, case: Case, context: Any, clock: FakeClock, **flags: Any) -> list[dict[str, Any]]:
    """Upload and wait in one of the five ways; return the batches."""
    if way == "worker":
        return upload(case).execute(context)["batches"]
    if way == "deferrable":
        return deferred(lambda: upload(case, deferrable=True), context)["batches"]
    batches = json.loads(json.dumps(upload(case, wait_for_completion=False).execute(context)["batches"]))
    if way == "deferred":
        return deferred(lambda: sensor(case, batches, deferrable=True, **flags), context)
    if way == "reschedule":
        return rescheduled(lambda: sensor(case, batches, mode="reschedule", **flags), context, clock)
    return sensor(case, batches, mode="poke", **flags).execute(context)


WAYS = ("worker", "deferrable", "poke", "reschedule", "deferred")
