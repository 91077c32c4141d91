from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.target.budget import CallBudget


class StillClock:
    def __init__(self):
        self.time = 0.0

    def monotonic(self):
        return self.time


@settings(deadline=None)
@given(st.integers(1, 50), st.lists(st.tuples(st.floats(0, 90), st.floats(0, 40)), min_size=1, max_size=150))
def test_no_60_seconds_see_more_calls_than_the_budget_wherever_in_a_call_they_count(limit, calls):
    clock = StillClock()
    budget = CallBudget(limit, clock)
    spans = []
    for pause, duration in calls:
        clock.time += pause
        while wait := budget.begin():
            clock.time += wait
        begun = clock.time
        clock.time += duration
        budget.end()
        spans.append((begun, clock.time))
    for (_, earlier_end), (later_begin, _) in zip(spans, spans[limit:], strict=False):
        assert later_begin - earlier_end >= 60 - 1e-6


def test_what_is_left_is_given_at_once():
    budget = CallBudget(2, StillClock())
    assert [budget.begin(), budget.begin()] == [0, 0]
    assert budget.begin() > 0


def test_a_call_holds_its_place_for_60_seconds_after_its_end():
    clock = StillClock()
    budget = CallBudget(1, clock)
    budget.begin()
    clock.time = 100
    assert budget.begin() > 0
    budget.end()
    assert budget.begin() == 60
    clock.time = 160
    assert budget.begin() == 0


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_threads_share_one_budget(limit):
    budget = CallBudget(limit, StillClock())
    taken = []
    barrier = threading.Barrier(8)

    def take():
        barrier.wait()
        for _ in range(20):
            if budget.begin() == 0:
                taken.append(1)
                budget.end()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == limit
