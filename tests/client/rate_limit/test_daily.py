from __future__ import annotations

import itertools
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.client.rate_limit.daily import CALLS_PER_DAY, CALLS_PER_SECOND, DailyRateLimiter
from support.clocks import StillClock


def begin(budget, clock):
    with budget.permit() as permit:
        while wait := permit.try_acquire():
            assert wait > 0
            clock.time += wait
    return clock.time


def test_calls_begin_evenly():
    clock = StillClock(0.0)
    budget = DailyRateLimiter(10, 1_000, clock)
    times = [begin(budget, clock) for _ in range(30)]
    assert all(later - earlier >= 0.1 - 1e-9 for earlier, later in itertools.pairwise(times))
    assert times[-1] < 3


def test_a_pause_is_not_made_up_for_by_a_flood():
    clock = StillClock(0.0)
    budget = DailyRateLimiter(10, 1_000, clock)
    begin(budget, clock)
    clock.time += 3600
    times = [begin(budget, clock) for _ in range(3)]
    assert times[2] - times[0] > 0.19


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 20), st.lists(st.floats(0, 40_000), min_size=1, max_size=120))
def test_no_24_hours_see_more_calls_than_a_day_may(per_day, pauses):
    clock = StillClock(0.0)
    budget = DailyRateLimiter(100, per_day, clock)
    times = []
    for pause in pauses:
        clock.time += pause
        times.append(begin(budget, clock))
    assert all(later - earlier >= 86_400 for earlier, later in zip(times, times[per_day:]))


def test_a_day_of_a_million_is_counted_in_little_memory():
    clock = StillClock(0.0)
    budget = DailyRateLimiter(1_000, CALLS_PER_DAY, clock)
    for _ in range(200_000):
        begin(budget, clock)
    assert len(budget._minutes) <= 5
    assert CALLS_PER_SECOND * 86_400 < CALLS_PER_DAY


def test_retry_after_of_one_call_delays_all_calls():
    clock = StillClock(0.0)
    budget = DailyRateLimiter(10, 1_000, clock)
    begin(budget, clock)
    budget.permit().back_off(65)
    assert 64.9 < budget.try_acquire() <= 65


def test_threads_share_one_rate_limit():
    clock = StillClock(0.0)
    budget = DailyRateLimiter(10, 1_000, clock)
    got = []
    threads = [threading.Thread(target=lambda: got.append(budget.try_acquire())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wait > 0 for wait in got) == [False] + [True] * 7
