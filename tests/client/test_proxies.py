from __future__ import annotations

import pytest

from airflow_provider_adobe_target.client.proxies import is_excluded, proxy_for

PROXY = "http://127.0.0.1:3128"


@pytest.mark.parametrize(
    ("no_proxy", "url", "excluded"),
    [
        ("*", "https://anything.example", True),
        ("other.example,*", "https://anything.example", True),
        ("example.com", "https://example.com", True),
        ("example.com", "https://acme.example.com", True),
        (".example.com", "https://acme.example.com", True),
        (".example.com", "https://example.com", True),
        ("EXAMPLE.com", "https://acme.Example.COM", True),
        ("example.com", "https://notexample.com", False),
        (".example.com", "https://example.org", False),
        (".", "https://example.org", False),
        ("a.example b.example", "https://b.example", True),
        (" a.example , b.example ", "https://b.example", True),
        ("example.com:8443", "https://acme.example.com:8443", True),
        ("example.com:8443", "https://acme.example.com", False),
        ("example.com:443", "https://acme.example.com", True),
        ("example.com:80", "http://acme.example.com", True),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("10.1.2.3:8080", "http://10.1.2.3:8080", True),
        ("10.1.2.3:8080", "http://10.1.2.3", False),
        ("1.2.3", "https://10.1.2.3", False),
        ("10.1.0.0/16", "https://10.1.2.3", True),
        ("10.1.2.9/16", "https://10.1.2.3", True),
        ("10.1.0.0/16", "https://10.2.2.3", False),
        ("0.0.0.0/0", "https://10.2.2.3", True),
        ("10.1.0.0/16", "https://10.example", False),
        ("::1", "http://[::1]:8080", True),
        ("[::1]", "http://[::1]:8080", True),
        ("0:0:0:0:0:0:0:1", "http://[::1]:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("[::1]:8080", "http://[::1]:8081", False),
        ("fd00::/8", "https://[fd12::1]", True),
        ("fd00::/8", "https://[fe80::1]", False),
        ("", "https://example.com", False),
        (",,", "https://example.com", False),
    ],
)
def test_no_proxy_excludes_hosts_domains_addresses_and_ranges(no_proxy, url, excluded):
    assert is_excluded(no_proxy, url) is excluded


def test_no_proxy_of_the_connection_excludes_proxies_of_both(make_settings, monkeypatch):
    monkeypatch.setenv("https_proxy", PROXY)
    assert proxy_for(make_settings(proxies={"no_proxy": ".example.com"}), "https://acme.example.com/") is None
    assert proxy_for(make_settings(proxies={"all": PROXY, "no_proxy": "*"}), "https://acme.example.com/") is None


def test_no_proxy_of_the_environment_keeps_the_connections_proxy(make_settings, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    assert proxy_for(make_settings(proxies={"https": PROXY}), "https://acme.example.com/") == PROXY


def test_the_environment_is_not_changed(make_settings, monkeypatch):
    settings = make_settings(proxies={"all": PROXY, "no_proxy": "example.com"})
    with monkeypatch.context() as patch:  # other threads would see the change
        patch.setattr("os.environ.__class__.__setitem__", pytest.fail)
        assert proxy_for(settings, "https://example.com/") is None


@pytest.mark.parametrize("key", ["https://acme.example.com", "https", "all://acme.example.com", "all"])
def test_the_keys_are_those_of_requests(make_settings, key):
    assert proxy_for(make_settings(proxies={key: PROXY}), "https://acme.example.com/") == PROXY
