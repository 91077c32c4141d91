"""Single updates and look-ups: what goes over the wire, and what answers mean."""

from __future__ import annotations

import json
import logging
from urllib.parse import parse_qsl

import pytest

from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.endpoints.profile import (
    MAX_QUERY_BYTES,
    fetch_profile,
    fetch_url,
    update_profile,
    update_request,
)
from airflow_provider_adobe_target.client.rate_limit.daily import DailyRateLimiter
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetUnavailableError,
    BatchTimeoutError,
    TargetRefusedError,
    TokenRefusedError,
)

ACCEPTED = "<response> <success>true</success><pcId/><message>Request successfully submitted</message></response>"
ADOBE = TargetSettings.from_fields("acme", "token", None, None, {})
LOCAL = TargetSettings.from_fields("acme", "token", "http://127.0.0.1:8900", None, {})
HTML = "<!DOCTYPE html><html><body>Please log in</body></html>"


@pytest.fixture
def update(drive, make_settings, clock):
    def update(attributes=None, profile_id="PERSON 1&", id_type="thirdPartyId"):
        settings = make_settings()
        budget = DailyRateLimiter(1000, 1_000_000, clock)
        attributes = attributes or {"tier": "GOLDEN"}
        drive(update_profile(CallContext(settings, budget, clock), profile_id, id_type, attributes), settings)

    return update


@pytest.mark.parametrize(("id_type", "parameter"), [("thirdPartyId", "mbox3rdPartyId"), ("pcId", "mboxPC")])
def test_an_update_is_one_post_with_an_encoded_query(server, update, id_type, parameter):
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
def test_a_refused_update_is_not_retried_and_shows_no_data(server, update, caplog, reply, error):
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
        drive(
            fetch_profile(
                CallContext(settings, DailyRateLimiter(10, 99, clock), clock), "U1", "thirdPartyId", deadline
            ),
            settings,
        )
    assert clock.now() <= deadline


@pytest.mark.parametrize(
    ("profile_id", "id_type", "path"),
    [
        ("U 1&/?#ü", "thirdPartyId", "thirdPartyId/U%201%26%2F%3F%23%C3%BC"),
        ("1368007744041-575948", "pcId", "1368007744041-575948"),
        ("..", "thirdPartyId", "thirdPartyId/%2E%2E"),
        ("7352.28_0", "thirdPartyId", "thirdPartyId/7352.28_0"),
        ("0123", "marketingCloudVisitorId", "marketingCloudVisitorId/0123"),
    ],
)
def test_an_id_is_one_path_segment(profile_id, id_type, path):
    url = fetch_url(ADOBE, profile_id, id_type)
    assert url == f"https://acme.tt.omtrdc.net/rest/v1/profiles/{path}?client=acme"


@pytest.mark.parametrize(
    ("profile_id", "host"),
    [
        ("1368007744041-575948.01_00", "mboxedge01"),
        ("10abf6304b2714215b1fd39a870f01afc.28_20", "mboxedge28"),
        ("1000000000000-100000.01", "acme"),
        ("1.2.28_20", "acme"),
        ("1.evil.com/_20", "acme"),
        ("1.28_", "acme"),
        ("1.28_2_0", "acme"),
    ],
)
def test_a_target_id_is_fetched_from_the_edge_in_its_suffix(profile_id, host):
    assert fetch_url(ADOBE, profile_id, "pcId").startswith(f"https://{host}.tt.omtrdc.net/rest/v1/profiles/1")
    assert fetch_url(LOCAL, profile_id, "pcId").startswith("http://127.0.0.1:8900/rest/v1/profiles/1")


@pytest.fixture
def look_up(drive, make_settings, clock):
    def look_up(id_type="thirdPartyId"):
        settings = make_settings()
        return drive(
            fetch_profile(CallContext(settings, RateLimiter(30, clock), clock), "PERSON 1/&", id_type), settings
        )

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
