from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_adobe_target.concurrency.deadline import call_within


def test_the_result_is_returned():
    assert call_within(5, lambda: 7) == 7


def test_an_error_is_raised():
    with pytest.raises(ZeroDivisionError):
        call_within(5, lambda: 1 / 0)


def test_a_call_that_takes_longer_is_left_behind():
    release = threading.Event()
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"0\.05 seconds"):
        call_within(0.05, release.wait)
    assert time.monotonic() - started < 5
    [left_behind] = [thread for thread in threading.enumerate() if thread.name == "call-within"]
    assert left_behind.daemon
    release.set()
    left_behind.join(30)


def test_a_call_that_has_a_response_gets_more_time():
    responded = threading.Event()

    def call():
        responded.set()
        time.sleep(0.2)
        return "late"

    assert call_within(0.05, call, responded=responded, more_seconds=30) == "late"
