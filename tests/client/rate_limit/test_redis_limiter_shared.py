"""Tasks and processes on several machines that use one rate limit."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter

from airflow_provider_adobe_target.concurrency import file_lock
from airflow_provider_adobe_target.sandbox import Sandbox
from support.account import Account

MINUTES = 30


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


SPEED = 60  # a minute a second
PROCESS = """
import sys
from dataclasses import replace
from pathlib import Path
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_batch
from airflow_provider_adobe_target.client.protocol import BatchBody
from airflow_provider_adobe_target.client.rate_limit import redis_document
from airflow_provider_adobe_target.client.rate_limit.limiter import shared_rate_limiter
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.transports.requests import RequestsTransport, run
from airflow_provider_adobe_target.concurrency import clock

url, path = sys.argv[1], Path(sys.argv[2])
port, speed, seconds = (int(argument) for argument in sys.argv[3:6])

class FastClock(clock.SystemClock):
    def monotonic(self):
        return super().monotonic() * speed
    def sleep(self, seconds):
        super().sleep(seconds / speed)

of_server = redis_document.seconds
redis_document.seconds = lambda moment: of_server(moment) * speed
fast = FastClock()
settings = TargetSettings.from_fields("acme", None, url, None, {"calls_per_minute": 50})
settings = replace(settings, redis={"host": "127.0.0.1", "port": port})
limiter = shared_rate_limiter(settings, fast)
end = fast.monotonic() + seconds
with RequestsTransport(settings) as transport:
    while fast.monotonic() < end:
        run(submit_batch(CallContext(settings, limiter, fast), BatchBody(path, path.stat().st_size)), transport, fast)
"""


def test_four_processes_on_two_machines_are_never_refused_even_if_one_is_killed(redis, body, tmp_path, monkeypatch):
    minutes, processes = 6, []
    with Sandbox(clock=lambda: time.monotonic() * SPEED) as sandbox:
        arguments = [sandbox.url, str(body.path), str(redis.port), str(SPEED), str(minutes * 60)]
        try:
            for number in range(4):
                monkeypatch.setenv(file_lock.FOLDER_VARIABLE, str(tmp_path / f"machine-{number % 2}"))
                processes.append(subprocess.Popen([sys.executable, "-c", PROCESS, *arguments]))
            while len(sandbox.calls) < 60:
                time.sleep(0.01)
            processes[0].send_signal(signal.SIGKILL)
            before = len(sandbox.calls)
            codes = [process.wait(120) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        assert codes == [-signal.SIGKILL, 0, 0, 0]
        assert Counter(call.status for call in sandbox.calls) == {200: len(sandbox.calls)}
        assert len(sandbox.calls) > before + 30  # the other processes continue
