from __future__ import annotations

import math

import pytest

from airflow_provider_adobe_target.client.batch import Batch, BatchStatus
from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.endpoints.batch_status import batch_status, poll_once, wait_for_batches
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetUnavailableError,
    BatchTimeoutError,
    StatusLostError,
    TargetRefusedError,
    TokenRefusedError,
)

TOKEN = "bbf8ae69-6e29-4b8e-b3d6-f7567723f5b0"
HTML = "<!DOCTYPE html><html><body>Please log in</body></html>"
REFUSED = "<response><success>false</success><batchStatus/><message>Batch is empty</message></response>"


@pytest.fixture
def poll(drive, make_settings, clock, server):
    def poll(deadline=math.inf, **settings):
        connection = make_settings(**settings)
        batch = Batch.from_status_url(f"{server.url}/m2/acme/profile/batchStatus?batchId=acme-1-1")
        return drive(batch_status(CallContext(connection, RateLimiter(30, clock), clock), batch, deadline), connection)

    return poll


@pytest.fixture
def wait(drive, make_settings, clock):
    def wait(batches, poll_interval=60, timeout=86_400, **settings):
        connection = make_settings(**settings)
        flow = wait_for_batches(
            CallContext(connection, RateLimiter(30, clock), clock), batches, poll_interval, clock.now() + timeout
        )
        return drive(flow, connection)

    return wait


def batch_of(server, batch_id="acme-1-1"):
    return Batch.from_status_url(f"{server.url}/m2/acme/profile/batchStatus?batchId={batch_id}")


def test_the_status_is_requested_with_details_and_the_token(server, poll):
    server.status("complete", rows=7, failed=1, not_found=2)
    batch = poll()
    assert batch == batch.with_status(BatchStatus("complete", 7, 7, 4, 2, 1))
    (request,) = server.requests
    assert request.target == "/m2/acme/profile/batchStatus?batchId=acme-1-1&showDetails=true"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        ((401, ""), TokenRefusedError, "token"),
        ((403, "<response/>"), TokenRefusedError, "token"),
        ((400, HTML), TargetRefusedError, "HTTP 400"),
        ((405, ""), TargetRefusedError, "HTTP 405"),
        ((302, ""), TargetRefusedError, "redirect"),
    ],
)
def test_a_refused_poll_is_tried_once(server, poll, clock, reply, error, text):
    server.reply(*reply, headers={"Location": "http://127.0.0.1:1/"} if reply[0] == 302 else {})
    with pytest.raises(error, match=text):
        poll()
    assert len(server.requests) == 1
    assert clock.waits == []


LOST_REPLIES = [
    (200, "<response/>"),
    (200, "<response><batchSize>1</batchSize></response>"),
    (200, "{}"),
    (200, REFUSED),
    (400, REFUSED),
    (404, REFUSED),
    (404, "<response/>"),
    (410, '{"response": {"batchId": "acme-1-1"}}'),
    (404, '{"success": false}'),
    (200, '{"status": 404, "message": "x"}'),
    (404, '{"status": 404, "message": "x"}'),
]


@pytest.mark.parametrize("reply", LOST_REPLIES)
def test_a_status_is_lost_after_three_answers_over_five_minutes(server, poll, clock, reply):
    server.reply(*reply)
    with pytest.raises(StatusLostError, match=r"status lost.*acme-1-1"):
        poll()
    assert len(server.requests) == 3
    assert sum(clock.waits) == 300


@pytest.mark.parametrize("reply", LOST_REPLIES)
@pytest.mark.parametrize("times", [1, 2])
def test_a_status_that_is_missing_once_or_twice_is_not_lost(server, poll, reply, times):
    for _ in range(times):
        server.reply(*reply)
    server.status("complete")
    assert poll().status == "complete"


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(
    "body", [HTML, "", "Unknown batch", "<error>no</error>", '{"message": "no Route matched"}', "{}"]
)
def test_a_404_that_is_not_in_the_form_of_target_is_a_failed_poll(server, poll, clock, status, body):
    server.reply(status, body)
    with pytest.raises(AdobeTargetUnavailableError, match=f"HTTP {status} .*acme-1-1"):
        poll()
    assert 1700 <= sum(clock.waits) <= 1800


def test_lost_batches_are_requested_again_together(server, drive, make_settings, clock):
    server.reply(404, REFUSED)
    batches = [batch_of(server, f"acme-1-{number}") for number in range(1, 16)]
    flow = poll_once(CallContext(make_settings(), RateLimiter(50, clock), clock), batches)
    polled = drive(flow, make_settings())
    assert {batch.status for batch in polled} == {"status_lost"}
    assert sum(clock.waits) == 300


@pytest.mark.parametrize("batch_id", ["other-1-1", "other-shop-17-9", "acmeshop-1-1", "4-1-1"])
def test_a_status_of_a_batch_of_another_client_code_is_refused(server, poll, batch_id):
    server.reply(body=f"<response><batchId>{batch_id}</batchId><status>complete</status></response>")
    with pytest.raises(TargetRefusedError, match="acme-1-1 is about a batch of another client code"):
        poll()


