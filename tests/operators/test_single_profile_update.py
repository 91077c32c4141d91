"""One profile at a time, against the sandbox over real sockets."""

from __future__ import annotations

import json
import logging
from datetime import date
from urllib.parse import parse_qsl

import pytest

from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.exceptions import AdobeTargetUnavailableError
from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator
from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from airflow_provider_adobe_target.version_compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from support.reports import NO_LEDGER


@pytest.fixture(scope="module")
def server():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server, monkeypatch):
    connect(server, monkeypatch, token="t0ken-of-the-tests")
    server.put_profile("U1", {"seen": "yes"})
    return server


def connect(server, monkeypatch, client_code="acme", token=None, **extra):
    server.reset(client_code=client_code, token=token)
    for route in ("single", "fetch"):
        server.script(route)
    connection = {"conn_type": "adobe_target", "login": client_code, "host": server.url, "password": token}
    connection["extra"] = extra
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))


@pytest.fixture
def system_clock(monkeypatch):
    """A clock that begins with the system's, and on which waiting takes no time."""

    class Clock(clocks.SystemClock):
        waited = 0.0

        def now(self):
            return super().now() + self.waited

        def monotonic(self):
            return super().monotonic() + self.waited

        def sleep(self, seconds):
            self.waited += seconds

    clock = Clock()
    monkeypatch.setattr(clocks, "SYSTEM", clock)
    return clock


def update(profile_id="U1", attributes=None, **arguments):
    operator = SingleProfileUpdateOperator(
        task_id="update", profile_id=profile_id, attributes=attributes or {"tier": "gold"}, **arguments
    )
    return operator.execute({})


def calls(sandbox, route):
    return [call for call in sandbox.calls if call.route == route]


def sent(call):
    """Return the pairs of one update, decoded, from the query and from the form."""
    return parse_qsl(call.query, keep_blank_values=True) + parse_qsl(call.body.decode(), keep_blank_values=True)


# --- what is sent -------------------------------------------------------------------------------------------

FLAT = {"city": "New York City", "name": "Rajul", "age": "21", "param1": "value1", "param2": "value2"}
NESTED = {"address": {"city": "New York City", "zipCode": "12345"}, "name": "Rajul", "age": "21", "param1": "value1"}
SEGMENT = {
    "flat": (FLAT, [(f"profile.{name}", text) for name, text in FLAT.items()]),
    "nested": (
        NESTED,
        [
            ("profile.address.city", "New York City"),
            ("profile.address.zipCode", "12345"),
            ("profile.name", "Rajul"),
            ("profile.age", "21"),
            ("profile.param1", "value1"),
        ],
    ),
    "nulls": (
        {**NESTED, "address": {"city": "New York City", "zipCode": None}, "age": None, "param2": "value2"},
        [
            ("profile.address.city", "New York City"),
            ("profile.name", "Rajul"),
            ("profile.param1", "value1"),
            ("profile.param2", "value2"),
        ],
    ),
}


@pytest.mark.parametrize("token", [None, "test-token"])
@pytest.mark.parametrize(("attributes", "pairs"), SEGMENT.values(), ids=SEGMENT)
def test_requests_equal_those_of_the_published_tests_of_segment(server, monkeypatch, attributes, pairs, token):
    """Segment's Adobe Target action, ``updateProfile/__tests__``: a look-up, then one POST, the same pairs in order."""
    connect(server, monkeypatch, "segmentexchangepartn", token)
    server.put_profile("123-test", {})

    update("123-test", attributes)

    look_up, post = server.calls
    assert (look_up.method, look_up.path) == ("GET", "/rest/v1/profiles/thirdPartyId/123-test")
    assert look_up.query == "client=segmentexchangepartn"
    assert (post.method, post.path) == ("POST", "/m2/segmentexchangepartn/profile/update")
    assert sent(post) == [("mbox3rdPartyId", "123-test"), *pairs]
    assert [call.headers.get("authorization") for call in server.calls] == [token and f"Bearer {token}"] * 2


