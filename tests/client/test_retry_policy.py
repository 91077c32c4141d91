from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.client.protocol import Response, TransportFailure
from airflow_provider_adobe_target.client.retry_policy import (
    POLL_POLICY,
    SUBMIT_POLICY,
    FailedAttempt,
    attempt_from_failure,
    attempt_from_response,
)

NOW = 1_767_225_600.0  # Thu, 01 Jan 2026 00:00:00 GMT


def attempt(status, retry_after=None):
    return attempt_from_response(
        Response(status, {} if retry_after is None else {"retry-after": retry_after}, b""), NOW
    )


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 308, 400, 401, 403, 404, 408, 410, 413, 418, 600])
def test_a_final_status_is_not_retried(status):
    assert attempt(status) is None
    assert attempt(status, "5") is None


@pytest.mark.parametrize(
    ("status", "retry_after", "wait"),
    [
        (503, None, 65),
        (503, "7", 7),
        (503, "0", 0),
        (503, "Thu, 01 Jan 2026 00:02:00 GMT", 120),
        (503, "Wed, 31 Dec 2025 00:00:00 GMT", 0),
        (503, "-5", 65),
        (503, "soon", 65),
        (503, "1.5", 65),
        (503, "", 65),
        (429, None, 10),
        (429, " 30 ", 30),
        (500, None, None),
        (502, "20", 20),
        (599, "nan", None),
    ],
)
def test_the_wait_follows_retry_after_or_the_status(status, retry_after, wait):
    assert attempt(status, retry_after).wait == wait


def test_a_failed_request_backs_off():
    failure = attempt_from_failure(TransportFailure("connect", False, "x"))
    waits = [POLL_POLICY.wait([failure] * failures, 0) for failures in range(1, 8)]
    assert waits == [5, 10, 20, 40, 60, 60, 60]


def test_a_submit_is_tried_five_times():
    waits = [SUBMIT_POLICY.wait([FailedAttempt("x")] * failures, 0) for failures in range(1, 6)]
    assert waits == [5, 10, 20, 40, None]


def test_a_submit_whose_answer_was_lost_is_tried_once_more():
    lost = attempt_from_failure(TransportFailure("timeout", True, "x"))
    assert SUBMIT_POLICY.wait([lost], 0) == 5
    assert SUBMIT_POLICY.wait([lost, attempt(503)], 0) == 65
    assert SUBMIT_POLICY.wait([lost, attempt(503), lost], 0) is None
    assert POLL_POLICY.wait([lost, lost], 0) == 10


@pytest.mark.parametrize("policy", [SUBMIT_POLICY, POLL_POLICY])
def test_throttled_tries_end_after_30_minutes(policy):
    throttled = [attempt(503)]
    assert policy.wait(throttled, 1735) == 65
    assert policy.wait(throttled, 1736) is None
    assert policy.wait([attempt(503, "999999999")], 0) is None


def test_the_reason_names_what_may_have_been_queued():
    assert "may have processed" in attempt_from_failure(TransportFailure("timeout", True, "no response in time")).reason
    assert "may have processed" not in attempt_from_failure(TransportFailure("connect", False, "x")).reason


@settings(deadline=None)
@given(st.integers(100, 999), st.text())
def test_no_retry_after_breaks_the_rule(status, text):
    found = attempt(status, text)
    assert found is None or found.wait is None or found.wait >= 0
