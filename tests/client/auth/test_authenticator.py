"""Authenticator from IMS and the Admin API, against the sandbox."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from dataclasses import replace

import pytest

from airflow_provider_adobe_target.client.auth.authenticator import DAY, Authenticator, days_left, forget_all_tokens
from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.endpoints.profile import fetch_profile, fetch_request
from airflow_provider_adobe_target.client.protocol import Send
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.transports.httpx import HttpxTransport, arun
from airflow_provider_adobe_target.concurrency.clock import SYSTEM
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetUnavailableError,
    ConnectionSettingsError,
    TargetRefusedError,
    TokenRefusedError,
    UnclearAnswerError,
)
from airflow_provider_adobe_target.sandbox import Answer, Sandbox

SECRET = "p8e-a-client-secret"


@pytest.fixture
def sandbox(clock):
    with Sandbox(token="profile-token-1", client_id="id", client_secret=SECRET, clock=clock.now) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    forget_all_tokens()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path / f"adobe-target-tokens-{os.geteuid()}"
    forget_all_tokens()


@pytest.fixture
def settings(sandbox):
    extra = {
        "tenant_id": "acmeinc",
        "client_id": "id",
        "client_secret": SECRET,
        "ims_host": sandbox.url,
        "admin_host": sandbox.url,
        "timeout": [2, 2],
    }
    return TargetSettings.from_fields("acme", None, sandbox.url, None, extra)


@pytest.fixture
def masked():
    return []


@pytest.fixture
def ask(drive, settings, clock, masked):
    """Run what a function makes of the tokens of a new task, which knows what its process knows."""

    def ask(of, settings=settings, calls_per_minute=50):
        budget = RateLimiter(calls_per_minute, clock)
        return drive(of(Authenticator(CallContext(settings, budget, clock), masked.append), budget), settings)

    return ask


@pytest.fixture
def look_up(ask, settings, clock):
    def look_up(settings=settings, **options):
        def flow(tokens, budget):
            return tokens.with_profile_token(fetch_profile(CallContext(settings, budget, clock), "U1", "thirdPartyId"))

        return ask(flow, settings, **options)

    return look_up


def access_token(tokens, budget):
    return tokens.access_token()


def profile_token(tokens, budget):
    return tokens.profile_token()


def routes(sandbox):
    return [call.route for call in sandbox.calls]


def test_a_missing_token_is_read_and_sent(sandbox, look_up):
    look_up()
    look_up()

    assert routes(sandbox) == ["ims", "admin", "fetch", "fetch"]
    assert {call.method for call in sandbox.calls if call.route == "admin"} == {"GET"}
    assert [call.headers["authorization"] for call in sandbox.calls[-2:]] == ["Bearer profile-token-1"] * 2
    assert [call.status for call in sandbox.calls[-2:]] == [404, 404]


def test_a_token_in_the_connection_is_used_as_it_is(sandbox, look_up, settings):
    look_up(replace(settings, token="profile-token-1"))
    assert routes(sandbox) == ["fetch"]


def test_without_a_token_no_authorization_header_is_sent(sandbox, look_up):
    sandbox.settings.token = None
    look_up()
    assert routes(sandbox) == ["ims", "admin", "fetch"]
    assert "authorization" not in sandbox.calls[-1].headers


@pytest.mark.parametrize("status", [404, 200])
def test_a_missing_token_differs_from_a_refusal(sandbox, ask, status):
    sandbox.settings.token, sandbox.settings.no_token_status = None, status
    assert ask(profile_token).value == ""


def test_a_replaced_token_is_read_again_once(sandbox, look_up):
    look_up()
    sandbox.settings.token = "profile-token-2"
    look_up()
    assert [call.headers["authorization"] for call in sandbox.calls if call.route == "fetch"] == [
        "Bearer profile-token-1",
        "Bearer profile-token-1",
        "Bearer profile-token-2",
    ]


def test_a_permanently_refused_token_is_sent_once(sandbox, look_up):
    sandbox.script("fetch", Answer(403), forever=True)
    with pytest.raises(TokenRefusedError, match="tenant acmeinc"):
        look_up()
    assert routes(sandbox) == ["ims", "admin", "fetch", "admin"]


def test_admin_calls_count_towards_the_rate_limit(look_up, clock):
    look_up(calls_per_minute=1)
    assert clock.waits == [60.0]


def test_an_answer_that_repeats_a_read_token_does_not_show_it(sandbox, ask, settings, clock):
    sandbox.script("fetch", Answer(400, "profile-token-1"), forever=True)

    def seen():
        return (yield Send(fetch_request(settings, "U1", "thirdPartyId")))

    assert ask(lambda tokens, budget: tokens.with_profile_token(seen())).body == b"***"


def test_an_access_token_is_kept_until_shortly_before_its_end(sandbox, ask, clock):
    first = ask(access_token).value
    clock.time += 86_000
    assert ask(access_token).value == first
    clock.time += 100
    assert ask(access_token).value != first
    assert routes(sandbox) == ["ims", "ims"]


def test_another_process_finds_the_access_token(sandbox, ask, masked):
    first = ask(access_token).value
    forget_all_tokens()
    assert ask(access_token).value == first
    assert routes(sandbox) == ["ims"]
    assert set(masked) == {first}


def test_the_file_shows_nothing_and_is_the_users_alone(ask, own_folder):
    token = ask(access_token).value
    (file,) = own_folder.iterdir()
    assert (own_folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    assert token.encode() not in file.read_bytes()
    assert b"access_token" not in file.read_bytes()


def test_concurrent_threads_request_one_access_token(sandbox, settings, clock):
    async def begin_all():
        async with HttpxTransport(settings) as transport:
            tokens = Authenticator(CallContext(settings, RateLimiter(50, clock), clock), lambda token: None)
            return await asyncio.gather(*(arun(tokens.profile_token(), transport, SYSTEM) for _ in range(20)))

    assert {token.value for token in asyncio.run(begin_all())} == {"profile-token-1"}
    assert routes(sandbox) == ["ims", "admin"]


def test_another_client_secret_cannot_read_the_token_file(sandbox, ask, settings):
    first = ask(access_token).value
    forget_all_tokens()
    sandbox.settings.client_secret = None
    other = replace(settings, oauth=replace(settings.oauth, client_secret="another"))
    assert ask(access_token, other).value != first


@pytest.mark.parametrize("damage", ["open", "foreign", "file", "garbage"])
def test_a_folder_that_cannot_be_trusted_is_not_used(sandbox, ask, own_folder, damage, monkeypatch):
    if damage == "file":
        own_folder.write_text("")
    else:
        first = ask(access_token).value
        forget_all_tokens()
    if damage == "open":
        own_folder.chmod(0o755)
    if damage == "foreign":
        link = own_folder.rename(own_folder.with_name("elsewhere"))
        own_folder.symlink_to(link)
    if damage == "garbage":
        next(own_folder.iterdir()).write_bytes(b"gAAAA no token")
    assert ask(access_token).value.startswith("eyJ")
    if damage != "file":
        assert ask(access_token).value != first
    assert len(sandbox.calls) == (1 if damage == "file" else 2)


def test_a_revoked_access_token_is_requested_again(sandbox, ask):
    ask(access_token)
    sandbox._state.tokens.access_tokens.clear()
    assert ask(profile_token).value == "profile-token-1"
    assert routes(sandbox) == ["ims", "admin", "ims", "admin"]
    forget_all_tokens()
    ask(access_token)
    assert routes(sandbox)[4:] == []  # the file has the new one


@pytest.mark.parametrize(
    ("setup", "error", "words"),
    [
        ({"client_secret": "other"}, TokenRefusedError, "invalid_client"),
        ({"client_secret": "other", "ims_refuse_status": 401}, TokenRefusedError, "client_secret"),
        ({"tenant_id": "another"}, TargetRefusedError, "tenant_id"),
    ],
)
def test_refusals_name_the_field_to_look_at(sandbox, ask, setup, error, words):
    for name, value in setup.items():
        setattr(sandbox.settings, name, value)
    with pytest.raises(error, match=words) as raised:
        ask(profile_token)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("route", "answer", "words"),
    [
        ("ims", Answer(200, '{"access_token": "a b", "expires_in": 9}'), "ims_host"),
        ("ims", Answer(200, '{"access_token": "eyJ", "expires_in": true}'), "ims_host"),
        ("ims", Answer(200, "<html>"), "ims_host"),
        ("admin", Answer(200, "<html>"), "admin_host"),
        ("admin", Answer(200, '{"accessToken": "x\\ny", "expiresIn": 9}'), "admin_host"),
        ("admin", Answer(404, "<html>"), "tenant_id"),
        ("admin", Answer(302, ""), "admin_host"),
        ("admin", Answer(403, "{}"), "product profile"),
    ],
)
def test_answers_of_no_use_are_refused(sandbox, ask, route, answer, words):
    sandbox.script(route, answer, forever=True)
    with pytest.raises(TargetRefusedError, match=words):
        ask(profile_token)


def test_throttled_requests_wait_for_retry_after(sandbox, ask, clock):
    sandbox.script("ims", Answer(429, headers={"Retry-After": "7"}))
    sandbox.script("admin", Answer(503))
    ask(profile_token)
    assert clock.waits == [7.0, 65.0]


def test_a_life_in_milliseconds_is_not_believed(sandbox, ask, clock):
    sandbox.script("ims", Answer(200, '{"access_token": "eyJ0", "expires_in": 86399990}'))
    assert ask(access_token).expires_at <= clock.now() + DAY


def test_every_token_is_masked_and_none_is_logged(sandbox, look_up, masked, caplog):
    caplog.set_level(logging.DEBUG)
    sandbox.settings.token_seconds = 5 * 86_400
    look_up()
    access = sandbox.calls[1].headers["authorization"].removeprefix("Bearer ")
    assert set(masked) == {access, "profile-token-1"}
    assert "at most 5.0 days" in caplog.text
    for secret in (access, "profile-token-1", SECRET):
        assert secret not in caplog.text


def test_a_token_is_made_only_on_request(sandbox, ask, look_up, clock):
    look_up()
    made = ask(lambda tokens, budget: tokens.make_profile_token())
    assert made.value == sandbox.settings.token != "profile-token-1"
    assert days_left(made, clock.now()) == pytest.approx(90, abs=0.1)
    assert made.value not in repr(made)
    look_up()
    assert [call.method for call in sandbox.calls if call.route == "admin"] == ["GET", "GET", "POST"]
    assert sandbox.calls[-1].headers["authorization"] == f"Bearer {made.value}"


def test_a_token_whose_making_was_not_answered_is_read(sandbox, ask):
    sandbox.script("admin", Answer.real(), Answer.real(reset="after"))
    made = ask(lambda tokens, budget: tokens.make_profile_token())
    assert made.value == sandbox.settings.token != "profile-token-1"
    assert [call.method for call in sandbox.calls if call.route == "admin"] == ["GET", "POST", "GET"]


def test_a_token_that_may_not_have_been_made_is_not_made_again(sandbox, ask):
    sandbox.script("admin", Answer.real(), Answer(reset="in"))
    with pytest.raises(AdobeTargetUnavailableError, match="the generation of a profile token"):
        ask(lambda tokens, budget: tokens.make_profile_token())
    assert [call.method for call in sandbox.calls if call.route == "admin"] == ["GET", "POST", "GET"]
    assert sandbox.settings.token == "profile-token-1"


UNUSABLE = [
    Answer(200, "<html>"),
    Answer(201, '{"accessToken": "x"}'),
    Answer(200, '{"a": 1}'),
    Answer(302),
    Answer(500),
]


@pytest.mark.parametrize("answer", UNUSABLE, ids=lambda answer: f"{answer.status} {answer.body}")
def test_a_token_whose_making_had_an_answer_of_no_use_is_read(sandbox, ask, answer):
    sandbox.script("admin", Answer.real(), replace(answer, is_processed=True))
    made = ask(lambda tokens, budget: tokens.make_profile_token())
    assert made.value == sandbox.settings.token != "profile-token-1"
    assert [call.method for call in sandbox.calls if call.route == "admin"] == ["GET", "POST", "GET"]


@pytest.mark.parametrize("answer", UNUSABLE, ids=lambda answer: f"{answer.status} {answer.body}")
def test_an_unusable_answer_is_retried_while_the_former_token_is_valid(sandbox, ask, answer):
    sandbox.script("admin", Answer.real(), answer)
    with pytest.raises(AdobeTargetUnavailableError, match=f"HTTP {answer.status}"):
        ask(lambda tokens, budget: tokens.make_profile_token())
    assert [call.method for call in sandbox.calls if call.route == "admin"] == ["GET", "POST", "GET"]
    assert sandbox.settings.token == "profile-token-1"


@pytest.mark.parametrize("look", [Answer(500), Answer(200, "<html>"), Answer(400), Answer(reset="before")])
def test_an_uncertain_rotation_without_a_readable_token_is_final(sandbox, ask, look):
    sandbox.script("admin", Answer.real(), Answer.real(reset="after"), *[look] * 9)
    with pytest.raises(UnclearAnswerError, match="A new token may have been generated") as raised:
        ask(lambda tokens, budget: tokens.make_profile_token())
    assert not isinstance(raised.value, AdobeTargetUnavailableError)
    assert sandbox.settings.token not in str(raised.value)
    assert [call.method for call in sandbox.calls if call.route == "admin"].count("POST") == 1


@pytest.mark.parametrize("answer", [Answer(400), Answer(404, '{"message": "none"}')])
def test_a_plain_refusal_made_no_token_and_needs_no_look(sandbox, ask, answer):
    sandbox.script("admin", Answer.real(), answer)
    with pytest.raises(TargetRefusedError, match=f"HTTP {answer.status}"):
        ask(lambda tokens, budget: tokens.make_profile_token())
    assert [call.method for call in sandbox.calls if call.route == "admin"] == ["GET", "POST"]


@pytest.mark.parametrize("demanded", [True, False])
def test_the_hook_returns_whether_a_token_is_required(sandbox, ask, demanded):
    sandbox.settings.require_token = demanded
    assert ask(lambda tokens, budget: tokens.demands_token()) is demanded


def test_what_is_missing_is_named(ask, settings):
    with pytest.raises(ConnectionSettingsError, match="client_id"):
        ask(access_token, replace(settings, oauth=None))
    with pytest.raises(ConnectionSettingsError, match="tenant_id"):
        ask(profile_token, replace(settings, tenant_id=None))
