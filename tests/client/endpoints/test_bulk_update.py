"""Submission of batch files, over real sockets."""

from __future__ import annotations

import json
import logging
import math

import pytest

from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.endpoints.batch_status import wait_for_batches
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_batch, submit_url
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetUnavailableError,
    TargetRefusedError,
    TokenRefusedError,
    UnclearAnswerError,
)

TOKEN = "bbf8ae69-6e29-4b8e-b3d6-f7567723f5b0"
HTML = "<!DOCTYPE html><html><body>Please log in</body></html>"
REFUSED = "<response><success>false</success><batchStatus/><message>Batch is empty</message></response>"


@pytest.fixture
def submit(drive, make_settings, clock, body):
    def submit(**settings):
        connection = make_settings(**settings)
        budget = RateLimiter(connection.calls_per_minute, clock)
        return drive(submit_batch(CallContext(connection, budget, clock), body, "v2"), connection)

    return submit


def test_an_accepted_submit_returns_the_batch(server, submit):
    server.queued("acme-1-1")
    receipt = submit()
    assert receipt.batch_id == "acme-1-1"
    assert receipt.status_url == f"{server.url}/m2/acme/profile/batchStatus?batchId=acme-1-1"
    assert receipt.submitted_at == "2026-01-01T00:00:00Z"


def test_the_file_is_posted_as_a_form_with_its_length(server, submit, body):
    server.queued()
    submit()
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/m2/acme/v2/profile/batchUpdate")
    assert request.body == body.path.read_bytes()
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["content-length"] == str(body.size)
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"].startswith("airflow-provider-adobe-target/")
    assert "transfer-encoding" not in request.headers


def test_without_a_token_no_authorization_is_sent(server, submit):
    server.queued()
    submit(token=None)
    assert "authorization" not in server.requests[0].headers


def test_an_accepted_submit_in_json_returns_the_batch(server, submit):
    url = f"{server.url}/s?a=1&batchId=acme-1-2"
    server.reply(200, json.dumps({"success": True, "batchStatus": url, "message": "ok"}))
    assert submit().batch_id == "acme-1-2"


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        ((200, REFUSED), TargetRefusedError, "Batch is empty"),
        ((400, REFUSED), TargetRefusedError, "HTTP 400.*Batch is empty"),
        ((200, '{"success": false, "message": "no"}'), TargetRefusedError, "no"),
        ((200, "<response><message>odd</message></response>"), TargetRefusedError, "odd"),
        ((200, HTML), TargetRefusedError, "Please log in"),
        ((200, ""), TargetRefusedError, "0 bytes"),
        ((204, ""), TargetRefusedError, "HTTP 204"),
        ((400, HTML), TargetRefusedError, "HTTP 400"),
        ((401, HTML), TokenRefusedError, "token.*HTTP 401"),
        ((403, ""), TokenRefusedError, "token.*HTTP 403"),
        ((404, HTML), TargetRefusedError, "client code"),
        ((408, ""), TargetRefusedError, "HTTP 408"),
        ((413, ""), TargetRefusedError, "max_bytes_per_file"),
        ((301, ""), TargetRefusedError, "redirect"),
        ((307, ""), TargetRefusedError, "redirect"),
        ((200, "<response><success>true</success></response>"), TargetRefusedError, "may have been queued"),
        (
            (
                200,
                "<response><success>true</success><batchStatus>http://evil.example/s</batchStatus></response>",
            ),
            TargetRefusedError,
            "may have been queued.*evil.example.*allowed_status_hosts",
        ),
    ],
)
def test_a_refused_submit_is_tried_once(server, submit, clock, reply, error, text):
    server.reply(*reply, headers={"Location": "/elsewhere"} if 300 <= reply[0] < 400 else {})
    with pytest.raises(error, match=text):
        submit()
    assert len(server.requests) == 1
    assert clock.waits == []


def test_a_message_is_one_line_cut_and_without_a_part_of_the_token(server, submit):
    message = f"{'x' * 480} \n{TOKEN} {'y' * 5000}"
    server.reply(200, f"<response><success>false</success><message>{message}</message></response>")
    with pytest.raises(TargetRefusedError) as caught:
        submit()
    assert f"{'x' * 480} *** yyy" in str(caught.value)
    assert TOKEN[:5] not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_missing_token_differs_from_a_refused_one(server, submit):
    server.reply(403)
    with pytest.raises(TokenRefusedError, match="requires a token"):
        submit(token=None)
    with pytest.raises(TokenRefusedError, match="Debugger token"):
        submit()


@pytest.mark.parametrize(
    ("reply", "waits"),
    [
        ({"status": 503}, [65, 65]),
        ({"status": 503, "headers": {"Retry-After": "7"}}, [7, 7]),
        ({"status": 503, "headers": {"Retry-After": "0"}}, [0, 0]),
        ({"status": 429}, [10, 10]),
        ({"status": 429, "headers": {"Retry-After": "31"}}, [31, 31]),
        ({"status": 500}, [5, 10]),
    ],
)
def test_a_transient_error_is_retried_with_the_same_bytes(server, submit, clock, body, reply, waits):
    server.reply(times=2, **reply).queued()
    receipt = submit()
    assert receipt.batch_id == "acme-1-1"
    assert not receipt.resubmitted_after
    assert clock.waits == waits
    assert [request.body for request in server.requests] == [body.path.read_bytes()] * 3


