"""The rate limit of a machine while the Redis server cannot be reached."""

from __future__ import annotations

import logging
import socket
import time

from airflow_provider_adobe_target.client.rate_limit.redis_limiter import RETRY_SECONDS
from support.permits import calls_until_a_wait, take
from support.redis_server import RedisServer


def call_times(limiter, clock, number):
    """Make calls as soon as the limiter lets them begin, and return when they began."""
    times = []
    for _ in range(number):
        with limiter.permit() as permit:
            while wait := permit.try_acquire():
                clock.time += wait
        times.append(clock.time)
    return times


def test_each_machine_has_its_share_after_the_last_shared_call_is_a_minute_old(limiter_of, redis, clock, caplog):
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
    assert "this machine makes at most 25 of the 50 calls per minute, the first in 40 seconds" in caplog.text


def test_the_processes_of_a_machine_have_its_share_together(limiter_of, redis, clock):
    limiters = [limiter_of("one", 30) for _ in range(3)]
    assert [take(limiter) for limiter in limiters] == [0, 0, 0]
    redis.stop()
    clock.time += 60
    assert sum(calls_until_a_wait(limiter) for limiter in [*limiters, limiter_of("one", 30)]) == 30


def test_a_machine_that_never_reached_redis_has_a_tenth(limiter_of, redis, clock, caplog):
    redis.stop()
    assert calls_until_a_wait(limiter_of("new")) == 5
    assert "at most 5 of the 50 calls per minute." in caplog.text


def test_the_warning_is_logged_once_and_has_no_address(limiter_of, redis, caplog):
    limiter = limiter_of()
    redis.stop()
    calls_until_a_wait(limiter)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "ConnectionError" in warnings[0]
    assert str(redis.port) not in caplog.text


def test_the_return_of_redis_pauses_all_machines(limiter_of, redis, clock):
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


def test_waiting_tasks_check_again_every_30_seconds(limiter_of, redis, clock):
    limiter = limiter_of(calls_per_minute=1)
    assert take(limiter) == 0
    redis.stop()
    assert take(limiter) == RETRY_SECONDS  # of 60


def test_a_call_that_began_with_redis_ends_without_it(limiter_of, redis, clock):
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


def test_a_refusal_of_target_pauses_the_machine(limiter_of, redis, clock):
    limiter = limiter_of()
    with limiter.permit() as permit:
        assert permit.try_acquire() == 0
    redis.stop()
    permit.back_off(300)
    clock.time += 270
    assert take(limiter) == 30


def test_a_server_that_does_not_answer_costs_a_second(limiter_of, clock):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = RedisServer.__new__(RedisServer)
        server.port = silent.getsockname()[1]
        begin = time.monotonic()
        assert take(limiter_of(server=server)) == 0
        assert time.monotonic() - begin < 5
