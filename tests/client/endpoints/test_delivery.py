"""The conversation that links ids, over real sockets."""

import json
import logging
import uuid

import pytest

from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.endpoints.delivery import (
    Link,
    Person,
    RampUpLimiter,
    cluster_url,
    delivery_request,
    link_person,
    session_id,
)
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import AdobeTargetUnavailableError, PersonRefusedError, TargetRefusedError

PERSON = Person(
    key="thirdPartyId SECRET-1", third_party_id="SECRET-1", tnt_id="SECRET-2.28_0", attributes={"tier": "a"}
)


def answer(server, edge_host=None, tnt_id="t1.45_0", **options):
    content = {"status": 200, "id": {"tntId": tnt_id}, "edgeHost": edge_host}
    return server.reply(200, json.dumps(content), **options)


@pytest.fixture
def link(make_settings, clock, drive):
    def link(person=PERSON, edge_url=None, pace=None, **settings):
        target = make_settings(**settings)
        pace = pace or RampUpLimiter(1_000, clock)
        return drive(link_person(CallContext(target, pace, clock), person, mbox="link-box", edge_url=edge_url), target)

    return link


def test_one_request_has_all_ids_in_one_mbox_and_no_token(server, link):
    answer(server)
    assert link().tnt_id == "t1.45_0"
    [request] = server.requests
    path, _, query = request.target.partition("?")
    assert (request.method, path) == ("POST", "/rest/v1/delivery")
    assert query.startswith("client=acme&sessionId=")
    assert json.loads(request.body) == {
        "context": {"channel": "web"},
        "id": {"tntId": "SECRET-2.28_0", "thirdPartyId": "SECRET-1"},
        "execute": {"mboxes": [{"index": 0, "name": "link-box", "profileParameters": {"tier": "a"}}]},
    }
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers


def test_customer_ids_are_authenticated_and_sent_with_the_ecid(server, link):
    answer(server)
    link(Person(key="crm U1", ecid="42", customer_ids={"crm": "U1", "shop": "S1"}))
    body = json.loads(server.requests[0].body)
    assert body["id"] == {
        "marketingCloudVisitorId": "42",
        "customerIds": [
            {"id": "U1", "integrationCode": "crm", "authenticatedState": "authenticated"},
            {"id": "S1", "integrationCode": "shop", "authenticatedState": "authenticated"},
        ],
    }
    assert body["execute"] == {"mboxes": [{"index": 0, "name": "link-box"}]}


def test_the_property_token_of_the_connection_is_sent(server, link):
    answer(server)
    link(property_token="prop-1")
    assert json.loads(server.requests[0].body)["property"] == {"token": "prop-1"}


def test_a_given_session_id_is_sent_percent_encoded(server, link):
    answer(server)
    link(Person(key="thirdPartyId 1", third_party_id="1", session_id="a#1&b+c%"))
    assert server.requests[0].target.endswith("&sessionId=a%231%26b%2Bc%25")
    assert "a#1" not in repr(Person(key="1", session_id="a#1"))


def test_an_edge_cluster_is_a_host_of_target_over_https():
    settings = TargetSettings.from_fields("acme", None, None, None, {})
    assert cluster_url(settings, "28") == "https://mboxedge28.tt.omtrdc.net"
    assert cluster_url(settings, None) is None


@pytest.mark.parametrize("host", ["http://127.0.0.1:8900", "https://target.example.com", "tt.omtrdc.net.example.com"])
def test_another_host_of_the_connection_replaces_edge_clusters(host):
    assert cluster_url(TargetSettings.from_fields("acme", None, host, None, {}), "28") is None


def test_the_session_id_is_a_uuid_unique_to_the_person(make_settings):
    settings = make_settings()
    session = session_id(settings, PERSON)
    assert uuid.UUID(session).hex == session
    assert session == session_id(settings, Person(key=PERSON.key, ecid="42"))
    assert session != session_id(settings, Person(key="thirdPartyId SECRET-2"))
    assert session != session_id(make_settings(login="other"), PERSON)


def test_the_next_call_goes_to_the_edge_host_of_the_answer(server, other_server, link):
    answer(server, edge_host=f"127.0.0.1:{other_server.port}")
    answer(other_server)
    linked = link()
    assert linked.edge_url == other_server.url
    assert link(edge_url=linked.edge_url).tnt_id == "t1.45_0"
    assert (len(server.requests), len(other_server.requests)) == (1, 1)


