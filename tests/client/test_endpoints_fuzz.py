"""Every conversation, whatever Target says in it: no sockets, so that very many can be tried."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.client.auth.authenticator import NO_RETRY, Authenticator
from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.connection_test import check_connection
from airflow_provider_adobe_target.client.endpoints.batch_status import wait_for_batches
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_batch
from airflow_provider_adobe_target.client.endpoints.profile import fetch_profile
from airflow_provider_adobe_target.client.protocol import BatchBody, Response, TransportFailure, Wait
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import AdobeTargetError
from support.clocks import StillClock

TOKEN = "bbf8ae69-6e29-4b8e-b3d6-f7567723f5b0"
CONNECTION = TargetSettings.from_fields("acme", TOKEN, None, None, {})
BODY = BatchBody(Path("batch"), 9)
BATCHES = [Batch.from_status_url(f"https://e.tt.omtrdc.net/s?batchId=acme-1-{number}") for number in range(3)]


def hold(flow, clock, answers, durations):
    """Drive a flow with answers from a list, the last for ever; return when each call began and ended."""
    calls, command = [], next(flow)
    try:
        while True:
            if isinstance(command, Wait):
                assert command.seconds >= 0
                clock.time += command.seconds
                command = flow.send(None)
                continue
            index = len(calls)
            begun = clock.time
            clock.time += durations[index % len(durations)]
            calls.append((begun, clock.time))
            command = flow.send(answers[min(index, len(answers) - 1)])
    except (StopIteration, AdobeTargetError) as end:
        words = str(end)
    assert TOKEN not in words
    return calls


bodies = st.binary(max_size=40) | st.sampled_from(
    [
        b"<response><success>true</success><batchStatus>http://e.tt.omtrdc.net/s?batchId=acme-1-1</batchStatus></response>",
        b"<response><success>false</success><message>no</message></response>",
        b"<response><status>complete</status></response>",
        b"<response><status>incomplete</status></response>",
        b'{"status": 404}',
        b"<html/>",
        TOKEN.encode(),
    ]
)
headers = st.dictionaries(
    st.sampled_from(["retry-after", "content-type", "location"]),
    st.text(max_size=9) | st.sampled_from(["0", "3", TOKEN]),
)
statuses = st.sampled_from([200, 429, 500, 503]) | st.integers(100, 999)
responses = st.builds(Response, statuses, headers, bodies)
failures = st.builds(TransportFailure, st.sampled_from(["connect", "broken"]), st.booleans(), st.just("trouble"))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 50),
    st.lists(responses | failures, min_size=1, max_size=12),
    st.lists(st.floats(0, 30), min_size=1, max_size=5),
)
def test_no_flow_exceeds_the_limit_or_raises_a_foreign_error(limit, answers, durations):
    clock = StillClock()
    budget = RateLimiter(limit, clock)
    calls = []
    for flow in (
        submit_batch(CallContext(CONNECTION, budget, clock), BODY),
        submit_batch(CallContext(CONNECTION, budget, clock), BODY, "v1"),
        wait_for_batches(CallContext(CONNECTION, budget, clock), BATCHES, 1, clock.now() + 3600),
        fetch_profile(CallContext(CONNECTION, budget, clock), "U1", "pcId"),
    ):
        calls += hold(flow, clock, answers, durations)
    for (_, earlier_end), (later_begin, _) in zip(calls, calls[limit:], strict=False):
        assert later_begin - earlier_end >= 60 - 1e-6


@settings(deadline=None, max_examples=60)
@given(responses | failures)
def test_a_connection_test_always_ends_in_words(answer):
    clock = StillClock()
    tokens = Authenticator(CallContext(CONNECTION, RateLimiter(50, clock), clock), lambda token: None, NO_RETRY)
    flow = check_connection(CallContext(CONNECTION, RateLimiter(50, clock), clock), tokens)
    next(flow)
    try:
        while True:
            flow.send(answer)
    except StopIteration as end:
        works, words = end.value
    assert isinstance(works, bool)
    assert words.isprintable()
    assert TOKEN not in words


@settings(deadline=None, max_examples=60)
@given(st.lists(responses | failures, min_size=1, max_size=12), st.floats(1, 5000))
def test_no_wait_goes_beyond_the_deadline(answers, timeout):
    clock = StillClock()
    deadline = clock.now() + timeout
    hold(
        wait_for_batches(CallContext(CONNECTION, RateLimiter(50, clock), clock), BATCHES, 60, deadline),
        clock,
        answers,
        [0],
    )
    assert clock.now() <= deadline + 1e-6
    assert not math.isnan(clock.now())
