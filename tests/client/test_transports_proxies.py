"""Proxies of the connection and of the environment, in both transports."""

from __future__ import annotations

import pytest

from airflow_provider_adobe_target.exceptions import ConnectionSettingsError


def test_a_proxy_of_the_connection_is_used(server, other_server, send):
    other_server.reply(200, "by proxy")
    assert send(server.url, proxies={"http": other_server.url}).body == b"by proxy"
    assert other_server.requests[0].target.startswith(server.url)


def test_a_proxy_of_the_environment_is_used(server, other_server, send, monkeypatch):
    monkeypatch.setenv("http_proxy", other_server.url)
    other_server.reply(200, "by proxy")
    assert send(server.url).body == b"by proxy"


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_no_proxy_of_the_environment_is_used(server, other_server, send, monkeypatch, variable):
    monkeypatch.setenv("http_proxy", other_server.url)
    monkeypatch.setenv(variable, "127.0.0.1")
    server.reply(200, "direct")
    assert send(server.url).body == b"direct"


@pytest.mark.parametrize(
    "no_proxy",
    ["127.0.0.1", "127.0.0.1:{port}", "127.0.0.0/8", "*", "other.example, 127.0.0.1", "[::1]:{port},127.0.0.1"],
)
@pytest.mark.parametrize("place", ["connection", "no_proxy", "NO_PROXY"])
def test_no_proxy_has_one_meaning_in_both_transports(server, other_server, send, monkeypatch, place, no_proxy):
    server.reply(200, "direct")
    no_proxy = no_proxy.format(port=server.port)
    if place == "connection":
        proxies = {"http": other_server.url, "no_proxy": no_proxy}
    else:
        proxies = {}
        monkeypatch.setenv("HTTP_PROXY", other_server.url)
        monkeypatch.setenv(place, no_proxy)
    assert send(server.url, proxies=proxies).body == b"direct"


@pytest.mark.parametrize("no_proxy", ["127.0.0.1:1", "10.0.0.0/8", "example.com", ".0.0.2", ""])
def test_no_proxy_for_another_host_does_not_bypass_the_proxy(server, other_server, send, no_proxy):
    other_server.reply(200, "by proxy")
    assert send(server.url, proxies={"http": other_server.url, "no_proxy": no_proxy}).body == b"by proxy"


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_may_have_no_scheme(server, other_server, send, monkeypatch, variable):
    monkeypatch.setenv(variable, other_server.url.removeprefix("http://"))
    other_server.reply(200, "by proxy")
    assert send(server.url).body == b"by proxy"


def test_an_unusable_proxy_is_an_error_in_both_transports(server, send, monkeypatch):
    monkeypatch.setenv("http_proxy", "socks4://127.0.0.1:1080")
    with pytest.raises(ConnectionSettingsError, match="URL of a proxy must start with"):
        send(server.url)
