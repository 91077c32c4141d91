"""Scripted answers and broken connections, over real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_adobe_target.sandbox import Answer

ONE_ROW = "batch=thirdPartyId,tier\nU1,gold"
LARGE = b"batch=thirdPartyId,tier\nU1," + b"x" * 5_000_000


def test_scripted_answers_come_in_order_and_then_the_real_ones(target):
    target.sandbox.script("submit", Answer(503, headers={"Retry-After": "7"}), Answer.real(), Answer(500, "no"))
    answers = [target.submit(ONE_ROW) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 200, 500, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert answers[2].text == "no"
    assert len(target.sandbox.batches) == 2


def test_the_last_scripted_answer_may_stay_for_ever(target):
    target.sandbox.script("status", Answer(500), Answer(503), forever=True)
    url = target.status_url(ONE_ROW)
    assert [target.status(url).status_code for _ in range(4)] == [500, 503, 503, 503]


def test_a_new_script_replaces_what_is_left_of_the_old_one(target):
    target.sandbox.script("submit", Answer(500), forever=True)
    target.sandbox.script("submit", Answer(502))
    assert [target.submit(ONE_ROW).status_code for _ in range(2)] == [502, 200]
    target.sandbox.script("submit", Answer(500), forever=True)
    target.sandbox.script("submit")
    assert target.submit(ONE_ROW).status_code == 200


def test_a_script_concerns_its_route_only(target):
    target.sandbox.script("fetch", Answer(500))
    assert target.submit(ONE_ROW).status_code == 200
    assert target.fetch("1").status_code == 500


def test_an_unknown_route_cannot_be_scripted(sandbox):
    with pytest.raises(ValueError, match="no route 'submitt'"):
        sandbox.script("submitt", Answer(500))


@pytest.mark.parametrize("body", [ONE_ROW, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("reset", "batches"), [("before", 0), ("in", 0), ("after", 1)])
def test_a_reset_breaks_the_connection_before_or_after_the_batch(target, body, reset, batches):
    target.sandbox.script("submit", Answer(reset=reset))
    with pytest.raises(requests.ConnectionError):
        target.submit(body)
    assert len(target.sandbox.batches) == batches
    (call,) = target.sandbox.calls
    assert call.status is None
    assert {"before": call.body_bytes == 0, "in": call.body_bytes > 0, "after": call.body_bytes == len(body)}[reset]
    assert target.submit(ONE_ROW).status_code == 200


@pytest.mark.parametrize("answer", [Answer(200, "<response/>", cut=5), Answer.real(cut=5)])
def test_a_cut_answer_promises_more_than_it_sends(target, answer):
    target.sandbox.script("submit", answer)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="5 bytes read"):
        target.submit(ONE_ROW)


def test_a_delayed_answer_is_sent_after_processing(target):
    target.sandbox.script("submit", Answer.real(delay=30))
    url = f"{target.sandbox.url}/m2/acme/v2/profile/batchUpdate"
    with pytest.raises(requests.ReadTimeout):
        requests.post(url, data=ONE_ROW, timeout=0.3)
    assert len(target.sandbox.batches) == 1


def test_calls_are_recorded_in_order(target):
    target.fetch("thirdPartyId/a%2Fb", headers={"Authorization": "Bearer secret"})
    (call,) = target.sandbox.calls
    assert (call.route, call.method, call.status) == ("fetch", "GET", 404)
    assert (call.raw_path, call.query) == ("/rest/v1/profiles/thirdPartyId/a%2Fb", "client=acme")
    assert call.headers["Authorization"] == call.headers["authorization"] == "Bearer secret"
    assert f"http://{call.host}" == target.sandbox.url
    assert call.at == target.clock.now


def test_other_paths_are_recorded_as_unknown(target):
    assert requests.get(target.sandbox.url + "/elsewhere", timeout=10).status_code == 404
    assert target.sandbox.calls[-1].route == "unknown"


def test_a_reset_sandbox_is_empty(target):
    target.submit(ONE_ROW)
    target.sandbox.script("submit", Answer(500), forever=True)
    target.sandbox.settings.token = "secret"
    target.sandbox.reset()
    assert (target.sandbox.batches, target.sandbox.calls, target.sandbox.settings.token) == ([], [], None)
    assert target.sandbox.profile("U1") is None
    assert target.submit(ONE_ROW).status_code == 200


def test_a_connection_lost_within_the_body_leaves_no_batch(target):
    url = urlsplit(target.sandbox.url)
    body = b"batch=thirdPartyId,tier\nU1,gold\nU2"
    request = "POST /m2/acme/v2/profile/batchUpdate HTTP/1.1"
    head = f"{request}\r\nHost: {url.netloc}\r\nContent-Length: {len(body) + 5}\r\n\r\n"
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(head.encode() + body)
    while not (target.sandbox.calls and target.sandbox.calls[0].body):
        time.sleep(0.01)
    assert target.submit(ONE_ROW).status_code == 200
    assert [batch.row_count for batch in target.sandbox.batches] == [1]
    assert target.sandbox.calls[0].status is None


class TestCountingOnly:
    """What the sandbox does with ``keep_profiles=False``."""

    @pytest.fixture(autouse=True)
    def _count_only(self, target):
        target.sandbox.settings.keep_profiles = False

    @pytest.mark.parametrize("end", [b"", b"\n"])
    def test_reports_a_batch_without_storing_its_rows(self, target, end):
        body = b"batch=thirdPartyId,tier,city\nU1,gold,New%20York\nU2,,Z%C3%BCrich" + end
        status = target.load(body)
        (batch,) = target.sandbox.batches
        assert (status["status"], status["batchSize"], status["successfulUpdates"]) == ("complete", "2", "2")
        assert (batch.key, batch.names, batch.row_count) == ("thirdPartyId", ["tier", "city"], 2)
        assert (batch.body_bytes, batch.sha256) == (len(body), hashlib.sha256(body).hexdigest())
        assert (batch.body, batch.rows, target.sandbox.calls[0].body) == (b"", [], b"")
        assert target.sandbox.profile("U1") is None

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("batch=thirdPartyId,tier", "empty"),
            ("batch=thirdPartyId,tier\nU1,gold,old\nU2,silver", "cells"),
            ("batch=thirdPartyId,tier\nU1,gold\nU2", "cells"),
            ("batch=thirdPartyId,profile.tier\nU1,gold", "profile."),
        ],
    )
    def test_refuses_what_is_no_whole_table(self, target, read_fields, body, reason):
        answer = read_fields(target.submit(body))
        assert answer["success"] == "false"
        assert reason in answer["message"]
        assert target.sandbox.batches == []


@pytest.mark.parametrize(
    ("answer", "is_acknowledged"),
    [
        (Answer.real(), True),
        (Answer.real(delay=0.01), True),
        (Answer.real(reset="after"), False),
        (Answer.real(cut=5), False),
        (Answer(504, is_processed=True), False),
    ],
)
def test_a_file_can_be_accepted_without_a_response(target, answer, is_acknowledged):
    target.sandbox.script("submit", answer)
    with contextlib.suppress(requests.RequestException):
        assert target.submit(ONE_ROW).status_code == (200 if is_acknowledged else 504)
    (batch,) = target.sandbox.batches
    assert batch.call.is_acknowledged is is_acknowledged
    assert batch.call is target.sandbox.calls[0]


def test_a_client_that_disconnected_got_no_status(target):
    target.sandbox.script("submit", Answer.real(delay=30))
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{target.sandbox.url}/m2/acme/v2/profile/batchUpdate", data=ONE_ROW, timeout=0.2)
    time.sleep(0.1)  # until the sandbox has noticed
    (batch,) = target.sandbox.batches
    assert (batch.call.status, batch.call.is_acknowledged) == (None, False)


def test_a_single_call_may_have_other_settings(target):
    target.sandbox.script("submit", Answer.real(final_status="stuck", processing_seconds=60))
    target.submit(ONE_ROW)
    target.submit(ONE_ROW)
    target.clock.move(seconds=60)
    assert [batch.status for batch in target.sandbox.batches] == ["stuck", "complete"]
    assert (target.sandbox.settings.final_status, target.sandbox.settings.processing_seconds) == ("complete", 0)


def test_rows_that_are_lost_are_known_to_the_sandbox_alone(target):
    target.sandbox.settings.loss_rate = 1
    answer = target.load("batch=thirdPartyId,tier\nU1,gold\nU2,")
    assert answer["successfulUpdates"] == "1"
    assert target.sandbox.profile("U1") is None
    assert target.sandbox.batches[0].lost_ids == ["U1"]


@pytest.mark.parametrize("nothing", [None, (), []])
def test_nothing_may_fail(target, nothing):
    target.sandbox.reset(processing_seconds=0, fail_ids=nothing, omit_counters=nothing, integration_codes=nothing)
    assert target.load(ONE_ROW)["successfulUpdates"] == "1"
    target.sandbox.settings.fail_ids = nothing
    assert target.load(ONE_ROW)["failedUpdates"] == "0"


def test_one_id_that_fails_may_be_a_text(target):
    target.sandbox.reset(processing_seconds=0, fail_ids="U1")
    assert target.load("batch=thirdPartyId,tier\nU1,gold\nU,gold\n1,gold")["failedUpdates"] == "1"


@pytest.mark.parametrize("name", ["processing_seconds", "client_code", "final_status", "session_concurrency", "noise"])
def test_a_setting_that_needs_a_value_is_refused_without_one(target, name):
    with pytest.raises(ValueError, match=name):
        target.sandbox.reset(**{name: None})
    with pytest.raises(ValueError, match=name):
        setattr(target.sandbox.settings, name, None)


def test_each_call_is_watched_from_its_arrival_to_its_end(target):
    seen = []
    target.sandbox.watch(lambda call, moment: seen.append((call.route, moment, len(target.sandbox.batches))))
    try:
        target.submit(ONE_ROW)
        target.sandbox.script("status", Answer(reset="before"))
        with pytest.raises(requests.ConnectionError):
            target.status(f"{target.sandbox.url}/m2/acme/profile/batchStatus?batchId=1")
        end = time.monotonic() + 10
        while len(seen) < 5 and time.monotonic() < end:
            time.sleep(0.002)
    finally:
        target.sandbox.watch(lambda call, moment: None)
    assert seen == [
        ("submit", "arrived", 0),
        ("submit", "handled", 1),
        ("submit", "ended", 1),
        ("status", "arrived", 1),
        ("status", "ended", 1),
    ]
