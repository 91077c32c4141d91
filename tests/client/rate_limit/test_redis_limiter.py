"""One rate limit for many machines, in a real Redis server."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from dataclasses import replace

import pytest

from airflow_provider_adobe_target.client.protocol import Wait
from airflow_provider_adobe_target.client.rate_limit.limiter import shared_rate_limiter
from airflow_provider_adobe_target.client.rate_limit.redis_document import RedisDocument, SharedStoreError
from airflow_provider_adobe_target.client.rate_limit.redis_limiter import redis_rate_limiter
from airflow_provider_adobe_target.client.rate_limit.redis_store import LEASE
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.transports.httpx import HttpxTransport, arun
from airflow_provider_adobe_target.concurrency import file_lock
from support.clocks import StillClock
from support.permits import calls_until_a_wait, take


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


def test_the_call_of_a_killed_process_ends_with_its_lease(limiter_of, clock):
    killed = limiter_of(calls_per_minute=1).permit()
    assert killed.try_acquire() == 0
    clock.time += LEASE
    assert take(limiter_of(calls_per_minute=1)) == 60
    clock.time += 60
    assert take(limiter_of(calls_per_minute=1)) == 0


def test_an_end_that_redis_missed_is_recorded_later(limiter_of, clock, redis, monkeypatch):
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


def test_a_lock_that_others_hold_for_long_is_retried_soon(limiter_of, redis):
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


class TestInAnEventLoop:
    async def test_the_loop_continues_while_redis_does_not_respond(self, tmp_path, monkeypatch):
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


def test_threads_share_one_limit(limiter_of):
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
