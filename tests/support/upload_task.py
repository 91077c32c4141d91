"""One task instance of the bulk operator, which can be retried and deferred in one process."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:
    from airflow.exceptions import TaskDeferred

ROWS = [{"thirdPartyId": f"U{number}", "tier": "gold" * number} for number in range(1, 6)]

WAITING = pytest.mark.parametrize(
    "waiting",
    [{"deferrable": False}, {"deferrable": True}, {"guaranteed_upload": True}],
    ids=["in the worker", "deferred", "after each file"],
)


class FastClock(clock.SystemClock):
    """Clock whose sleeps are short, and whose time continues as if they were not."""

    def __init__(self):
        self.skipped = 0.0

    def now(self):
        return super().now() + self.skipped

    def monotonic(self):
        return super().monotonic() + self.skipped

    def sleep(self, seconds):
        super().sleep(min(seconds, 0.02))
        self.skipped += max(0.0, seconds - 0.02)

    async def asleep(self, seconds):
        await super().asleep(min(seconds, 0.02))
        self.skipped += max(0.0, seconds - 0.02)


class UploadTask:
    """One task instance, of which :meth:`run` is one try."""

    def __init__(self, tmp_path, **arguments):
        self.arguments = {
            "data": ROWS,
            "max_rows_per_file": 1,
            "max_concurrent_uploads": 1,
            "poll_interval": 0.01,
            "deferrable": False,
            "checkpoint_path": str(tmp_path / "receipts.json"),
            **arguments,
        }
        self.pushed = {}
        ti = SimpleNamespace(dag_id="dag", task_id="up", run_id="run", map_index=-1)
        ti.xcom_push = lambda key, value: self.pushed.update({key: value})
        ti.xcom_pull = lambda task_ids, key, map_indexes: self.pushed.get(key)
        self.context = {"ti": ti}

    def run(self, **arguments):
        self.pushed.clear()
        operator = BulkProfileUpdateOperator(task_id="up", **{**self.arguments, **arguments})
        try:
            return operator.execute(self.context)
        except TaskDeferred as deferred:
            return self.resume(operator, deferred)

    def resume(self, operator, deferred):
        """Run the trigger, then resume the task."""

        async def event():
            async for event in deferred.trigger.run():
                return json.loads(json.dumps(event.payload))

        try:
            method = getattr(operator, deferred.method_name)
            return method(self.context, asyncio.run(event()), **(deferred.kwargs or {}))
        except TaskDeferred as again:
            return self.resume(operator, again)
