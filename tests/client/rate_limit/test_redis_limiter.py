"""One call budget for many machines, in a real Redis server."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest

from airflow_provider_adobe_target.client.protocol import BatchBody, Wait
from airflow_provider_adobe_target.client.rate_limit import redis_document
from airflow_provider_adobe_target.client.rate_limit.limiter import shared_rate_limiter
from airflow_provider_adobe_target.client.rate_limit.redis_document import RedisDocument, SharedStoreError
from airflow_provider_adobe_target.client.rate_limit.redis_limiter import RETRY_SECONDS, redis_rate_limiter
from airflow_provider_adobe_target.client.rate_limit.redis_store import LEASE
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.transports.httpx import HttpxTransport, arun
from airflow_provider_adobe_target.concurrency import file_lock
from airflow_provider_adobe_target.sandbox import Sandbox
from support.account import Account
from support.clocks import StillClock
from support.redis_server import RedisServer, running_redis

MINUTES = 30


@pytest.fixture(scope="module")
def server():
    with running_redis() as server:
        yield server


@pytest.fixture
def redis(server):
    """Return an empty server, which runs again after the test."""
    from redis import Redis

    with Redis(**server.options) as client:
        client.flushall()
    yield server
    server.stop()
    server.start()


@pytest.fixture
def clock(monkeypatch):
    """Return the time of all machines and of the Redis server."""
    clock = StillClock()
    monkeypatch.setattr(redis_document, "seconds", lambda moment: clock.time)
    return clock


@pytest.fixture
def limiter_of(clock, redis, tmp_path, monkeypatch):
    """Return the limiter of another process, on a machine."""

    def make(machine="one", calls_per_minute=50, server=redis):
        monkeypatch.setenv(file_lock.FOLDER_VARIABLE, str(tmp_path / machine))
        settings = TargetSettings.from_fields("acme", None, None, None, {"calls_per_minute": calls_per_minute})
        options = {**server.options, "client_name": machine}
        return shared_rate_limiter(replace(settings, redis=options), clock)

    return make


def take(limiter):
    with limiter.permit() as permit:
        return permit.try_acquire()


def calls_until_a_wait(limiter, most=100):
    for number in range(most):
        if take(limiter):
            return number
    return most


def call_times(limiter, clock, number):
    """Make calls as soon as the limiter lets them begin, and return when they began."""
    times = []
    for _ in range(number):
        with limiter.permit() as permit:
            while wait := permit.try_acquire():
                clock.time += wait
        times.append(clock.time)
    return times


@pytest.fixture
def body(tmp_path):
    file = tmp_path / "batch"
    file.write_bytes(b"batch=thirdPartyId,tier\nU1,gold")
    return BatchBody(file, file.stat().st_size)


class RedisAccount(Account):
    def __init__(self, sandbox, clock, body, folder, limiter_of):
        super().__init__(sandbox, clock, body, folder)
        self._limiter_of = limiter_of

    def budget(self, calls_per_minute, machine="one"):
        return self._limiter_of(machine, calls_per_minute)


def test_four_tasks_on_two_machines_use_one_budget_for_half_an_hour(clock, body, tmp_path, limiter_of):
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


def test_the_time_is_that_of_the_server(redis, tmp_path, monkeypatch):
    settings = TargetSettings.from_fields("acme", None, None, None, {"calls_per_minute": 2})
    settings = replace(settings, redis=redis.options)
    ahead, behind = StillClock(), StillClock()
    ahead.time += 1e6
    monkeypatch.setenv(file_lock.FOLDER_VARIABLE, str(tmp_path / "one"))
    limiters = [redis_rate_limiter(settings, clock) for clock in (ahead, behind)]
    assert [take(limiter) for limiter in limiters] == [0, 0]
    assert all(59 < take(limiter) <= 60 for limiter in limiters)


def test_other_accounts_on_the_same_server_have_other_budgets(redis, clock):
    accounts = [TargetSettings.from_fields(name, None, None, None, {"calls_per_minute": 1}) for name in ("a", "b")]
    assert [take(shared_rate_limiter(replace(s, redis=redis.options), clock)) for s in accounts] == [0, 0]


def test_a_killed_process_gives_its_call_back_when_the_lease_ends(limiter_of, clock):
    killed = limiter_of(calls_per_minute=1).permit()
    assert killed.try_acquire() == 0
    clock.time += LEASE
    assert take(limiter_of(calls_per_minute=1)) == 60
    clock.time += 60
    assert take(limiter_of(calls_per_minute=1)) == 0


def test_an_end_that_redis_did_not_hear_of_is_told_later(limiter_of, clock, redis, monkeypatch):
    limiter = limiter_of(calls_per_minute=1)
    with limiter.permit() as permit:
        assert permit.try_acquire() == 0
        with monkeypatch.context() as broken:
            broken.setattr(RedisDocument, "_lock", _away)
            permit.__exit__(None, None, None)
    assert take(limiter) == 60
    clock.time += 60
    assert take(limiter_of(calls_per_minute=1)) == 0


def _away(document, token):
    raise SharedStoreError("ConnectionError")


def test_what_others_hold_for_long_is_asked_for_again_soon(limiter_of, redis):
    from redis import Redis

    limiter = limiter_of()
    take(limiter)
    with Redis(**redis.options) as client:
        [key] = client.keys()
        client.set(key + b":lock", "other", px=60_000)
    assert 0 < take(limiter) < 0.2


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"at": 1}', '{"at": "x", "running": 3}'])
def test_a_document_that_cannot_be_read_costs_a_minute(limiter_of, redis, clock, content):
    from redis import Redis

    limiter = limiter_of()
    take(limiter)
    with Redis(**redis.options) as client:
        [key] = client.keys()
        client.set(key, content)
    assert take(limiter) == 60
    clock.time += 60
    assert take(limiter) == 0


def test_a_server_that_lost_its_data_costs_a_minute(limiter_of, redis, clock):
    from redis import Redis

    limiter = limiter_of(calls_per_minute=3)
    assert calls_until_a_wait(limiter) == 3
    with Redis(**redis.options) as client:
        client.flushall()
    assert take(limiter) == 60
    clock.time += 60
    assert calls_until_a_wait(limiter) == 3


def test_a_clock_that_goes_back_costs_a_minute(limiter_of, clock):
    limiter = limiter_of()
    take(limiter)
    clock.time -= 3_600
    assert take(limiter) == 60


class TestWithoutRedis:
    def test_each_machine_has_its_share_after_the_last_shared_call_is_a_minute_old(
        self, limiter_of, redis, clock, caplog
    ):
        one, two = limiter_of("one"), limiter_of("two")
        assert calls_until_a_wait(one) == 50
        assert take(two) > 0  # the other machine is known from now on
        clock.time += 60
        assert [take(one), take(two)] == [0, 0]
        redis.stop()
        clock.time += 20
        times = call_times(one, clock, 60)
        assert times[0] == times[24] == 1_767_225_600 + 60 + 60
        assert all(later - earlier >= 60 for earlier, later in zip(times, times[25:], strict=False))
        assert "this machine makes at most 25 of the 50 calls a minute, the first in 40 seconds" in caplog.text

    def test_the_processes_of_a_machine_have_its_share_together(self, limiter_of, redis, clock):
        limiters = [limiter_of("one", 30) for _ in range(3)]
        assert [take(limiter) for limiter in limiters] == [0, 0, 0]
        redis.stop()
        clock.time += 60
        assert sum(calls_until_a_wait(limiter) for limiter in [*limiters, limiter_of("one", 30)]) == 30

    def test_a_machine_that_never_reached_it_has_a_tenth(self, limiter_of, redis, clock, caplog):
        redis.stop()
        assert calls_until_a_wait(limiter_of("new")) == 5
        assert "at most 5 of the 50 calls a minute." in caplog.text

    def test_the_warning_is_logged_once_and_tells_no_address(self, limiter_of, redis, caplog):
        limiter = limiter_of()
        redis.stop()
        calls_until_a_wait(limiter)
        warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(warnings) == 1
        assert "ConnectionError" in warnings[0]
        assert str(redis.port) not in caplog.text

    def test_its_return_pauses_all_machines_for_a_while(self, limiter_of, redis, clock):
        one, other = limiter_of("one"), limiter_of("two")
        assert take(one) == 0
        redis.stop()
        assert take(one) == RETRY_SECONDS
        clock.time += 60
        assert take(one) == 0
        redis.start()
        assert take(one) == 0
        clock.time += RETRY_SECONDS
        assert take(one) == RETRY_SECONDS + 60
        assert take(other) == RETRY_SECONDS + 60
        clock.time += RETRY_SECONDS + 60
        assert calls_until_a_wait(one) + calls_until_a_wait(other) == 50

    def test_who_waits_without_it_looks_again_every_30_seconds(self, limiter_of, redis, clock):
        limiter = limiter_of(calls_per_minute=1)
        assert take(limiter) == 0
        redis.stop()
        assert take(limiter) == RETRY_SECONDS  # of 60

    def test_a_call_that_began_with_it_ends_without_it(self, limiter_of, redis, clock):
        limiter = limiter_of()
        with limiter.permit() as permit:
            assert permit.try_acquire() == 0
            redis.stop()
            clock.time += 40
        assert take(limiter) == RETRY_SECONDS
        clock.time += 59
        assert take(limiter) == 1
        clock.time += 1
        assert take(limiter) == 0

    def test_what_target_refuses_pauses_the_machine(self, limiter_of, redis, clock):
        limiter = limiter_of()
        with limiter.permit() as permit:
            assert permit.try_acquire() == 0
        redis.stop()
        permit.back_off(300)
        clock.time += 270
        assert take(limiter) == 30

    def test_a_server_that_does_not_answer_costs_a_second(self, limiter_of, clock):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            server = RedisServer.__new__(RedisServer)
            server.port = silent.getsockname()[1]
            begin = time.monotonic()
            assert take(limiter_of(server=server)) == 0
            assert time.monotonic() - begin < 5


class TestInAnEventLoop:
    async def test_the_loop_goes_on_while_redis_does_not_answer(self, tmp_path, monkeypatch):
        monkeypatch.setenv(file_lock.FOLDER_VARIABLE, str(tmp_path / "one"))
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        def flow(limiter):
            with limiter.permit() as permit:
                while wait := permit.try_acquire():
                    yield Wait(wait)
            return "done"

        with socket.create_server(("127.0.0.1", 0)) as silent:
            settings = TargetSettings.from_fields("acme", None, None, None, {})
            settings = replace(settings, redis={"host": "127.0.0.1", "port": silent.getsockname()[1]})
            from airflow_provider_adobe_target.concurrency import clock

            limiter = shared_rate_limiter(settings, clock.SYSTEM)
            ticking = asyncio.ensure_future(tick())
            async with HttpxTransport(settings) as transport:
                result = await arun(flow(limiter), transport, clock.SYSTEM, may_block=settings.redis is not None)
            ticking.cancel()
        assert result == "done"
        assert ticks > 40  # it took a second at least

    async def test_a_wait_that_is_cancelled_leaves_the_queue(self, limiter_of, redis, clock):
        from airflow_provider_adobe_target.concurrency.clock import SYSTEM

        first, limiter = limiter_of("one", 1), limiter_of("two", 1)
        assert take(first) == 0

        def flow():
            with limiter.permit() as permit:
                while wait := permit.try_acquire():
                    yield Wait(wait)

        settings = TargetSettings.from_fields("acme", None, None, None, {})
        async with HttpxTransport(settings) as transport:
            task = asyncio.ensure_future(arun(flow(), transport, SYSTEM, may_block=True))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert _waiting(redis) == 0


def _waiting(server):
    import json

    from redis import Redis

    with Redis(**server.options) as client:
        [key] = client.keys()
        return sum(map(len, json.loads(client.get(key))["queue"].values()))


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


def test_four_processes_on_two_machines_are_never_refused_also_if_one_is_killed(redis, body, tmp_path, monkeypatch):
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
            codes = [process.wait(120) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        assert codes == [-signal.SIGKILL, 0, 0, 0]
        assert Counter(call.status for call in sandbox.calls) == {200: len(sandbox.calls)}
        assert len(sandbox.calls) > 50 * (minutes - 2)


def test_threads_share_one_budget(limiter_of):
    limiter, taken = limiter_of(calls_per_minute=7), []

    def work():
        for _ in range(5):
            wait = math.inf
            while wait and (wait == math.inf or wait < 1):  # a wait below a second is for the lock
                with limiter.permit() as permit:
                    wait = permit.try_acquire()
                if not wait:
                    taken.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 7


def test_no_text_of_the_settings_shows_the_password(redis):
    settings = TargetSettings.from_fields("acme", None, None, None, {})
    assert "hidden-word" not in repr(replace(settings, redis={**redis.options, "password": "hidden-word"}))
