"""The Edge Network hook as a user calls it, against the sandbox."""

import json
import re
import tempfile
import time
from datetime import datetime

import pytest

from airflow_provider_adobe_target.client.auth.authenticator import forget_all_tokens
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetUnavailableError,
    ConnectionSettingsError,
    ProfileDataError,
    TargetRefusedError,
    TokenRefusedError,
)
from airflow_provider_adobe_target.hooks.edge_network import EdgeNetworkHook
from airflow_provider_adobe_target.sandbox import Answer, Sandbox

PERSON = {"ECID": "4242424242"}


class QuickClock(clocks.SystemClock):
    def __init__(self):
        self.waits = []

    def sleep(self, seconds):
        self.waits.append(seconds)


@pytest.fixture
def clock(monkeypatch):
    clock = QuickClock()
    monkeypatch.setattr(clocks, "SYSTEM", clock)
    return clock


@pytest.fixture
def sandbox():
    with Sandbox(datastream_id="ds1", ims_org_id="ORG@AdobeOrg", third_party_namespace="Crm") as sandbox:
        yield sandbox


@pytest.fixture
def connect(sandbox, monkeypatch, tmp_path, clock):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    forget_all_tokens()

    def connect(authenticated=True, **changes):
        credential = {"client_id": "id", "client_secret": "p8e-secret", "ims_org_id": "ORG@AdobeOrg"}
        host = sandbox.url if authenticated else sandbox.edge_url
        extra = {"ims_host": sandbox.url, "edge_host": host, "datastream_id": "ds1", **credential, **changes}
        connection = {"conn_type": "adobe_target", "login": "acme", "host": sandbox.url, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
        return EdgeNetworkHook(authenticated=authenticated)

    yield connect
    forget_all_tokens()


def sent(sandbox):
    return json.loads(sandbox.calls[-1].body)


@pytest.mark.parametrize("authenticated", [True, False])
def test_attributes_arrive_by_way_of_a_datastream(connect, sandbox, authenticated):
    receipt = connect(authenticated).interact(PERSON, {"tier": "gold", "city": "Zürich"})
    assert sandbox.profile("4242424242", "marketingCloudVisitorId") == {"tier": "gold", "city": "Zürich"}
    assert receipt["location_hint"] == "or2"
    assert receipt["request_id"]
    assert ("authorization" in sandbox.calls[-1].headers) is authenticated


def test_the_event_is_as_adobe_describes_it(connect, sandbox):
    connect().interact({"Crm": "U1", **PERSON}, {"tier": "gold"}, primary="ECID")
    event = sent(sandbox)["event"]
    assert event["data"] == {"__adobe": {"target": {"profile.tier": "gold"}}}
    assert event["xdm"]["identityMap"] == {
        "Crm": [{"id": "U1", "primary": False, "authenticatedState": "authenticated"}],
        "ECID": [{"id": "4242424242", "primary": True, "authenticatedState": "ambiguous"}],
    }
    assert sandbox.profile("U1") == {"tier": "gold"}


@pytest.mark.parametrize("authenticated", [True, False])
def test_a_retried_event_keeps_its_timestamp(connect, sandbox, authenticated):
    sandbox.script("interact", Answer(503))
    before = time.time()
    connect(authenticated).interact(PERSON, {"tier": "gold"})
    events = [json.loads(call.body)["event"] for call in sandbox.calls if call.route == "interact"]
    first, second = (event["xdm"]["timestamp"] for event in events)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first)
    assert before - 0.001 <= datetime.fromisoformat(first.replace("Z", "+00:00")).timestamp() <= time.time()
    assert first == second


def test_the_next_call_uses_the_location_hint(connect, sandbox):
    hint = {"type": "locationHint:result", "payload": [{"scope": "EdgeNetwork", "hint": "irl1"}]}
    sandbox.script("interact", Answer(200, json.dumps({"requestId": "r", "handle": [hint]})))
    hook = connect()
    for _ in range(2):
        hook.interact(PERSON, {"tier": "gold"})
    assert [call.path for call in sandbox.calls if call.route == "interact"] == [
        "/ee/v2/interact",
        "/ee/irl1/v2/interact",
    ]