@pytest.mark.parametrize(("segment", "path"), [("client", "client"), ("client_code", "acme"), ("", "acme")])
def test_the_path_has_the_client_code_or_the_word_client(server, monkeypatch, segment, path):
    connect(server, monkeypatch, update_path_segment=segment)
    server.put_profile("U1", {})
    update("U1")
    assert [call.path for call in calls(server, "single")] == [f"/m2/{path}/profile/update"]
    assert server.profile("U1") == {"tier": "gold"}


@pytest.mark.parametrize("missing", [{"profile_id": None}, {"attributes": None}])
def test_the_required_fields_of_segment_are_required(sandbox, missing):
    arguments = {"profile_id": "123-test", "attributes": FLAT, **missing}
    with pytest.raises(AirflowFailException, match=next(iter(missing))):
        SingleProfileUpdateOperator(task_id="update", **arguments).execute({})
    assert sandbox.calls == []


def test_values_are_written_as_in_bulk_and_everything_is_encoded(sandbox):
    report = update(
        attributes={
            "note": "50% off & more, +#=\r\nnext",
            "score": 3.0,
            "vip": True,
            "since": date(2026, 1, 31),
            "tags": ["a", None, 2],
            "home": {"city": "Zürich", "zip": None, "flat": {"floor": 4}},
            "profile_id": "not the id",
            "tier": "",
            "none": None,
        }
    )
    assert sandbox.profile("U1") == {
        "seen": "yes",
        "note": "50% off & more, +#=\r\nnext",
        "score": "3",
        "vip": "true",
        "since": "2026-01-31",
        "tags": "a|2",
        "home.city": "Zürich",
        "home.flat.floor": "4",
        "profile_id": "not the id",
    }
    assert report == {
        "client_code": "acme",
        "id_type": "thirdPartyId",
        "dry_run": False,
        "outcome": "complete",
        "rows_read": 1,
        "rows_sent": 1,
        "rows_rejected": 0,
        "rows_empty": 0,
        **NO_LEDGER,
        "values_replaced": 0,
        "rejected_by_reason": {},
        "rejects_path": None,
    }


def test_a_profile_of_many_long_attributes_travels_in_a_form(sandbox):
    attributes = {f"text{number}": "ü" * 4_000 for number in range(2)}
    update(attributes=attributes)
    [call] = calls(sandbox, "single")
    assert call.query == "mbox3rdPartyId=U1"
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert sandbox.profile("U1") == {"seen": "yes", **attributes}


def test_a_target_id_is_sent_as_one(sandbox):
    sandbox.put_profile("111-222.28_0", {}, "pcId")
    assert update("111-222.28_0", {"tier": "gold"}, id_type="pcId")["id_type"] == "pcId"
    assert sandbox.profile("111-222.28_0", "pcId") == {"tier": "gold"}


@pytest.mark.parametrize("attributes", [{"tier": None, "note": "", "home": {"city": None}, "tags": []}, {}])
def test_nothing_is_called_where_nothing_is_left(sandbox, attributes):
    operator = SingleProfileUpdateOperator(task_id="update", profile_id="U1", attributes=attributes)
    report = operator.execute({})
    assert (report["rows_read"], report["rows_sent"], report["rows_empty"]) == (1, 0, 1)
    assert sandbox.calls == []


def test_a_dry_run_makes_no_call(sandbox):
    report = update(dry_run=True)
    assert (report["dry_run"], report["rows_sent"]) == (True, 1)
    assert sandbox.calls == []


