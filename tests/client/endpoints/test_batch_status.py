from __future__ import annotations

import json
import logging
import math

import pytest

from airflow_provider_adobe_target.client.batch import Batch, BatchStatus
from airflow_provider_adobe_target.client.endpoints.batch_status import batch_status, poll_once, wait_for_batches
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_batch
from airflow_provider_adobe_target.client.endpoints.profile import fetch_profile
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetUnavailableError,
    BatchTimeoutError,
    StatusLostError,
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
        return drive(submit_batch(connection, budget, clock, body, "v2"), connection)

    return submit


@pytest.fixture
def poll(drive, make_settings, clock, server):
    def poll(deadline=math.inf, **settings):
        connection = make_settings(**settings)
        batch = Batch.from_status_url(f"{server.url}/m2/acme/profile/batchStatus?batchId=acme-1-1")
        return drive(batch_status(connection, RateLimiter(30, clock), clock, batch, deadline), connection)

    return poll


@pytest.fixture
def wait(drive, make_settings, clock):
    def wait(batches, poll_interval=60, timeout=86_400, **settings):
        connection = make_settings(**settings)
        flow = wait_for_batches(
            connection, RateLimiter(30, clock), clock, batches, poll_interval, clock.now() + timeout
        )
        return drive(flow, connection)

    return wait


def batch_of(server, batch_id="acme-1-1"):
    return Batch.from_status_url(f"{server.url}/m2/acme/profile/batchStatus?batchId={batch_id}")


# --- submit -------------------------------------------------------------------------------------------------


def test_a_queued_batch_has_a_receipt(server, submit):
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


def test_json_with_the_same_keys_is_a_receipt_too(server, submit):
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


def test_a_demanded_token_is_told_from_a_refused_one(server, submit):
    server.reply(403)
    with pytest.raises(TokenRefusedError, match="demands a token"):
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
def test_a_passing_trouble_is_waited_out_and_the_same_bytes_sent(server, submit, clock, body, reply, waits):
    server.reply(times=2, **reply).queued()
    receipt = submit()
    assert receipt.batch_id == "acme-1-1"
    assert not receipt.answer_was_lost
    assert clock.waits == waits
    assert [request.body for request in server.requests] == [body.path.read_bytes()] * 3


def test_a_lasting_trouble_ends_a_submit_after_five_tries(server, submit, clock):
    server.reply(500)
    with pytest.raises(AdobeTargetUnavailableError, match="5 tries") as caught:
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
    assert submit().answer_was_lost
    assert clock.waits == [5]
    assert [request.body for request in server.requests] == [body.path.read_bytes()] * 2


@pytest.mark.parametrize("reply", LOST_ANSWERS)
def test_a_file_whose_answer_was_lost_twice_is_not_sent_again(server, submit, reply):
    server.reply(times=2, **reply)
    with pytest.raises(AdobeTargetUnavailableError, match="2 tries") as caught:
        submit()
    assert caught.value.maybe_accepted
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer", [HTML, "", b"\x00", "<response><success>true</success><batchStatus>ftp://x</batchStatus></response>"]
)
def test_an_answer_that_is_not_target_s_leaves_open_whether_the_file_was_taken(server, submit, answer):
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


def test_a_refusal_after_a_lost_answer_says_that_the_file_may_be_there(server, submit):
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


# --- status -------------------------------------------------------------------------------------------------


def test_the_status_is_asked_with_details_and_the_token(server, poll):
    server.status("complete", rows=7, failed=1, not_found=2)
    assert poll() == BatchStatus("complete", 7, 7, 4, 2, 1)
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
def test_a_status_is_lost_when_target_says_so_three_times_over_five_minutes(server, poll, clock, reply):
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
    with pytest.raises(AdobeTargetUnavailableError, match=f"acme-1-1.*HTTP {status}"):
        poll()
    assert 1700 <= sum(clock.waits) <= 1800


def test_lost_batches_are_asked_for_again_together(server, drive, make_settings, clock):
    server.reply(404, REFUSED)
    batches = [batch_of(server, f"acme-1-{number}") for number in range(1, 16)]
    flow = poll_once(make_settings(), RateLimiter(50, clock), clock, batches)
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


# --- many batches -------------------------------------------------------------------------------------------


