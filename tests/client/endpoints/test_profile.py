"""Single updates and look-ups: what goes over the wire, and what answers mean."""

from __future__ import annotations

import logging
from urllib.parse import parse_qsl

import pytest

from airflow_provider_adobe_target.client.endpoints.profile import (
    MAX_QUERY_BYTES,
    fetch_profile,
    update_profile,
    update_request,
)
from airflow_provider_adobe_target.client.rate_limit.daily import DailyRateLimiter
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetUnavailableError,
    BatchTimeoutError,
    TargetRefusedError,
    TokenRefusedError,
)

ACCEPTED = "<response> <success>true</success><pcId/><message>Request successfully submitted</message></response>"
ADOBE = TargetSettings.from_fields("acme", "token", None, None, {})


@pytest.fixture
def update(drive, make_settings, clock):
    def update(attributes=None, profile_id="PERSON 1&", id_type="thirdPartyId"):
        settings = make_settings()
        budget = DailyRateLimiter(1000, 1_000_000, clock)
        attributes = attributes or {"tier": "GOLDEN"}
        drive(update_profile(settings, budget, clock, profile_id, id_type, attributes), settings)

    return update


@pytest.mark.parametrize(("id_type", "parameter"), [("thirdPartyId", "mbox3rdPartyId"), ("pcId", "mboxPC")])
def test_an_update_is_one_post_with_everything_encoded_in_its_query(server, update, id_type, parameter):
    server.reply(200, ACCEPTED)
    update({"tier": "50% off & more", "address.city": "Zürich+#="}, id_type=id_type)
    [request] = server.requests
    assert (request.method, request.body) == ("POST", b"")
    assert request.target == (
        f"/m2/acme/profile/update?{parameter}=PERSON%201%26"
        "&profile.tier=50%25%20off%20%26%20more&profile.address.city=Z%C3%BCrich%2B%23%3D"
    )


def test_the_query_holds_up_to_8_kb_of_url_and_a_form_the_rest():
    fixed = len(update_request(ADOBE, "U1", "thirdPartyId", {"a": ""}).url)
    longest = update_request(ADOBE, "U1", "thirdPartyId", {"a": "x" * (MAX_QUERY_BYTES - fixed)})
    assert (len(longest.url), longest.body, "Content-Type" in longest.headers) == (8192, None, False)

    longer = update_request(ADOBE, "U1", "thirdPartyId", {"a": "x" * (MAX_QUERY_BYTES - fixed + 1), "b": "ü&"})
    assert longer.url == "https://acme.tt.omtrdc.net/m2/acme/profile/update?mbox3rdPartyId=U1"
    assert longer.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(longer.body.decode("ascii")))["profile.b"] == "ü&"


@pytest.mark.parametrize(
    "answer",
    [
        ACCEPTED,
        "trueRequest successfully submitted",
        "\n true Request successfully submitted",
        '{"success": true, "pcId": "", "message": "Request successfully submitted"}',
    ],
    ids=["xml", "plain text", "plain text with blanks", "json"],
)
def test_an_accepted_update_is_read_in_every_form(server, update, answer):
    server.reply(200, answer)
    update()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((200, ACCEPTED.replace("true", "false").replace("Request", "PERSON")), TargetRefusedError),
        ((200, "falsePERSON"), TargetRefusedError),
        ((200, ""), TargetRefusedError),
        ((200, "<!DOCTYPE html><html>true PERSON</html>"), TargetRefusedError),
        ((400, ACCEPTED), TargetRefusedError),
        ((413, "PERSON GOLDEN is too large"), TargetRefusedError),
        ((302, "trueRequest"), TargetRefusedError),
        ((401, "PERSON"), TokenRefusedError),
        ((403, "PERSON"), TokenRefusedError),
    ],
)
def test_a_refusal_is_told_once_and_shows_nobody(server, update, caplog, reply, error):
    caplog.set_level(logging.DEBUG)
    server.reply(*reply)
    with pytest.raises(error) as caught:
        update()
    assert len(server.requests) == 1
    assert "PERSON" not in str(caught.value) + caplog.text
    assert "GOLDEN" not in str(caught.value) + caplog.text


def test_an_update_without_a_usable_answer_is_sent_again_as_it_was(server, update, clock, caplog):
    caplog.set_level(logging.DEBUG)
    server.reply(500, "PERSON").reply(reset=True).reply(503).reply(429).reply(200, ACCEPTED)
    update()
    assert clock.waits == [1.0, 2.0, 65.0, 10.0]
    assert len({request.target for request in server.requests}) == 1
    assert "PERSON" not in caplog.text
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 3


def test_after_half_an_hour_without_an_answer_the_update_fails(server, update, clock):
    server.reply(500)
    begin = clock.now()
    with pytest.raises(AdobeTargetUnavailableError, match="a single update"):
        update()
    assert 1700 < clock.now() - begin <= 1800


def test_a_look_up_waits_for_no_longer_than_its_deadline(server, drive, make_settings, clock):
    server.reply(503)
    settings = make_settings()
    deadline = clock.now() + 100
    with pytest.raises(BatchTimeoutError, match="the look-up of a profile"):
        drive(fetch_profile(settings, DailyRateLimiter(10, 99, clock), clock, "U1", "thirdPartyId", deadline), settings)
    assert clock.now() <= deadline