def test_a_hint_that_is_none_is_not_followed(connect, sandbox):
    hint = {"type": "locationHint:result", "payload": [{"scope": "EdgeNetwork", "hint": "../x"}]}
    sandbox.script("interact", Answer(200, json.dumps({"requestId": "r", "handle": [hint]})))
    assert connect().interact(PERSON, {"tier": "gold"})["location_hint"] is None


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again(connect, sandbox, clock, status):
    sandbox.script("interact", Answer(status, headers={"Retry-After": "3"}))
    connect().interact(PERSON, {"tier": "gold"})
    assert clock.waits == [3.0]


@pytest.mark.parametrize("status", [400, 413, 415, 422, 500])
def test_what_will_not_pass_is_not_tried_again(connect, sandbox, clock, status):
    sandbox.script("interact", Answer(status), forever=True)
    with pytest.raises(TargetRefusedError, match=str(status)):
        connect().interact(PERSON, {"tier": "gold"})
    assert clock.waits == []


def test_a_partial_failure_is_retried_and_then_raised(connect, sandbox, clock):
    sandbox.settings.edge_target_fails = True
    with pytest.raises(AdobeTargetUnavailableError, match="partial failure.*EXEG-0201-503"):
        connect().interact(PERSON, {"tier": "gold"})
    assert len(clock.waits) == 4


def test_a_permanent_partial_failure_is_a_refusal(connect, sandbox, clock):
    problem = {"type": "https://ns.adobe.com/aep/errors/EXEG-0104-422", "status": 422, "title": "4242424242"}
    sandbox.script("interact", Answer(207, json.dumps({"requestId": "r", "errors": [problem]})))
    with pytest.raises(TargetRefusedError, match="EXEG-0104-422") as raised:
        connect().interact(PERSON, {"tier": "gold"})
    assert "4242424242" not in str(raised.value)
    assert clock.waits == []


@pytest.mark.parametrize(
    ("settings", "fields", "error", "words"),
    [
        ({"datastream_id": "ds2"}, {}, TargetRefusedError, "Check datastream_id"),
        ({"datastream_enabled": False}, {}, TargetRefusedError, "enable it"),
        ({"edge_consent": False}, {}, TargetRefusedError, "consent"),
        ({"ims_org_id": "OTHER@AdobeOrg"}, {}, TokenRefusedError, "EXEG-0504-401.*ims_org_id"),
        ({"edge_refusal": "sandbox"}, {}, TokenRefusedError, "EXEG-0506-401"),
        ({}, {"datastream_id": None}, ConnectionSettingsError, "datastream_id"),
        ({}, {"ims_org_id": None}, ConnectionSettingsError, "ims_org_id"),
        ({}, {"client_id": None, "client_secret": None}, ConnectionSettingsError, "client_id"),
    ],
)
def test_refusals_name_what_to_look_at(connect, sandbox, settings, fields, error, words):
    for name, value in settings.items():
        setattr(sandbox.settings, name, value)
    with pytest.raises(error, match=words):
        connect(**fields).interact(PERSON, {"tier": "gold"})


def test_an_unknown_namespace_is_a_refusal(connect):
    with pytest.raises(TargetRefusedError, match="namespace is unknown"):
        connect().interact({"crm": "U1"}, {"tier": "gold"})


@pytest.mark.parametrize(
    ("identities", "attributes", "words"),
    [
        ({}, {"tier": "gold"}, "primary"),
        ({"ECID": " "}, {"tier": "gold"}, "missing_id"),
        ({"ECID": 4242424242}, {"tier": "gold"}, "missing_id"),
        (PERSON, {}, "no attribute"),
        (PERSON, {"profile.tier": "gold"}, "profile\\."),
        (PERSON, {"tier": None}, "unsupported_value"),
        (PERSON, {"tier": "4242424242" * 26}, "value_too_long"),
        (PERSON, {f"a{number}": "x" * 256 for number in range(300)}, "profile_too_large"),
    ],
)
def test_what_would_not_arrive_is_refused_before_any_call(connect, sandbox, identities, attributes, words):
    with pytest.raises(ProfileDataError, match=words) as raised:
        connect().interact(identities, attributes)
    assert "4242424242" not in str(raised.value)
    assert sandbox.calls == []


def test_a_revoked_access_token_is_requested_again(connect, sandbox):
    connect().interact(PERSON, {"tier": "gold"})
    sandbox._state.tokens.access_tokens.clear()
    connect().interact(PERSON, {"tier": "silver"})
    assert [call.route for call in sandbox.calls] == ["ims", "interact", "interact", "ims", "interact"]