@pytest.mark.parametrize(("batch_id", "lines"), [("acme-1-1", 0), ("acme4-1-1", 1), ("acme-1-2", 1), ("b", 1)])
def test_a_status_that_names_another_batch_is_logged(server, poll, caplog, batch_id, lines):
    server.reply(body=f"<response><batchId>{batch_id}</batchId><status>complete</status></response>")
    assert poll().status == "complete"
    assert [record.levelname for record in caplog.records if "another batch" in record.message] == ["WARNING"] * lines


@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        ({"status": 503}, 65),
        ({"status": 503, "body": REFUSED}, 65),
        ({"status": 429}, 10),
        ({"status": 500}, 5),
        ({"status": 504, "body": HTML}, 5),
        ({"body": HTML}, 5),
        ({"body": ""}, 5),
        ({"body": "all is well"}, 5),
        ({"body": "<response><status>complete</status><failedUpdates>-1</failedUpdates></response>"}, 5),
        ({"body": "<response><status>complete</status>", "cut": True}, 5),
        ({"body": "<response><status>complete</status>"}, 5),
        ({"reset": True}, 5),
    ],
)
def test_a_failed_poll_is_tried_again(server, poll, clock, reply, wait):
    server.reply(**reply).status("complete")
    assert poll().status == "complete"
    assert clock.waits == [wait]


@pytest.mark.parametrize("reply", [{"status": 500}, {"body": HTML}, {"reset": True}, {"status": 503}])
def test_failed_polls_count_after_30_minutes(server, poll, clock, reply):
    server.reply(**reply)
    with pytest.raises(AdobeTargetUnavailableError, match="acme-1-1"):
        poll()
    assert 1700 <= sum(clock.waits) <= 1800


def test_a_poll_waits_for_no_longer_than_its_deadline(server, poll, clock):
    server.reply(500)
    with pytest.raises(BatchTimeoutError, match=r"acme-1-1.*HTTP 500"):
        poll(deadline=clock.now() + 20)
    assert clock.waits == [5, 10]


def test_one_poll_requests_only_statuses_that_are_not_final(server, drive, make_settings, clock):
    server.status("incomplete")
    done = batch_of(server, "acme-1-0").with_status(BatchStatus("stuck"))
    settings = make_settings()
    polled = drive(
        poll_once(CallContext(settings, RateLimiter(30, clock), clock), [done, batch_of(server)]),
        settings,
    )
    assert [batch.status for batch in polled] == ["stuck", "incomplete"]
    assert len(server.requests) == 1


def test_waiting_ends_when_every_batch_is_final(server, wait, clock):
    server.status("incomplete").status("complete").status("brooding").status("stuck")
    first, second = wait([batch_of(server, "acme-1-1"), batch_of(server, "acme-1-2")])
    assert (first.status, second.status) == ("stuck", "complete")
    assert clock.waits == [60, 90, 135]


def test_waiting_grows_to_five_times_the_interval(server, wait, clock):
    server.status("incomplete", times=8).status("complete")
    wait([batch_of(server)])
    assert clock.waits == [60, 90, 135, 202.5, 300, 300, 300, 300, 300]


def test_no_batches_are_not_waited_for(wait, clock):
    assert wait([]) == []
    assert clock.waits == []


def test_the_timeout_names_what_is_unfinished(server, wait, clock):
    server.status("complete").status("incomplete")
    with pytest.raises(BatchTimeoutError, match="acme-1-2") as caught:
        wait([batch_of(server, "acme-1-1"), batch_of(server, "acme-1-2")], timeout=200)
    assert "acme-1-1" not in str(caught.value)
    assert sum(clock.waits) == 200


@pytest.mark.parametrize(("left", "seconds"), [(math.inf, 310), (86_400, 310), (200, 200), (5, 60), (-5, 60)])
def test_a_poll_ends_a_minute_after_the_deadline_at_the_latest(make_settings, clock, left, seconds):
    settings = make_settings(timeout="10, 300")
    batch = Batch.from_status_url("https://acme.tt.omtrdc.net/m2/acme/profile/batchStatus?batchId=acme-1-1")
    flow = batch_status(CallContext(settings, RateLimiter(30, clock), clock), batch, clock.now() + left)
    assert next(flow).request.max_seconds == seconds


def test_after_the_deadline_each_status_is_requested_once(server, wait, clock):
    server.status("complete")
    assert wait([batch_of(server)], timeout=-5)[0].final
    assert clock.waits == [0]


def test_failed_polls_at_the_timeout_are_a_timeout(server, wait):
    server.reply(500)
    with pytest.raises(BatchTimeoutError, match=r"acme-1-1.*HTTP 500"):
        wait([batch_of(server)], timeout=100)