def test_a_submit_fails_after_five_attempts(server, submit, clock):
    server.reply(500)
    with pytest.raises(AdobeTargetUnavailableError, match=r"^HTTP 500\. Target returned .* 5 attempts") as caught:
        submit()
    assert not caught.value.maybe_accepted
    assert len(server.requests) == 5
    assert clock.waits == [5, 10, 20, 40]


LOST_ANSWERS = [
    {"reset": True},
    {"body": "<response><success>true</success>", "cut": True},
    {"status": 502, "body": HTML},
    {"status": 504},
]


@pytest.mark.parametrize("reply", LOST_ANSWERS)
def test_a_file_whose_answer_was_lost_is_sent_once_more(server, submit, clock, body, reply):
    server.reply(**reply).queued()
    assert submit().resubmitted_after
    assert clock.waits == [5]
    assert [request.body for request in server.requests] == [body.path.read_bytes()] * 2


@pytest.mark.parametrize("reply", LOST_ANSWERS)
def test_a_file_whose_answer_was_lost_twice_is_not_sent_again(server, submit, reply):
    server.reply(times=2, **reply)
    with pytest.raises(AdobeTargetUnavailableError, match="2 attempts") as caught:
        submit()
    assert caught.value.maybe_accepted
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer", [HTML, "", b"\x00", "<response><success>true</success><batchStatus>ftp://x</batchStatus></response>"]
)
def test_a_response_of_a_gateway_leaves_the_submit_unclear(server, submit, answer):
    server.reply(200, answer)
    with pytest.raises(UnclearAnswerError) as caught:
        submit()
    assert caught.value.maybe_accepted
    assert len(server.requests) == 1


@pytest.mark.parametrize("reply", [(200, REFUSED), (400, HTML), (403, ""), (302, "")])
def test_a_refusal_is_none(server, submit, reply):
    server.reply(*reply)
    with pytest.raises(TargetRefusedError) as caught:
        submit()
    assert not caught.value.maybe_accepted


def test_a_refusal_after_a_lost_response_may_be_queued(server, submit):
    server.reply(reset=True).reply(400)
    with pytest.raises(TargetRefusedError) as caught:
        submit()
    assert caught.value.maybe_accepted


def test_a_submit_is_throttled_for_30_minutes_at_most(server, submit, clock):
    server.reply(503)
    with pytest.raises(AdobeTargetUnavailableError, match="HTTP 503"):
        submit()
    assert sum(clock.waits) <= 1800
    assert len(server.requests) == 28


def test_an_absurd_retry_after_is_not_waited_for(server, submit, clock):
    server.reply(503, headers={"Retry-After": "86400"})
    with pytest.raises(AdobeTargetUnavailableError):
        submit()
    assert clock.waits == []


def test_an_answer_without_end_is_not_read_to_its_end(server, submit):
    server.reply(200, b"x" * (3 << 20))
    with pytest.raises(AdobeTargetUnavailableError, match="more than 1,048,576 bytes"):
        submit()


def test_submits_polls_and_retries_share_the_rate_limit(server, drive, make_settings, clock, body):
    settings = make_settings(calls_per_minute=3)
    budget = RateLimiter(3, clock)
    server.reply(429, headers={"Retry-After": "0"}, times=4).queued(times=6).reply(500).status("incomplete", times=7)
    server.status("complete")
    for _ in range(6):
        receipt = drive(submit_batch(CallContext(settings, budget, clock), body), settings)
    batches = [receipt] * 4
    drive(wait_for_batches(CallContext(settings, budget, clock), batches, 1, math.inf), settings)
    times = [request.at for request in server.requests]
    assert len(times) > 20
    assert all(later - earlier >= 60 for earlier, later in zip(times, times[3:], strict=False))


@pytest.mark.parametrize(
    "reply",
    [
        {"status": 500, "body": f"Bearer {TOKEN} batch=thirdPartyId,tier SECRETROW"},
        {"status": 400, "body": f"<html>Bearer {TOKEN} batch=thirdPartyId,tier SECRETROW</html>"},
        {"status": 403, "body": f"Bearer {TOKEN}"},
        {"status": 400, "body": f"bad header: Bearer {TOKEN}"},
        {"body": f"<response><success>false</success><message>not {TOKEN}</message></response>"},
        {"reset": True},
        {"status": 302, "headers": {"Location": f"http://x/{TOKEN}"}},
        {"body": f"<response><success>true</success><batchStatus>http://u:{TOKEN}@h/</batchStatus></response>"},
    ],
)
def test_no_token_and_no_row_shows_in_an_error_or_a_log(server, submit, caplog, reply):
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "httpx", "httpcore", "airflow_provider_adobe_target"):
        caplog.set_level(logging.DEBUG, name)
    server.reply(**reply)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, its text is what matters
        submit()
    chain = [caught.value]
    while chain[-1].__cause__ or chain[-1].__context__:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    seen = caplog.text + "".join(f"{error}{error!r}" for error in chain)
    assert TOKEN not in seen
    assert "SECRETROW" not in seen


def test_a_batch_is_posted_to_the_path_of_its_version():
    settings = TargetSettings.from_fields("acme", "token", None, None, {})
    assert submit_url(settings, "v2") == "https://acme.tt.omtrdc.net/m2/acme/v2/profile/batchUpdate"
    assert submit_url(settings, "v1") == "https://acme.tt.omtrdc.net/m2/acme/profile/batchUpdate"
