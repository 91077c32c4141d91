"""The sandbox's Delivery API against what is known of Adobe's, fact by fact, over real sockets."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_adobe_target.sandbox import Answer

WEB = {"channel": "web"}
ECID = {"marketingCloudVisitorId": "42"}


def customer_id(profile_id: str, code: str = "crm", state: str = "authenticated") -> dict[str, str]:
    return {"id": profile_id, "integrationCode": code, "authenticatedState": state}


def warnings(target) -> list[str]:
    return requests.get(target.sandbox.url + "/state.json", timeout=10).json()["warnings"]


class OpenCalls:
    """Delivery calls whose answers have begun and do not end, so that all are in flight at one moment."""

    def __init__(self, sandbox) -> None:
        self._sandbox = sandbox
        self._connections: list[HTTPConnection] = []
        self._ended = threading.Semaphore(0)

    def __enter__(self):
        self._sandbox.watch(self._notice)
        return self

    def __exit__(self, *_) -> None:
        self.end(len(self._connections))
        self._sandbox.script("delivery")
        self._sandbox.watch(lambda call, moment: None)

    def _notice(self, call, moment: str) -> None:
        if moment == "ended" and call.parameter("open"):
            self._ended.release()

    def simultaneous(self, count: int, session: str = "s1") -> list[tuple[int, bytes]]:
        """Make calls at one moment, and return the status and the first byte of each answer."""
        self._sandbox.script("delivery", *[Answer.real(drip=60)] * count)
        together = threading.Barrier(count)

        def call(connection: HTTPConnection) -> tuple[int, bytes]:
            together.wait(10)
            path = f"/rest/v1/delivery?client=acme&sessionId={session}&open=1"
            connection.request("POST", path, json.dumps({"context": WEB}))
            answer = connection.getresponse()
            return answer.status, answer.read(1)

        connections = [HTTPConnection(urlsplit(self._sandbox.url).netloc, timeout=10) for _ in range(count)]
        self._connections += connections
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(call, connections))

    def end(self, count: int) -> None:
        """Disconnect the oldest calls, and wait until the sandbox has noticed."""
        for connection in self._connections[:count]:
            connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()
        assert all(self._ended.acquire(timeout=10) for _ in self._connections[:count])
        del self._connections[:count]


class TestDelivery:
    def test_answers_ids_with_a_target_id_and_an_edge_host(self, target):
        content = target.deliver({"thirdPartyId": "U1"}, requestId="r1").json()
        assert (content["status"], content["requestId"], content["client"]) == (200, "r1", "acme")
        assert content["id"]["thirdPartyId"] == "U1"
        assert content["id"]["tntId"].partition(".")[2] == "00_0"
        assert f"http://{content['edgeHost']}" == target.sandbox.edge_url
        assert content["execute"] == {"mboxes": [{"index": 0, "name": "warehouse-link"}]}

    def test_names_a_request_by_a_uuid_where_the_caller_does_not(self, target):
        first, second = (target.deliver().json()["requestId"] for _ in range(2))
        assert str(uuid.UUID(first)) == first != second

    def test_completes_target_ids_with_the_cluster_that_is_set(self, target):
        target.sandbox.settings.cluster = "28"
        assert target.deliver({"tntId": "1"}).json()["id"]["tntId"] == "1.28_0"

    def test_needs_no_token(self, target):
        target.sandbox.settings.token = "secret"
        assert target.deliver().status_code == 200

    def test_writes_profile_parameters_at_once(self, target):
        target.sandbox.settings.visible_after_seconds = 60
        target.deliver({"thirdPartyId": "U1"}, {"tier": "gold"})
        assert target.attributes("thirdPartyId/U1") == {"tier": "gold"}

    def test_links_ids_and_lets_the_value_under_the_customer_id_win(self, target):
        target.load("batch=thirdPartyId,tier,city\nU1,gold,Rome")
        target.load("batch=pcId,tier,shoe\n1.28_0,silver,42")
        target.deliver({"thirdPartyId": "U1", "tntId": "1.28_0"})
        linked = {"tier": "gold", "city": "Rome", "shoe": "42"}
        assert target.attributes("thirdPartyId/U1") == target.attributes("1.28_0") == linked

    def test_separates_two_customers_that_share_a_browser(self, target):
        target.deliver({"thirdPartyId": "U1", "tntId": "1.28_0"}, {"a": "1"})
        target.deliver({"thirdPartyId": "U2", "tntId": "1.28_0"}, {"a": "2"})
        assert target.attributes("thirdPartyId/U1") == {"a": "1"}
        assert target.attributes("thirdPartyId/U2") == target.attributes("1.28_0") == {"a": "2"}

    def test_links_an_authenticated_customer_id_and_an_ecid(self, target):
        target.deliver({**ECID, "customerIds": [customer_id("U1")]}, {"a": "x"})
        assert target.attributes("thirdPartyId/U1") == target.attributes("marketingCloudVisitorId/42") == {"a": "x"}
        assert target.deliver({"customerIds": [customer_id("U1")]}).status_code == 400

    @pytest.mark.parametrize("state", ["unknown", "logged_out"])
    def test_ignores_a_customer_id_that_is_not_authenticated(self, target, state):
        target.deliver({**ECID, "customerIds": [customer_id("U1", state=state)]}, {"a": "x"})
        assert target.sandbox.profile("U1") is None

    def test_takes_the_first_customer_id_of_a_known_data_source(self, target):
        target.sandbox.settings.integration_codes = ("crm",)
        ids = [customer_id("U1", "shop"), customer_id("U2"), customer_id("U3")]
        target.deliver({**ECID, "customerIds": ids}, {"a": "x"})
        assert [target.sandbox.profile(name) for name in ("U1", "U2", "U3")] == [None, {"a": "x"}, None]

    def test_warns_of_a_customer_id_beside_another_third_party_id(self, target):
        target.deliver({**ECID, "thirdPartyId": "U1", "customerIds": [customer_id("U1")]})
        assert warnings(target) == []
        target.deliver({"thirdPartyId": "U1", "marketingCloudVisitorId": "42", "customerIds": [customer_id("U2")]})
        assert len(warnings(target)) == 1

    def test_keeps_the_target_id_of_a_visitor_with_a_further_id(self, target):
        first = target.deliver({"thirdPartyId": "U1"}).json()["id"]
        assert target.deliver({"thirdPartyId": "U1"}).json()["id"] == first
        assert target.deliver(ECID).json()["id"]["tntId"] != first["tntId"]

    @pytest.mark.parametrize(("given", "told"), [("1.28_20", "1.28_20"), ("1", "1.00_0")])
    def test_returns_target_ids_with_their_suffix(self, target, given, told):
        assert target.deliver({"tntId": given}).json()["id"]["tntId"] == told

    def test_makes_a_profile_for_a_visitor_without_any_id(self, target):
        told = target.deliver(values={"a": "x"}).json()["id"]
        assert list(told) == ["tntId"]
        assert target.attributes(told["tntId"]) == {"a": "x"}

    @pytest.mark.parametrize(
        "part",
        [
            {"prefetch": {"views": [{"profileParameters": {"a": "x"}}]}},
            {"prefetch": {"mboxes": [{"index": 0, "name": "m", "profileParameters": {"a": "x"}}]}},
            {"execute": {"pageLoad": {"profileParameters": {"a": "x"}}}},
            {"notifications": [{"id": "n", "type": "display", "timestamp": 1, "profileParameters": {"a": "x"}}]},
        ],
    )
    def test_takes_profile_parameters_from_every_part(self, target, part):
        answer = target.deliver_body({"context": WEB, "id": {"thirdPartyId": "U1"}, **part})
        assert list(answer.json())[-1] == next(iter(part))
        assert target.attributes("thirdPartyId/U1") == {"a": "x"}

    def test_takes_more_than_fifty_notifications(self, target):
        many = [{"id": f"n{number}", "type": "click", "timestamp": 1} for number in range(51)]
        assert len(target.deliver_body({"context": WEB, "notifications": many}).json()["notifications"]) == 51

    def test_stores_nothing_without_execute_unless_configured(self, target):
        body = {"context": WEB, "id": {"thirdPartyId": "U1", "tntId": "1.28_0"}}
        assert target.deliver_body(body).status_code == 200
        assert target.fetch("thirdPartyId/U1").status_code == 404
        target.sandbox.settings.link_without_mbox = True
        target.deliver_body(body)
        assert target.fetch("thirdPartyId/U1").status_code == target.fetch("1.28_0").status_code == 200

    @pytest.mark.parametrize("parameter", ["client", "sessionId"])
    def test_needs_client_and_session_id(self, target, parameter):
        query = {"client": "acme", "sessionId": "s1"}
        del query[parameter]
        url = target.sandbox.url + "/rest/v1/delivery"
        assert requests.post(url, params=query, json={"context": WEB}, timeout=10).status_code == 400

    def test_takes_the_organization_instead_of_the_client_code(self, target):
        def status(organization: str) -> int:
            query = {"imsOrgId": organization, "sessionId": "s1"}
            url = target.sandbox.url + "/rest/v1/delivery"
            return requests.post(url, params=query, json={"context": WEB}, timeout=10).status_code

        assert (status("ORG@AdobeOrg"), status("")) == (200, 400)
        target.sandbox.settings.ims_org_id = "ORG@AdobeOrg"
        assert (status("ORG@AdobeOrg"), status("OTHER@AdobeOrg")) == (200, 404)
        target.sandbox.settings.accept_ims_org = False
        assert status("ORG@AdobeOrg") == 400

    def test_of_more_than_sixty_million_bytes_answers_413(self, target):
        url = f"{target.sandbox.url}/rest/v1/delivery?client=acme&sessionId=s1"
        assert requests.post(url, data=b" " * 60_000_001, timeout=30).status_code == 413

    def test_takes_values_to_the_length_that_is_set(self, target):
        target.sandbox.settings.delivery_value_length = 5_000
        assert target.deliver(values={"a": "x" * 5_000}).status_code == 200
        assert target.deliver(values={"a": "x" * 5_001}).status_code == 400

    def test_takes_everything_at_its_limit(self, target):
        customers = [customer_id("c" * 128, "d" * 50)] * 50
        ids = {"thirdPartyId": "U" * 256, "tntId": "t" * 123 + ".28_0", "marketingCloudVisitorId": "4" * 128}
        context = {**WEB, "address": {"url": "u" * 4_096, "referringUrl": "r" * 4_096}, "browser": {"host": "h"}}
        mboxes = [{"index": number, "name": "m" * 128, "profileParameters": {}} for number in range(50)]
        mboxes[0]["profileParameters"] = {f"{number:0128}": "x" * 256 for number in range(50)}
        cloud = {
            "analytics": {"supplementalDataId": "s" * 33, "logging": "client_side"},
            "audienceManager": {"locationHint": 1, "blob": "b" * 1_024},
        }
        body = {"requestId": "r" * 128, "impressionId": "i" * 128, "environmentId": 1, "experienceCloud": cloud}
        more = {"context": context, "id": {**ids, "customerIds": customers}, "execute": {"mboxes": mboxes}}
        assert target.deliver_body({**body, **more}).status_code == 200

    @pytest.mark.parametrize(
        "changes",
        [
            {"context": {}},
            {"context": {"channel": "tv"}},
            {"context": {"channel": "mobile"}},
            {"context": {"channel": "mobile", "mobilePlatform": "phone"}},
            {"property": {}},
            {"property": {"token": ["x"]}},
            {"id": {"thirdPartyId": 1}},
            {"id": {"marketingCloudVisitorId": "42", "customerIds": [{"id": 1}]}},
            {"execute": {"mboxes": [{"index": [], "name": "m"}]}},
            {"id": {"thirdPartyId": "x" * 257}},
            {"id": {"thirdPartyId": "a+b"}},
            {"id": {"thirdPartyId": "a/b", "tntId": "1.28_0"}},
            {"id": {"thirdPartyId": "/"}},
            {"id": {"tntId": "a.b.c"}},
            {"id": {"tntId": "x" * 129}},
            {"id": {"marketingCloudVisitorId": "x" * 129}},
            {"id": {**ECID, "customerIds": [None]}},
            {"id": {**ECID, "customerIds": [customer_id("x" * 129)]}},
            {"id": {**ECID, "customerIds": [customer_id("x", "d" * 51)]}},
            {"id": {**ECID, "customerIds": [customer_id("x", state="loggedOut")]}},
            {"id": {**ECID, "customerIds": [customer_id("x")] * 51}},
            {"context": {"channel": "web", "address": {"url": "x" * 4_097}}},
            {"context": {"channel": "web", "address": {"referringUrl": "x" * 4_097}}},
            {
                "context": {
                    "channel": "mobile",
                    "browser": {"host": "h"},
                    "mobilePlatform": {"deviceType": "phone", "platformType": "ios"},
                }
            },
            {"requestId": "x" * 129},
            {"impressionId": "x" * 129},
            {"environmentId": "production"},
            {"experienceCloud": {"audienceManager": {"locationHint": 0}}},
            {"experienceCloud": {"audienceManager": {"blob": "x" * 1_025}}},
            {"experienceCloud": {"analytics": {"supplementalDataId": "x" * 32}}},
            {"experienceCloud": {"analytics": {"logging": "both"}}},
            {"notifications": [{"type": "click", "timestamp": 1}]},
            {"notifications": [{"id": "x" * 201, "type": "click", "timestamp": 1}]},
            {"notifications": [{"id": "x", "type": "view", "timestamp": 1}]},
            {"notifications": [{"id": "x", "type": "click"}]},
            {"execute": {"mboxes": [{"index": n, "name": "m"} for n in range(51)]}},
            {"execute": {"mboxes": [{"index": 0, "name": "m"}, {"index": 0, "name": "n"}]}},
            {"execute": {"mboxes": [{"index": 0}]}},
            {"execute": {"pageLoad": {"profileParameters": {"a": None}}}},
            {"execute": {"pageLoad": {"profileParameters": {"a": "x" * 257}}}},
            {"execute": {"pageLoad": {"profileParameters": {"profile.a": "x"}}}},
            {"execute": {"pageLoad": {"profileParameters": {"n" * 129: "x"}}}},
            {"execute": {"pageLoad": {"profileParameters": {f"n{n}": "x" for n in range(51)}}}},
            {"execute": {"mboxes": None}},
            {"execute": {"pageLoad": ["x"]}},
        ],
    )
    def test_refuses_an_invalid_request_with_400_and_a_message(self, target, changes):
        answer = target.deliver_body({"context": {"channel": "web"}, **changes})
        assert answer.status_code == 400
        assert answer.json()["status"] == 400
        assert answer.json()["message"]

    @pytest.mark.parametrize("body", ["text", [], None, {}])
    def test_refuses_a_body_without_context(self, target, body):
        assert target.deliver_body(body).status_code == 400

    @pytest.mark.parametrize("session", ["", "a b", "a?", "a{", "a/b", "x" * 129, "ü"])
    def test_refuses_a_bad_session_id(self, target, session):
        assert target.deliver_body({"context": {"channel": "web"}}, session=session).status_code == 400

    @pytest.mark.parametrize("client", ["other", ""])
    def test_for_another_client_code_is_unknown(self, target, client):
        answer = target.deliver_body({"context": {"channel": "web"}}, client=client)
        assert answer.headers["Content-Type"].startswith("application/json")
        assert (answer.status_code, answer.json()) == (404, {"status": 404, "message": "Unknown client"})

    def test_accepts_only_the_property_tokens_that_are_set(self, target):
        target.sandbox.settings.property_tokens = ("p1",)
        assert target.deliver(property={"token": "p1"}).status_code == 200
        assert target.deliver(property={"token": "p2"}).json()["message"] == "Invalid property token"

    def test_answers_a_beacon_with_204_and_nothing(self, target):
        answer = target.deliver({"thirdPartyId": "U1"}, {"a": "x"}, context={"channel": "web", "beacon": True})
        assert (answer.status_code, answer.content) == (204, b"")
        assert target.sandbox.profile("U1") == {"a": "x"}

    @pytest.mark.parametrize(("limit", "calls"), [(5, 8), (1, 4), (3, 3), (3, 7)])
    def test_answers_420_above_the_limit_of_simultaneous_calls_of_a_session(self, target, limit, calls):
        target.sandbox.settings.session_concurrency = limit
        with OpenCalls(target.sandbox) as open_calls:
            answers = open_calls.simultaneous(calls)
            assert sorted(status for status, _ in answers) == [200] * limit + [420] * (calls - limit)
            assert open_calls.simultaneous(1, session="other") == [(200, b"{")]
            refused = target.deliver()
            assert (refused.status_code, refused.json()["message"]) == (420, "Too many requests with same session ID")
        assert target.deliver().status_code == 200

    def test_an_ended_call_makes_room_for_exactly_one(self, target):
        target.sandbox.settings.session_concurrency = 2
        with OpenCalls(target.sandbox) as open_calls:
            open_calls.simultaneous(2)
            open_calls.end(1)
            assert open_calls.simultaneous(1) == [(200, b"{")]
            assert [target.deliver().status_code for _ in range(2)] == [420, 420]

    def test_consecutive_calls_of_a_session_are_never_too_many(self, target):
        target.sandbox.settings.session_concurrency = 1
        with requests.Session() as session:
            url = f"{target.sandbox.url}/rest/v1/delivery?client=acme&sessionId=s1"
            statuses = {session.post(url, json={"context": WEB}, timeout=10).status_code for _ in range(50)}
        assert statuses == {200}

    def test_warns_of_one_id_in_two_sessions_within_thirty_minutes(self, target):
        body = {"context": {"channel": "web"}, "id": {"thirdPartyId": "U1"}}
        target.deliver_body(body, session="s1")
        target.clock.move(seconds=1_800)
        target.deliver_body(body, session="s2")
        assert warnings(target) == []
        target.deliver_body(body, session="s1")
        assert len(warnings(target)) == 1

    def test_warns_of_two_ids_in_one_session_within_thirty_minutes(self, target):
        target.deliver({"thirdPartyId": "U1"})
        assert warnings(target) == []
        target.deliver({"thirdPartyId": "U2"})
        assert len(warnings(target)) == 1
