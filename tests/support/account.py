"""Tasks that use one Adobe account against the sandbox, in simulated time."""

from __future__ import annotations

import heapq
import math
from itertools import count

from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.endpoints.batch_status import poll_once, wait_for_batches
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_batch
from airflow_provider_adobe_target.client.protocol import Wait
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.client.rate_limit.store import FileStore
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.transports.requests import RequestsTransport

INTERVAL = 60


class Account:
    """The tasks of one Adobe account: what each does, on which machine, and when."""

    def __init__(self, sandbox, clock, body, folder):
        self.sandbox, self.clock, self._body, self._folder = sandbox, clock, body, folder
        self._settings = TargetSettings.from_fields("acme", None, sandbox.url, None, {})
        self._sent = []

    def budget(self, calls_per_minute, machine="one"):
        """Return the budget of a process that begins on a machine."""
        folder = self._folder / machine
        folder.mkdir(exist_ok=True)
        return RateLimiter(calls_per_minute, self.clock, FileStore(folder, "account"))

    def upload(self, files, calls_per_minute, *, machine="one", until=math.inf, waits=False):
        """A mapped task: it sends its files, and ends there or waits for them."""
        budget, sent = self.budget(calls_per_minute, machine), []
        for _ in range(files):
            if self.clock.time >= until:
                break
            sent.append((yield from submit_batch(CallContext(self._settings, budget, self.clock), self._body)))
        self._sent += sent
        if waits:
            yield from self._wait_for(sent, budget)

    def slot(self, tasks):
        """A slot of a pool: one task after the other, with the pause that Airflow makes."""
        for task in tasks:
            yield from task
            yield Wait(5)

    def sensor(self, mode, expected, calls_per_minute):
        """A sensor that begins when the last file is there."""
        while len(self._sent) < expected:
            yield Wait(0.1)
        budget = self.budget(calls_per_minute)
        batches = yield from poll_once(CallContext(self._settings, budget, self.clock), self._sent)
        while not all(batch.final for batch in batches):
            if mode == "deferrable":
                return (yield from self._wait_for(batches, self.budget(calls_per_minute)))
            yield Wait(INTERVAL)
            if mode == "reschedule":  # another process, which knows nothing of the one before
                budget, batches = self.budget(calls_per_minute), self._sent
            batches = yield from poll_once(CallContext(self._settings, budget, self.clock), batches)

    def _wait_for(self, batches, budget):
        return wait_for_batches(CallContext(self._settings, budget, self.clock), batches, INTERVAL, math.inf)

    def run(self, *tasks):
        """Run the tasks to their ends, ordered by time."""
        numbers = count()
        turns = [(self.clock.time, next(numbers), task) for task in tasks]
        with RequestsTransport(self._settings) as transport:
            while turns:
                self.clock.time, _, task = heapq.heappop(turns)
                answer = None
                try:
                    while not isinstance(command := task.send(answer), Wait):
                        answer = transport.send(command.request)
                except StopIteration:
                    continue
                heapq.heappush(turns, (self.clock.time + command.seconds, next(numbers), task))

    def most_calls_in_a_minute(self):
        times = [call.at for call in self.sandbox.calls]
        return max(sum(begin <= at < begin + 60 for at in times) for begin in times)

    def refusals(self):
        return [call.at for call in self.sandbox.calls if call.status == 503]