def test_one_poll_asks_only_for_what_is_not_final(server, drive, make_settings, clock):
    server.status("incomplete")
    done = batch_of(server, "acme-1-0").with_status(BatchStatus("stuck"))
    settings = make_settings()
    polled = drive(
        poll_once(settings, RateLimiter(30, clock), clock, [done, batch_of(server)]),
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
    flow = batch_status(settings, RateLimiter(30, clock), clock, batch, clock.now() + left)
    assert next(flow).request.max_seconds == seconds


def test_after_the_deadline_each_batch_is_asked_for_once(server, wait, clock):
    server.status("complete")
    assert wait([batch_of(server)], timeout=-5)[0].final
    assert clock.waits == [0]


def test_failed_polls_at_the_timeout_are_a_timeout(server, wait):
    server.reply(500)
    with pytest.raises(BatchTimeoutError, match=r"acme-1-1.*HTTP 500"):
        wait([batch_of(server)], timeout=100)


def test_submits_polls_and_retries_share_the_budget(server, drive, make_settings, clock, body):
    settings = make_settings(calls_per_minute=3)
    budget = RateLimiter(3, clock)
    server.reply(429, headers={"Retry-After": "0"}, times=4).queued(times=6).reply(500).status("incomplete", times=7)
    server.status("complete")
    for _ in range(6):
        receipt = drive(submit_batch(settings, budget, clock, body), settings)
    batches = [Batch.submitted(receipt, rows=7, bytes=9, sha256="ab")] * 4
    drive(wait_for_batches(settings, budget, clock, batches, 1, math.inf), settings)
    times = [request.at for request in server.requests]
    assert len(times) > 20
    assert all(later - earlier >= 60 for earlier, later in zip(times, times[3:], strict=False))


# --- look-up ------------------------------------------------------------------------------------------------


@pytest.fixture
def look_up(drive, make_settings, clock):
    def look_up(id_type="thirdPartyId"):
        settings = make_settings()
        return drive(fetch_profile(settings, RateLimiter(30, clock), clock, "PERSON 1/&", id_type), settings)

    return look_up


def test_a_profile_is_found_by_its_encoded_id(server, look_up):
    content = {"client": "acme", "visitorId": "U1", "profileAttributes": {"tier": {"value": "gold"}}}
    server.reply(200, json.dumps(content))
    profile = look_up()
    assert (profile.profile_id, profile.values) == ("U1", {"tier": "gold"})
    assert not {"gold", "U1"} & set(repr(profile).split("'"))
    assert server.requests[0].target == "/rest/v1/profiles/thirdPartyId/PERSON%201%2F%26?client=acme"


@pytest.mark.parametrize("status", [404, 200])
def test_a_profile_may_not_be_there(server, look_up, status):
    server.reply(status, '{"status" : 404, "message" : "No profile found for client acme with third party id=PERSON"}')
    assert look_up() is None


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((404, HTML), TargetRefusedError),
        ((200, HTML), TargetRefusedError),
        ((404, '{"status": 404, "message": "Unknown client"}'), TargetRefusedError),
        ((404, '{"status": 404, "error": "Not Found", "path": "PERSON"}'), TargetRefusedError),
        ((404, '{"message": "no Route matched with those values"}'), TargetRefusedError),
        ((200, '{"status": 400, "message": "PERSON"}'), TargetRefusedError),
        ((400, '{"message": "PERSON"}'), TargetRefusedError),
        ((403, '{"status": 404, "message": "PERSON"}'), TokenRefusedError),
        ((404, '{"message": "no Route matched with PERSON"}'), TargetRefusedError),
        ((404, '{"status": 404, "message": "Not Found"}'), TargetRefusedError),
        ((404, '{"status": 404, "error": "Not Found", "path": "/PERSON"}'), TargetRefusedError),
        ((404, '{"fault": {"faultstring": "no profile"}}'), TargetRefusedError),
        ((404, "{}"), TargetRefusedError),
        ((500, '{"status": 500, "message": "No profile found"}'), AdobeTargetUnavailableError),
    ],
)
def test_other_answers_are_no_look_up_and_no_id_shows(server, look_up, caplog, reply, error):
    caplog.set_level(logging.DEBUG)
    server.reply(*reply)
    with pytest.raises(error) as caught:
        look_up()
    assert "PERSON" not in str(caught.value) + caplog.text


# --- what must not be seen ----------------------------------------------------------------------------------


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
