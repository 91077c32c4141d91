"""Many tasks on one account: what the sandbox counts in a minute."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from airflow_provider_adobe_target.client.protocol import BatchBody
from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from support.account import Account
from support.clocks import StillClock


@pytest.fixture
def body(tmp_path):
    file = tmp_path / "batch"
    file.write_bytes(b"batch=thirdPartyId,tier\nU1,gold")
    return BatchBody(file, file.stat().st_size)


@pytest.fixture
def account(tmp_path, body):
    clock = StillClock()
    with Sandbox(clock=clock.now, processing_seconds=100) as sandbox:
        yield Account(sandbox, clock, body, tmp_path)


@pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
@pytest.mark.parametrize(("limit", "uploads"), [(20, 4), (12, 8)])
def test_the_tasks_of_a_machine_use_exactly_the_limit(account, limit, uploads, mode):
    account.sandbox.settings.calls_per_minute = limit
    files = 1 + 2 * limit // uploads
    account.run(*(account.upload(files, limit) for _ in range(uploads)), account.sensor(mode, uploads * files, limit))
    assert len(account.sandbox.batches) == uploads * files
    assert account.refusals() == []
    assert account.most_calls_in_a_minute() == limit


@pytest.mark.parametrize(
    ("status", "headers", "seconds"), [(503, {}, 65), (429, {}, 10), (503, {"Retry-After": "7"}, 7)]
)
def test_retry_after_of_one_task_delays_all_tasks_of_the_machine(account, status, headers, seconds):
    account.sandbox.script("submit", Answer(status, headers=headers))
    account.run(account.upload(1, 30), account.upload(1, 30), account.upload(1, 30, machine="two"))
    first, *others = [call.at for call in account.sandbox.calls]
    assert sorted(at - first for at in others) == [0, seconds, seconds]


def test_a_share_for_each_slot_keeps_the_limit_across_machines(account):
    limit, slots, tasks = 12, 2, 3
    account.sandbox.settings.calls_per_minute = limit
    share = limit // (2 * slots)
    account.run(
        *(
            account.slot(account.upload(share, share, machine=f"{slot}-{task}", waits=True) for task in range(tasks))
            for slot in range(slots)
        )
    )
    assert len(account.sandbox.batches) == slots * tasks * share
    assert account.refusals() == []


def test_two_machines_over_the_limit_converge_to_their_shares(account):
    begin, minutes = account.clock.time, 15
    until = begin + minutes * 60
    account.run(*(account.upload(1000, 30, machine=name, until=until) for name in ("one", "two") for _ in range(4)))
    assert len(account.refusals()) <= minutes / 3
    assert len(account.sandbox.batches) > 0.6 * minutes * 50


def test_machines_that_exceed_the_limit_wait_and_lose_nothing(account):
    account.run(*(account.upload(20, 50, machine=name) for name in ("one", "two", "three")))
    statuses = [call.status for call in account.sandbox.calls]
    assert statuses == [200] * 50 + [503] + [200] * 10
    assert account.sandbox.calls[51].at - account.sandbox.calls[50].at == 65
    assert len(account.sandbox.batches) == 3 * 20


SPEED = 60  # a minute a second
PROCESS = """
import sys, threading
from pathlib import Path
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.client.rate_limit.limiter import shared_rate_limiter
from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_batch
from airflow_provider_adobe_target.client.protocol import BatchBody
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.transports.requests import RequestsTransport, run

url, path, files, speed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])

class FastClock(clock.SystemClock):
    def monotonic(self):
        return super().monotonic() * speed
    def sleep(self, seconds):
        super().sleep(seconds / speed)

fast = FastClock()
settings = TargetSettings.from_fields("acme", None, url, None, {"calls_per_minute": 50})
budget = shared_rate_limiter(settings, fast)

def upload():
    with RequestsTransport(settings) as transport:
        for _ in range(files):
            body = BatchBody(path, path.stat().st_size)
            run(submit_batch(CallContext(settings, budget, fast), body), transport, fast)

threads = [threading.Thread(target=upload) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_processes_keep_the_limit_even_if_one_is_killed(body):
    others, files = 3, 20
    with Sandbox(clock=lambda: time.monotonic() * SPEED) as sandbox:
        command = [sys.executable, "-c", PROCESS, sandbox.url, str(body.path), str(files), str(SPEED)]
        sandbox.script("submit", Answer.real(delay=60), Answer.real(delay=60))  # longer than its process will live
        children = [subprocess.Popen(command)]
        try:
            while len(sandbox.calls) < 2:
                time.sleep(0.01)
            children += [subprocess.Popen(command) for _ in range(others)]
            children[0].send_signal(signal.SIGKILL)
            codes = [child.wait(120) for child in children]
        finally:
            for child in children:
                child.kill()
                child.wait()
        assert codes == [-signal.SIGKILL, 0, 0, 0]
        assert len(sandbox.batches) == 2 + others * 2 * files
        assert {call.status for call in sandbox.calls[2:]} == {200}
