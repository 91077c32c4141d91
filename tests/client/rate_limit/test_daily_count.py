"""The million of single updates in 24 hours, counted across tasks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.client.rate_limit.daily import DailyRateLimiter
from airflow_provider_adobe_target.client.rate_limit.daily_count import SharedQuota, reserve
from airflow_provider_adobe_target.client.rate_limit.redis_limiter import MachineRecord
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.concurrency import file_lock

DAY = 86_400


@pytest.fixture
def settings():
    return TargetSettings.from_fields("acme", None, None, None, {})


@pytest.fixture(params=["file", "redis"])
def quota_of(request, clock, settings):
    """Return the quota of another task."""
    if request.param == "redis":
        settings = replace(settings, redis=request.getfixturevalue("redis").options)
    return lambda kind="updates", quota=100: SharedQuota(settings, kind, clock, quota)


def calls_until_a_wait(quota):
    number = 0
    while not quota.take():
        number += 1
    return number


@given(st.integers(1, 200), st.lists(st.tuples(st.floats(0, 40_000), st.integers(1, 64)), min_size=1, max_size=80))
def test_no_24_hours_see_more_reserved_calls_than_the_quota(quota, tries):
    minutes, now, reserved = {}, 0.0, []
    for pause, wanted in tries:
        now += pause
        granted, wait = reserve(minutes, now, wanted, quota)
        assert 0 <= granted <= wanted
        assert (granted == 0) == (wait > 0)
        if not granted:
            now += wait
            granted, wait = reserve(minutes, now, wanted, quota)
            assert granted > 0
        reserved.append((now, granted))
    for begin, _ in reserved:  # a reserved call begins up to a minute later
        assert sum(calls for at, calls in reserved if begin <= at < begin + DAY + 60) <= quota


def test_the_tasks_of_an_account_share_one_quota(quota_of):
    one, two = quota_of(), quota_of()
    assert one.take() == 0
    used = calls_until_a_wait(two)
    assert used + calls_until_a_wait(one) + 1 == 100
    assert calls_until_a_wait(quota_of()) == 0


def test_calls_are_free_again_after_24_hours(quota_of, clock):
    quota = quota_of()
    assert calls_until_a_wait(quota) == 100
    wait = quota.take()
    assert DAY < wait <= DAY + 120
    clock.time += wait
    assert calls_until_a_wait(quota) == 100


def test_updates_and_look_ups_are_counted_apart(quota_of):
    assert calls_until_a_wait(quota_of("updates")) == 100
    assert calls_until_a_wait(quota_of("lookups")) == 100


def test_reserved_calls_expire_after_a_minute(quota_of, clock):
    quota = quota_of()
    for _ in range(8):
        assert quota.take() == 0  # 1, 2, 4 and 8 calls are reserved, 7 are left
    clock.time += 61
    assert calls_until_a_wait(quota) == 100 - 15


def test_a_quota_that_is_used_is_a_warning_once(quota_of, caplog):
    quota = quota_of()
    calls_until_a_wait(quota)
    quota.take()
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert messages[0].startswith("The account's 100 updates in 24 hours are used.")


def test_the_limit_of_a_task_is_its_own(quota_of, clock):
    def calls(limiter):
        number = 0
        while not limiter.try_acquire():
            number, clock.time = number + 1, clock.time + 0.1
        return number

    assert calls(DailyRateLimiter(10, 30, clock, quota_of())) == 30
    assert calls(DailyRateLimiter(10, 30, clock, quota_of())) == 30
    assert 100 - 60 - 2 * 31 < calls(DailyRateLimiter(10, 80, clock, quota_of())) < 100 - 60


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "{", "\0\0"])
def test_a_file_that_cannot_be_read_starts_empty(clock, settings, shared_folder, content):
    SharedQuota(settings, "updates", clock, 100).take()
    [file] = shared_folder.iterdir()
    file.write_text(content)
    assert calls_until_a_wait(SharedQuota(settings, "updates", clock, 100)) == 100


def test_a_folder_that_cannot_be_used_leaves_the_limit_of_the_task(clock, settings, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv(file_lock.FOLDER_VARIABLE, str(tmp_path / "file"))
    quota = SharedQuota(settings, "updates", clock, 2)
    assert [quota.take() for _ in range(4)] == [0] * 4
    assert "The daily quota of updates cannot be shared with other tasks" in caplog.text


def test_a_file_that_another_process_locks_is_retried_soon(clock, settings, shared_folder):
    import os

    SharedQuota(settings, "updates", clock, 100).take()
    [file] = shared_folder.iterdir()
    held = file_lock.lock(file)
    assert 0 < SharedQuota(settings, "updates", clock, 100).take() < 0.2
    os.close(held)


def test_without_redis_a_machine_has_a_share_of_what_remains(clock, settings, redis, caplog):
    shared = replace(settings, redis=redis.options)
    one = SharedQuota(shared, "updates", clock, 100)
    for _ in range(7):
        assert one.take() == 0  # 1, 2 and 4 calls are reserved
    MachineRecord(shared).write(3, clock.monotonic())
    redis.stop()
    assert calls_until_a_wait(one) == 93 // 3
    assert calls_until_a_wait(SharedQuota(shared, "updates", clock, 100)) < 93 // 3
    assert "its machine may make 31 more updates in 24 hours" in caplog.text
