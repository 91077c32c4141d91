"""Many tasks, each with a budget of its own, on one account: what the sandbox counts in a minute.

The tasks take turns on one clock, which moves when all of them wait.
"""

from __future__ import annotations

import heapq
import math
from itertools import count

import pytest

from airflow_provider_adobe_target.sandbox import Sandbox
from airflow_provider_adobe_target.target.budget import CallBudget
from airflow_provider_adobe_target.target.flows import poll_once, submit_batch, wait_for_batches
from airflow_provider_adobe_target.target.outcomes import Batch
from airflow_provider_adobe_target.target.protocol import BatchBody, Wait
from airflow_provider_adobe_target.target.settings import TargetSettings
from airflow_provider_adobe_target.target.transports import RequestsTransport

INTERVAL = 60


class TurnClock:
    """Time, as the one who drives the tasks sets it."""

    def __init__(self):
        self.time = 1_767_225_600.0

    def now(self):
        return self.time

    monotonic = now


class Account:
    """The tasks of one Adobe account: what each does, and when."""

    def __init__(self, sandbox, clock, body):
        self.sandbox, self._clock, self._body = sandbox, clock, body
        self._settings = TargetSettings.from_fields("acme", None, sandbox.url, None, {})
        self._sent = []

    def upload(self, files, share, *, waits=False):
        """A mapped task: it sends its files, and ends there or waits for them."""
        budget, sent = CallBudget(share, self._clock), []
        for _ in range(files):
            receipt = yield from submit_batch(self._settings, budget, self._clock, self._body)
            sent.append(Batch.submitted(receipt, rows=1, bytes=self._body.size, sha256=""))
        self._sent += sent
        if waits:
            yield from self._wait_for(sent, budget)

    def slot(self, tasks):
        """A slot of a pool: one mapped task after the other, with the pause that Airflow makes."""
        for task in tasks:
            yield from task
            yield Wait(5)

    def sensor(self, mode, expected, share):
        """A sensor that begins when the last file is there."""
        while len(self._sent) < expected:
            yield Wait(0.1)
        budget = CallBudget(share, self._clock)
        batches = yield from poll_once(self._settings, budget, self._clock, self._sent)
        while not all(batch.final for batch in batches):
            if mode == "deferrable":
                return (yield from self._wait_for(batches, CallBudget(share, self._clock)))
            yield Wait(INTERVAL)
            if mode == "reschedule":  # another process, which knows nothing of the one before
                budget, batches = CallBudget(share, self._clock), self._sent
            batches = yield from poll_once(self._settings, budget, self._clock, batches)

    def _wait_for(self, batches, budget):
        return wait_for_batches(self._settings, budget, self._clock, batches, INTERVAL, math.inf)

    def run(self, *tasks):
        """Drive the tasks to their ends, whoever is first in time first."""
        numbers = count()
        turns = [(self._clock.time, next(numbers), task) for task in tasks]
        with RequestsTransport(self._settings) as transport:
            while turns:
                self._clock.time, _, task = heapq.heappop(turns)
                answer = None
                try:
                    while not isinstance(command := task.send(answer), Wait):
                        answer = transport.send(command.request)
                except StopIteration:
                    continue
                heapq.heappush(turns, (self._clock.time + command.seconds, next(numbers), task))

    def most_calls_in_a_minute(self):
        times = [call.at for call in self.sandbox.calls]
        return max(sum(begin <= at < begin + 60 for at in times) for begin in times)

    def refusals(self):
        return sum(call.status == 503 for call in self.sandbox.calls)


@pytest.fixture
def account(tmp_path):
    file = tmp_path / "batch"
    file.write_bytes(b"batch=thirdPartyId,tier\nU1,gold")
    clock = TurnClock()
    with Sandbox(clock=clock.now, processing_seconds=100) as sandbox:
        yield Account(sandbox, clock, BatchBody(file, file.stat().st_size))


@pytest.mark.parametrize(
    ("limit", "uploads", "mode"),
    [(50, 4, "reschedule"), (12, 3, "poke"), (12, 3, "reschedule"), (12, 3, "deferrable"), (12, 5, "deferrable")],
)
def test_a_share_of_the_limit_for_each_upload_and_the_sensor_keeps_the_limit(account, limit, uploads, mode):
    account.sandbox.settings.calls_per_minute = limit
    share = limit // (uploads + 1)
    files = share + 1
    account.run(*(account.upload(files, share) for _ in range(uploads)), account.sensor(mode, uploads * files, share))
    assert len(account.sandbox.batches) == uploads * files
    assert account.refusals() == 0
    assert uploads * share <= account.most_calls_in_a_minute() <= limit


def test_half_a_share_for_each_slot_keeps_the_limit_where_tasks_wait_for_their_files(account):
    limit, slots, tasks = 12, 2, 3
    account.sandbox.settings.calls_per_minute = limit
    share = limit // (2 * slots)
    account.run(*(account.slot(account.upload(share, share, waits=True) for _ in range(tasks)) for _ in range(slots)))
    assert len(account.sandbox.batches) == slots * tasks * share
    assert account.refusals() == 0


def test_a_share_for_each_slot_is_too_much_where_tasks_are_short(account):
    limit, slots, tasks = 12, 2, 3
    account.sandbox.settings.calls_per_minute = limit
    share = limit // (slots + 1)
    account.run(*(account.slot(account.upload(share, share) for _ in range(tasks)) for _ in range(slots)))
    assert account.refusals() > 0


def test_tasks_that_each_take_all_50_calls_are_refused_then_wait_and_lose_nothing(account):
    account.run(*(account.upload(20, 50) for _ in range(3)))
    statuses = [call.status for call in account.sandbox.calls]
    assert statuses == [200] * 50 + [503] + [200] * 10
    assert account.sandbox.calls[51].at - account.sandbox.calls[50].at == 65
    assert len(account.sandbox.batches) == 3 * 20
