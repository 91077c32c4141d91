from __future__ import annotations

import json
import socket
import uuid

import pytest

from airflow_provider_adobe_target.client.auth.authenticator import NO_RETRY, Authenticator
from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.connection_test import check_connection
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.client.settings import TargetSettings

TOKEN = "bbf8ae69-6e29-4b8e-b3d6-f7567723f5b0"


@pytest.fixture
def check_settings(drive, clock):
    def check(settings):
        tokens = Authenticator(CallContext(settings, RateLimiter(50, clock), clock), lambda token: None, NO_RETRY)
        return drive(check_connection(CallContext(settings, RateLimiter(50, clock), clock), tokens), settings)

    return check


@pytest.fixture
def check(check_settings, make_settings):
    return lambda **options: check_settings(make_settings(**options))


def test_no_profile_found_means_success(server, check):
    server.reply(404, '{"status" : 404, "message" : "No profile found for client acme with third party id=x"}')
    works, words = check()
    assert works, words
    assert "acme" in words
    request = server.requests[0]
    assert request.method == "GET"
    assert uuid.UUID(request.target.removeprefix("/rest/v1/profiles/thirdPartyId/").removesuffix("?client=acme"))
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("without", "words"),
    [
        ({"status": 403}, "Authentication is required, and the token is valid."),
        (
            {"status": 404, "body": '{"status": 404}'},
            "Authentication is not required, so the token could not be validated.",
        ),
        ({"status": 500}, "It is unknown whether authentication is required."),
        ({"reset": True}, "It is unknown whether authentication is required."),
    ],
)
def test_a_call_without_the_token_shows_if_it_is_required(server, check, without, words):
    server.reply(404, '{"status": 404}').reply(**without)
    works, said = check()
    assert works
    assert words in said
    assert "authorization" not in server.requests[1].headers


def test_without_a_token_one_call_shows_that_none_is_required(server, check):
    server.reply(404, '{"status": 404}')
    assert check(token=None)[1].endswith("Authentication is not required.")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"status": 404, "body": "<html>Not found</html>"}, "client code"),
        ({"status": 200, "body": "<html>Log in</html>"}, "proxy"),
        ({"status": 401}, "Require Authentication"),
        ({"status": 403}, "Debugger token"),
        ({"status": 302, "headers": {"Location": "/"}}, "redirect"),
        ({"status": 503}, "50 calls per minute"),
        ({"status": 429}, "50 calls per minute"),
        ({"status": 500, "body": json.dumps({"status": 404})}, "HTTP 500"),
        ({"reset": True}, "cannot be reached"),
    ],
)
def test_every_other_response_has_a_hint(server, check, clock, reply, words):
    server.reply(**reply)
    works, said = check()
    assert not works
    assert words in said
    assert TOKEN not in said
    assert (len(server.requests), clock.waits) == (1, [])


def test_a_missing_token_differs_from_a_refused_one(server, check):
    server.reply(401)
    assert "requires a token" in check(token=None)[1]


@pytest.mark.parametrize("host", [None, "https://proxy.example.com"])
def test_an_unknown_host_names_the_field_to_look_at(check_settings, monkeypatch, host):
    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    settings = TargetSettings.from_fields("acme", None, host, None, {})
    works, words = check_settings(settings)
    assert not works
    assert ("client code" if host is None else "host of the connection") in words


def test_a_server_without_tls_is_named(server, check):
    server.reply()
    works, words = check(host=server.url.replace("http:", "https:"))
    assert not works
    assert "TLS" in words


def test_a_placeholder_is_not_taken_for_a_token(server, check):
    works, words = check(token="***")
    assert not works
    assert "***" in words
    assert server.requests == []
