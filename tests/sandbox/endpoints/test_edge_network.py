"""The sandbox's Edge Network against what is known of Experience Platform's, fact by fact, over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

ERRORS = "https://ns.adobe.com/aep/errors/EXEG-"
QUERY = {"personalization": {"decisionScopes": ["warehouse-link"]}}
SCOPES = "openid,AdobeID,read_organizations,additional_info.projectedProductContext"


def event(identity_map: Any = None, data: Any = None, **attributes: Any) -> dict[str, Any]:
    """Return an event of a visitor with an Experience Cloud id, who gets profile attributes."""
    named = {f"profile.{name}": value for name, value in attributes.items()}
    return {
        "xdm": {"identityMap": identity_map or {"ECID": [{"id": "42", "primary": True}]}},
        "data": data or {"__adobe": {"target": named}},
    }


class Edge:
    """The calls of a client of the Edge Network, anonymous unless told otherwise."""

    def __init__(self, target) -> None:
        self.sandbox = target.sandbox
        self.headers: dict[str, str] = {}

    def call(self, path: str, body: Any, *, host: str | None = None, data: bytes | None = None, headers=None, **query):
        query.setdefault("datastreamId", "ds1")
        content = json.dumps(body).encode() if data is None else data
        return requests.post(
            (host or self.sandbox.edge_url) + path,
            params={name: value for name, value in query.items() if value is not None},
            data=content,
            headers={"Content-Type": "application/json", **self.headers, **(headers or {})},
            timeout=10,
        )

    def interact(self, given: Any, query: Any = QUERY, hint: str = "", **options) -> requests.Response:
        body = {"event": given, **({"query": query} if query else {})}
        return self.call(f"/ee/{hint}v2/interact", body, **options)

    def collect(self, *events: Any, **options) -> requests.Response:
        return self.call("/ee/v2/collect", {"events": list(events)}, **options)

    def authenticate(self) -> None:
        form = {"client_id": "id", "client_secret": "s", "grant_type": "client_credentials", "scope": SCOPES}
        token = requests.post(f"{self.sandbox.url}/ims/token/v3", data=form, timeout=10).json()["access_token"]
        self.headers = {"Authorization": f"Bearer {token}", "x-api-key": "id", "x-gw-ims-org-id": "ORG@AdobeOrg"}


@pytest.fixture
def edge(target) -> Edge:
    return Edge(target)


def code(answer: requests.Response) -> str:
    """Return the error code of a refusal, after a look at its form."""
    content = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert content["status"] == answer.status_code
    assert content["title"]
    assert content["detail"]
    assert {"requestId", "orgId"} <= set(content["report"])
    return content["type"].removeprefix(ERRORS)


class TestInteract:
    def test_writes_nested_attributes_of_an_ecid_at_once(self, target, edge):
        target.sandbox.settings.visible_after_seconds = 60
        assert edge.interact(event(tier="gold", city="New York")).status_code == 200
        assert target.attributes("marketingCloudVisitorId/42") == {"tier": "gold", "city": "New York"}

    def test_writes_under_the_customer_id_of_the_datastream_namespace(self, target, edge):
        identity_map = {
            "ECID": [{"id": "42", "primary": True}],
            "CRM": [{"id": "U1", "authenticatedState": "authenticated"}],
        }
        assert code(edge.interact(event(identity_map))) == "0013-422"
        target.sandbox.settings.identity_namespaces = ("CRM",)
        edge.interact(event(identity_map, tier="gold"))
        assert target.fetch("thirdPartyId/U1").status_code == 404
        target.sandbox.settings.third_party_namespace = "CRM"
        edge.interact(event(identity_map, tier="gold"))
        assert target.attributes("thirdPartyId/U1") == {"tier": "gold"}
        assert target.attributes("marketingCloudVisitorId/42") == {"tier": "gold"}

    def test_is_a_visit_that_keeps_what_a_batch_wrote(self, target, edge):
        target.sandbox.settings.third_party_namespace = "CRM"
        target.load("batch=thirdPartyId,a\nU1,1")
        edge.interact(event({"CRM": [{"id": "U1", "primary": True}]}))
        target.load("batch=thirdPartyId,b\nU1,2")
        assert target.sandbox.profile("U1") == {"a": "1", "b": "2"}

    def test_stores_profile_and_entity_attributes_but_no_mbox_ones(self, target, edge):
        names = {"profile.age": 30, "profile.vip": True, "entity.id": "e1", "other": "x", "profile.list": ["x"]}
        edge.interact(event(data={"__adobe": {"target": names}}))
        stored = {"age": "30", "vip": "true", "entity.id": "e1"}
        assert target.attributes("marketingCloudVisitorId/42") == stored

    def test_accepts_the_flat_key_only_if_that_is_set(self, target, edge):
        flat = {"__adobe.target": {"profile.tier": "gold"}}
        edge.interact(event(data=flat))
        assert target.sandbox.profile("42", "marketingCloudVisitorId") == {}
        target.sandbox.settings.target_data = "flat"
        edge.interact(event(data=flat))
        assert target.sandbox.profile("42", "marketingCloudVisitorId") == {"tier": "gold"}

    def test_stores_nothing_where_saving_is_postponed(self, target, edge):
        edge.interact(event(data={"__adobe": {"target": {"__save": False, "profile.tier": "gold"}}}))
        assert target.sandbox.profile("42", "marketingCloudVisitorId") == {}

    def test_writes_nothing_without_a_query_unless_that_is_set(self, target, edge):
        assert edge.interact(event(tier="gold"), query=None).status_code == 200
        assert target.sandbox.profile("42", "marketingCloudVisitorId") is None
        target.sandbox.settings.edge_writes = "interact"
        edge.interact(event(tier="gold"), query=None)
        assert target.sandbox.profile("42", "marketingCloudVisitorId") == {"tier": "gold"}

    def test_answers_with_decisions_and_location_hints(self, edge):
        answer = edge.interact(event())
        assert answer.headers["Content-Type"].startswith("application/json")
        handle = {part["type"]: part["payload"] for part in answer.json()["handle"]}
        assert handle["personalization:decisions"] == []
        assert {"scope": "EdgeNetwork", "hint": "or2", "ttlSeconds": 1_800} in handle["locationHint:result"]
        assert {"scope": "Target", "hint": "00", "ttlSeconds": 1_800} in handle["locationHint:result"]

    def test_accepts_a_known_location_hint_and_returns_it(self, edge):
        (hints,) = [
            part for part in edge.interact(event(), hint="irl1/").json()["handle"] if "location" in part["type"]
        ]
        assert {"scope": "EdgeNetwork", "hint": "irl1", "ttlSeconds": 1_800} in hints["payload"]
        assert edge.interact(event(), hint="xyz9/").status_code == 404

    def test_appends_something_to_the_request_id_of_the_caller(self, edge):
        first, second = (edge.interact(event(), requestId="r1").json()["requestId"] for _ in range(2))
        assert first.startswith("r1")
        assert len({"r1", first, second}) == 3
        assert edge.interact(event()).json()["requestId"]

    def test_answers_207_with_errors_where_target_fails(self, target, edge):
        target.sandbox.settings.edge_target_fails = True
        answer = edge.interact(event(tier="gold"))
        assert answer.status_code == 207
        assert [(error["type"], error["status"]) for error in answer.json()["errors"]] == [(ERRORS + "0201-503", 503)]
        assert answer.json()["requestId"]
        assert target.sandbox.profile("42", "marketingCloudVisitorId") is None

    def test_answers_207_to_values_above_256_characters(self, target, edge):
        assert edge.interact(event(tier="x" * 256)).status_code == 200
        answer = edge.interact(event(tier="y" * 257))
        assert (answer.status_code, answer.json()["errors"][0]["type"]) == (207, ERRORS + "0202-502")
        assert target.sandbox.profile("42", "marketingCloudVisitorId") == {"tier": "x" * 256}

    @pytest.mark.parametrize("customer", ["a+b", "a/b"])
    def test_returns_207_for_customer_ids_that_target_refuses(self, target, edge, customer):
        target.sandbox.settings.third_party_namespace = "CRM"
        answer = edge.interact(event({"CRM": [{"id": customer, "primary": True}]}, tier="gold"))
        assert (answer.status_code, answer.json()["errors"][0]["type"]) == (207, ERRORS + "0202-502")
        assert target.sandbox.profile(customer) is None

    def test_drops_events_without_consent_with_200_and_a_warning(self, target, edge):
        target.sandbox.settings.edge_consent = False
        answer = edge.interact(event(tier="gold"))
        assert (answer.status_code, answer.json()["warnings"][0]["type"]) == (200, ERRORS + "0301-200")
        assert target.sandbox.profile("42", "marketingCloudVisitorId") is None

    def test_must_be_a_post(self, target):
        assert requests.get(target.sandbox.edge_url + "/ee/v2/interact", timeout=10).status_code == 405


class TestCollect:
    def test_accepts_events_of_many_people_with_202(self, edge):
        other = event({"ECID": [{"id": "43", "primary": True}]})
        answer = edge.collect(event(), other, requestId="r1")
        assert answer.status_code == 202
        assert list(answer.json()) == ["requestId"]
        assert answer.json()["requestId"].startswith("r1")

    def test_takes_a_primary_that_is_text_as_in_adobes_sample(self, edge):
        assert edge.collect(event({"FPID": [{"id": "1", "primary": "true"}]})).status_code == 202

    def test_may_be_silent(self, edge):
        answer = edge.collect(event(), silent="true")
        assert (answer.status_code, answer.content) == (204, b"")

    def test_writes_no_attributes_unless_that_is_set(self, target, edge):
        edge.collect(event(tier="gold"))
        assert target.sandbox.profile("42", "marketingCloudVisitorId") is None
        target.sandbox.settings.edge_writes = "interact-and-collect"
        edge.collect(event(tier="gold"))
        assert target.sandbox.profile("42", "marketingCloudVisitorId") == {"tier": "gold"}

    def test_names_the_event_without_a_primary_identity(self, edge):
        bare = event({"ECID": [{"id": "43"}]})
        for number, answer in enumerate([edge.interact(bare), edge.collect(event(), bare)]):
            assert code(answer) == "0306-400"
            assert f"#{number}" in answer.json()["detail"]


class TestRefusals:
    @pytest.mark.parametrize("send", ["interact", "collect"])
    def test_name_a_datastream_that_is_missing_unknown_or_disabled(self, target, edge, send):
        call = getattr(edge, send)
        assert code(call(event(), datastreamId=None)) == "0002-400"
        assert code(call(event(), datastreamId=None, configId="ds1")) == "0002-400"
        target.sandbox.settings.datastream_id = "ds1"
        assert code(call(event(), datastreamId="ds2")) == "0003-400"
        target.sandbox.settings.datastream_enabled = False
        assert code(call(event())) == "0004-422"

    @pytest.mark.parametrize(
        ("identity_map", "expected"),
        [
            ({"NoSuch": [{"id": "1", "primary": True}]}, "0013-422"),
            ({"ecid": [{"id": "1", "primary": True}]}, "0013-422"),
            ({"ECID": [{"id": "1"}]}, "0306-400"),
            ({"ECID": [{"id": "1", "primary": True}], "Email": [{"id": "2", "primary": True}]}, "0104-422"),
            ({"ECID": [{"id": "1", "primary": True, "authenticatedState": "logged_out"}]}, "0104-422"),
            ({"ECID": [{"primary": True}]}, "0104-422"),
            ({"ECID": {"id": "1"}}, "0104-422"),
            ([{"id": "1"}], "0104-422"),
        ],
    )
    def test_concern_identities(self, edge, identity_map, expected):
        assert code(edge.interact(event(identity_map))) == expected
        assert code(edge.collect(event(identity_map))) == expected

    @pytest.mark.parametrize("state", ["ambiguous", "authenticated", "loggedOut"])
    def test_do_not_concern_known_states(self, edge, state):
        identity_map = {"ECID": [{"id": "1", "primary": True, "authenticatedState": state}]}
        assert edge.interact(event(identity_map)).status_code == 200

    def test_of_a_missing_primary_may_be_switched_off(self, target, edge):
        target.sandbox.settings.edge_needs_primary = False
        assert edge.interact({"xdm": {}}).status_code == 200

    def test_list_what_is_not_valid(self, edge):
        entries = [{"id": 1, "primary": True}, {"id": "", "authenticatedState": "unknown"}]
        answer = edge.interact(event({"ECID": entries}))
        assert code(answer) == "0104-422"
        assert len(answer.json()["report"]["errors"]) == 3

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"", "0109-408"),
            (b" ", "0101-400"),
            (b"{", "0101-400"),
            (b"[]", "0103-400"),
            (b'{"events": [{}]}', "0103-400"),
            (b'{"event": "x"}', "0104-422"),
            (b'{"event": {"xdm": 1}, "query": []}', "0306-400"),
            (b'{"event": {}, "query": "x"}', "0103-400"),
            (b'{"event": {"xdm": {}}, "query": "x"}', "0104-422"),
        ],
    )
    def test_concern_bodies_that_are_not_events(self, edge, body, expected):
        assert code(edge.interact(None, data=body)) == expected

    @pytest.mark.parametrize("path", ["/ee/v2/interact", "/ee/or2/v2/collect"])
    def test_concern_a_call_without_a_body_before_its_media_type(self, target, path):
        answer = requests.post(target.sandbox.edge_url + path, params={"datastreamId": "ds1"}, timeout=10)
        assert (answer.status_code, code(answer)) == (408, "0109-408")

    @pytest.mark.parametrize("ecid", ["not-an-ecid", "4a", "-1", "4.2", " 42", "4" * 39, "\u0664\u0662"])
    def test_concern_an_ecid_that_is_not_a_number_of_up_to_38_digits(self, edge, ecid):
        bad = event({"ECID": [{"id": ecid, "primary": True}]})
        assert edge.interact(event({"ECID": [{"id": "4" * 38, "primary": True}]})).status_code == 200
        for number, answer in enumerate([edge.interact(bad), edge.collect(event(), bad)]):
            assert code(answer) == "0308-400"
            assert f"#{number}" in answer.json()["detail"]
            assert ecid not in answer.json()["detail"]

    def test_concern_short_ecids_where_that_is_set(self, target, edge):
        target.sandbox.settings.ecid_digits = 38
        assert code(edge.interact(event({"ECID": [{"id": "4" * 37, "primary": True}]}))) == "0308-400"
        assert edge.interact(event({"ECID": [{"id": "4" * 38, "primary": True}]})).status_code == 200

    def test_concern_media_types_but_not_those_of_browsers(self, edge):
        assert code(edge.interact(event(), headers={"Content-Type": "text/csv"})) == "0111-415"
        assert edge.interact(event(), headers={"Content-Type": "text/plain; charset=UTF-8"}).status_code == 200

    def test_concern_bodies_above_64_kilobytes(self, edge):
        body = json.dumps({"event": event()}).encode()
        assert edge.interact(None, data=body.ljust(65_536)).status_code == 200
        assert code(edge.interact(None, data=body.ljust(65_537))) == "0112-413"

    def test_concern_more_than_thirty_decision_scopes(self, edge):
        def ask(count: int) -> requests.Response:
            return edge.interact(event(), {"personalization": {"decisionScopes": [f"m{n}" for n in range(count)]}})

        assert ask(30).status_code == 200
        assert code(ask(31)) == "0104-422"

    @pytest.mark.parametrize("send", ["interact", "collect"])
    def test_are_429_with_retry_after_beyond_the_request_units(self, target, edge, send):
        setattr(target.sandbox.settings, f"{send}_units_per_second", 2)
        call = getattr(edge, send)
        large = event()
        large["xdm"]["more"] = "x" * 8_192  # two units of 8 KB
        assert call(large).status_code in (200, 202)
        answer = call(event())
        assert code(answer).endswith("-429")
        target.clock.move(seconds=int(answer.headers["Retry-After"]))
        assert call(event()).status_code in (200, 202)

    def test_count_a_request_unit_for_every_8_kilobytes_begun(self, target, edge):
        target.sandbox.settings.interact_units_per_second = 1
        body = json.dumps({"event": event()}).encode()
        assert edge.interact(None, data=body.ljust(8_192)).status_code == 200
        target.clock.move(seconds=1)
        assert edge.interact(None, data=body.ljust(8_193)).status_code == 429

    def test_do_not_count_as_one_of_fifty_calls_per_minute(self, target, edge):
        target.sandbox.settings.calls_per_minute = 1
        assert [edge.interact(event()).status_code for _ in range(2)] == [200, 200]
        assert target.submit("batch=thirdPartyId,a\n1,x").status_code == 200


class TestAuthentication:
    def test_is_needed_on_the_first_port_and_not_on_the_edge_port(self, target, edge):
        for host, status in ((target.sandbox.url, 401), (target.sandbox.edge_url, 200)):
            assert edge.interact(event(), host=host).status_code == status
        edge.authenticate()
        for host in (target.sandbox.url, target.sandbox.edge_url):
            assert edge.interact(event(tier="gold"), host=host).status_code == 200

    @pytest.mark.parametrize("missing", ["Authorization", "x-api-key", "x-gw-ims-org-id"])
    def test_needs_three_headers(self, target, edge, missing):
        edge.authenticate()
        del edge.headers[missing]
        assert code(edge.interact(event(), host=target.sandbox.url)) == "0500-401"

    def test_distinguishes_missing_foreign_and_expired_tokens(self, target, edge):
        edge.authenticate()
        good = edge.headers["Authorization"]
        found = []
        for value in (good.removeprefix("Bearer "), "Bearer eyJother", good):
            target.clock.move(seconds=86_399 if value == good else 0)
            answer = edge.interact(event(), host=target.sandbox.url, headers={"Authorization": value})
            found.append(code(answer))
        assert found == ["0500-401", "0502-401", "0503-401"]

    def test_is_of_the_client_and_the_organization(self, target, edge):
        edge.authenticate()
        assert code(edge.interact(event(), host=target.sandbox.url, headers={"x-api-key": "other"})) == "0502-401"
        target.sandbox.settings.ims_org_id = "OTHER@AdobeOrg"
        assert code(edge.interact(event(), host=target.sandbox.url)) == "0504-401"

    @pytest.mark.parametrize(
        ("refusal", "expected"), [("product-context", "0504-401"), ("scope", "0505-401"), ("sandbox", "0506-401")]
    )
    def test_may_lack_a_right(self, target, edge, refusal, expected):
        edge.authenticate()
        target.sandbox.settings.edge_refusal = refusal
        assert code(edge.collect(event(), host=target.sandbox.url)) == expected

    def test_may_be_demanded_of_all_or_of_none(self, target, edge):
        target.sandbox.settings.edge_authentication = "always"
        assert code(edge.interact(event())) == "0500-401"
        target.sandbox.settings.edge_authentication = "never"
        assert edge.interact(event(), host=target.sandbox.url).status_code == 200

    def test_is_independent_of_the_profile_token(self, target, edge):
        target.sandbox.settings.token = "secret"
        assert edge.interact(event()).status_code == 200
        headers = {"Authorization": "Bearer secret", "x-api-key": "id", "x-gw-ims-org-id": "ORG@AdobeOrg"}
        assert code(edge.interact(event(), host=target.sandbox.url, headers=headers)) == "0502-401"