# --- what is refused before any call ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"profile_id": "PERSON/1"}, "id_forbidden_character"),
        ({"profile_id": "PERSON+1"}, "id_forbidden_character"),
        ({"profile_id": " "}, "missing_id"),
        ({"profile_id": "PERSON" * 50}, "id_too_long"),
        ({"profile_id": 12345.0}, "profile_id is float"),
        ({"attributes": {"profile.tier": "GOLDEN"}}, "profile.tier"),
        ({"attributes": {"user.level": "GOLDEN"}}, "user.level"),
        ({"attributes": {"a b": "GOLDEN"}}, "a b"),
        ({"attributes": {"a.b": "GOLDEN", "a": {"b": "GOLDEN"}}}, "is used twice"),
        ({"attributes": {"tier": b"GOLDEN"}}, "'tier' is of type bytes"),
        ({"attributes": {"tier": ["GOLDEN", b"GOLDEN"]}}, r"unsupported_value \(tier"),
        ({"attributes": {"tier": "GOLDEN" * 1_000}}, "value_too_long"),
        ({"attributes": {f"text{number}": "ü" * 5_000 for number in range(3)}}, "profile_too_large"),
        ({"attributes": "GOLDEN"}, "not a dict"),
        ({"if_not_found": "create"}, "if_not_found='create'"),
        ({"id_type": "ECID"}, "id_type='ECID'"),
    ],
)
def test_invalid_data_is_refused_before_any_call_and_not_shown(sandbox, caplog, arguments, words):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AirflowFailException, match=words) as caught:
        update(**{"profile_id": "PERSON", **arguments})
    assert sandbox.calls == []
    seen = f"{caught.value}{caught.value.__cause__}{caplog.text}"
    assert "PERSON" not in seen
    assert "GOLDEN" not in seen


# --- a profile that is not there ----------------------------------------------------------------------------


def test_fail_ends_the_task_and_sends_nothing(sandbox):
    with pytest.raises(AirflowFailException, match="no profile with this id") as caught:
        update("UNKNOWN")
    assert "UNKNOWN" not in str(caught.value)
    assert calls(sandbox, "single") == []


def test_skip_skips_the_task(sandbox):
    with pytest.raises(AirflowSkipException, match="no profile with this id"):
        update("UNKNOWN", if_not_found="skip")
    assert calls(sandbox, "single") == []


def test_send_does_not_look_up_the_profile(sandbox):
    assert update("UNKNOWN", if_not_found="send")["rows_sent"] == 1
    assert [call.route for call in sandbox.calls] == ["single"]
    assert sandbox.profile("UNKNOWN") is None


def test_wait_looks_until_the_profile_is_there(sandbox, system_clock):
    missing = Answer(404, '{"status": 404, "message": "No profile found for client acme"}')
    sandbox.script("fetch", missing, missing)
    assert update(if_not_found="wait", poll_interval=600, deferrable=False)["rows_sent"] == 1
    assert [call.route for call in sandbox.calls] == ["fetch", "fetch", "fetch", "single"]
    assert system_clock.waited == pytest.approx(1200, abs=1)


def test_wait_ends_at_its_timeout(sandbox, system_clock):
    with pytest.raises(AirflowSensorTimeout, match="after 3,600 seconds"):
        update("UNKNOWN", if_not_found="wait", poll_interval=600, timeout=3600, deferrable=False)
    assert len(calls(sandbox, "fetch")) in (6, 7)
    assert calls(sandbox, "single") == []
    assert system_clock.waited <= 3600


@pytest.mark.parametrize("if_not_found", ["fail", "skip", "wait"])
def test_a_refused_look_up_is_no_missing_profile(sandbox, system_clock, if_not_found):
    sandbox.settings.token = "another"
    with pytest.raises(AirflowFailException, match="token"):
        update(if_not_found=if_not_found, deferrable=False)
    assert len(sandbox.calls) == 1


@pytest.mark.parametrize("if_not_found", ["fail", "skip", "wait"])
def test_a_throttled_look_up_is_no_missing_profile(sandbox, system_clock, if_not_found):
    sandbox.script("fetch", Answer(429), Answer(503))
    assert update(if_not_found=if_not_found, deferrable=False)["rows_sent"] == 1
    assert system_clock.waited == pytest.approx(75, abs=1)


def test_a_target_that_is_out_of_service_is_worth_a_retry(sandbox, system_clock):
    sandbox.script("single", Answer(500), forever=True)
    with pytest.raises(AdobeTargetUnavailableError):
        update()
    assert sandbox.profile("U1") == {"seen": "yes"}


def test_a_refused_update_ends_the_task(sandbox):
    sandbox.script("single", Answer(200, "<response><success>false</success><message>U1</message></response>"))
    with pytest.raises(AirflowFailException, match="success is false"):
        update()
