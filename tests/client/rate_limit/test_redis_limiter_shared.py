"""Tasks and processes on several machines that use one rate limit."""

from __future__ import annotations

import signal
import time
from collections import Counter

from airflow_provider_adobe_target.sandbox import Sandbox
from support.account import Account
from support.limited_processes import fast_sandbox, sending_processes

MINUTES = 10


class RedisAccount(Account):
    def __init__(self, sandbox, clock, body, folder, limiter_of):
        super().__init__(sandbox, clock, body, folder)
        self._limiter_of = limiter_of

    def budget(self, calls_per_minute, machine="one"):
        return self._limiter_of(machine, calls_per_minute)


def test_four_tasks_on_two_machines_share_one_limit(clock, body, tmp_path, limiter_of):
    begin = clock.time
    with Sandbox(clock=clock.now, processing_seconds=100) as sandbox:
        account = RedisAccount(sandbox, clock, body, tmp_path, limiter_of)
        tasks = [
            account.upload(10_000, 50, machine=machine, until=begin + MINUTES * 60)
            for machine in ("one", "two")
            for _ in range(2)
        ]
        account.run(*tasks)
    assert account.refusals() == []
    assert account.most_calls_in_a_minute() == 50
    assert sum(call.at < begin + MINUTES * 60 for call in sandbox.calls) > 0.9 * 50 * MINUTES


def test_four_processes_on_two_machines_are_never_refused_even_if_one_is_killed(redis, body, tmp_path):
    with fast_sandbox() as sandbox, sending_processes(sandbox, redis, body, tmp_path, minutes=6) as processes:
        while len(sandbox.calls) < 60:
            time.sleep(0.01)
        processes[0].send_signal(signal.SIGKILL)
        before = len(sandbox.calls)
        assert [process.wait(120) for process in processes] == [-signal.SIGKILL, 0, 0, 0]
        assert Counter(call.status for call in sandbox.calls) == {200: len(sandbox.calls)}
        assert len(sandbox.calls) > before + 30  # the other processes continue