@pytest.mark.parametrize("host", ["evil.example.com", "user@127.0.0.1", "127.0.0.1/x?y", "127.0.0.1\\x", "a b", "", 5])
def test_a_host_that_is_none_of_targets_is_not_followed(server, link, host):
    answer(server, edge_host=host)
    assert link() == Link("t1.45_0", None)


def test_an_edge_host_of_targets_is_called_by_https(server, link):
    answer(server, edge_host="mboxedge28.tt.omtrdc.net")
    assert link().edge_url == "https://mboxedge28.tt.omtrdc.net"


def test_an_unreachable_edge_host_falls_back_to_the_client_host(server, other_server, link):
    other_server.close()
    answer(server)
    assert link(edge_url=other_server.url).tnt_id == "t1.45_0"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "headers", "waited"),
    [
        (420, {}, 5),
        (429, {}, 10),
        (429, {"Retry-After": "7"}, 7),
        (500, {}, 1),
        (503, {}, 1),
        (503, {"Retry-After": "30"}, 30),
    ],
)
def test_an_answer_that_may_get_better_is_waited_for(server, clock, link, status, headers, waited):
    server.reply(status, "", headers=headers)
    answer(server)
    assert link().tnt_id == "t1.45_0"
    assert sum(clock.waits) == pytest.approx(waited, abs=0.01)
    assert server.requests[0].body == server.requests[1].body
    assert server.requests[0].target == server.requests[1].target


def test_lost_and_foreign_answers_are_retried(server, clock, link):
    server.reply(reset=True)
    server.reply(200, "{}", cut=True)
    server.reply(200, "<html>a proxy's</html>")
    answer(server)
    assert link().tnt_id == "t1.45_0"
    assert sum(clock.waits) == pytest.approx(1 + 2 + 4, abs=0.01)


@pytest.mark.parametrize(
    "content", [{}, {"error": "none"}, {"status": 200, "id": {}}, {"status": 200, "requestId": "r"}, {"id": "t1"}]
)
def test_json_that_is_none_of_deliverys_is_tried_again(server, clock, link, content):
    server.reply(200, json.dumps(content))
    answer(server)
    assert link().tnt_id == "t1.45_0"
    assert sum(clock.waits) == pytest.approx(1, abs=0.01)


def test_an_answer_of_deliverys_may_be_without_a_target_id(server, link):
    server.reply(200, '{"status": 200, "requestId": "r", "client": "acme", "id": {"thirdPartyId": "SECRET-1"}}')
    assert link() == Link(None, None)
    assert len(server.requests) == 1


def test_after_half_an_hour_it_is_given_up(server, clock, link):
    server.reply(500, "")
    begin = clock.time
    with pytest.raises(AdobeTargetUnavailableError, match="HTTP 500"):
        link()
    assert 28 * 60 <= clock.time - begin <= 30 * 60


def test_a_refusal_of_one_person_repeats_no_data(server, link, caplog):
    caplog.set_level(logging.DEBUG)
    server.reply(400, '{"status":400,"message":"SECRET-1 is no id"}')
    with pytest.raises(PersonRefusedError) as refused:
        link()
    assert "SECRET" not in f"{refused.value} {caplog.text} {PERSON!r}"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, '{"status":400,"message":"Invalid property token"}', "property_token"),
        (401, "", "HTTP 401"),
        (404, '{"status":404}', "login"),
        (302, "", "HTTP 302"),
    ],
)
def test_a_refusal_of_every_person_names_what_to_check(server, link, status, body, words):
    server.reply(status, body)
    with pytest.raises(TargetRefusedError, match=words):
        link()


def test_a_request_shows_neither_url_nor_body(make_settings):
    assert "SECRET" not in repr(delivery_request(make_settings(), PERSON, "link-box"))


def test_the_rate_of_calls_grows_by_200_a_minute(clock):
    pace = RampUpLimiter(1_000, clock)
    for minute, expected in enumerate([200, 400, 600, 800, 1_000, 1_000]):
        clock.time = 1_767_225_600.0 + 60 * minute + 1
        assert pace.take() == 0
        assert pace.take() == pytest.approx(1 / expected, abs=1e-5)


def test_retry_after_delays_all_calls(clock):
    pace = RampUpLimiter(10, clock)
    pace.hold(30)
    assert pace.take() == pytest.approx(30, abs=1e-5)
    assert pace.take() == pytest.approx(30.1, abs=1e-5)
