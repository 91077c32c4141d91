from __future__ import annotations

import pytest

from airflow_provider_adobe_target.client.endpoints.profile import update_url
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import ConnectionSettingsError


def read(login="acme", password=None, host=None, port=None, schema=None, **extra):
    return TargetSettings.from_fields(login, password, host, port, extra, schema)


@pytest.mark.parametrize("absent", [None, "", "  "])
def test_null_and_empty_mean_absent_in_every_field(absent):
    names = (
        "uses_ecid",
        "calls_per_minute",
        "allowed_status_hosts",
        "timeout",
        "verify",
        "proxies",
        "property_token",
        "update_path_segment",
        "sync_log",
        "sync_log_keep_days",
        "rate_limit_conn_id",
        "block_attributes",
        "hash_salt",
    )
    found = read("acme", absent, absent, absent, absent, **dict.fromkeys(names, absent))
    assert found == TargetSettings(client_code="acme", base_url="https://acme.tt.omtrdc.net")
    assert (found.calls_per_minute, found.timeout, found.verify) == (30, (10.0, 300.0), True)
    assert found.uses_ecid is True
    assert found.token is None


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (None, "/m2/acme/profile/update"),
        ("client_code", "/m2/acme/profile/update"),
        (" client ", "/m2/client/profile/update"),
    ],
)
def test_the_single_update_path_has_the_code_or_the_word_client(given, path):
    url = update_url(read(update_path_segment=given), "U1", "thirdPartyId")
    assert url == f"https://acme.tt.omtrdc.net{path}?mbox3rdPartyId=U1"


@pytest.mark.parametrize("given", ["acme", "Client", 1, True, ["client"]])
def test_another_path_of_single_updates_is_refused(given):
    with pytest.raises(ConnectionSettingsError, match="update_path_segment must be 'client_code' or 'client'"):
        read(update_path_segment=given)


@pytest.mark.parametrize("days", [0, -1, 1.5, "many", 40_000])
def test_days_of_the_sync_log_are_bounded(days):
    assert read(sync_log=" warehouse ", sync_log_keep_days="400").sync_log_keep_days == 400
    with pytest.raises(ConnectionSettingsError, match="sync_log_keep_days must be"):
        read(sync_log_keep_days=days)


@pytest.mark.parametrize(
    ("host", "port", "schema", "base_url"),
    [
        ("proxy.example.com", None, None, "https://proxy.example.com"),
        ("proxy.example.com", 8443, None, "https://proxy.example.com:8443"),
        ("proxy.example.com:8443", 9, None, "https://proxy.example.com:8443"),
        ("http://127.0.0.1:8900", None, None, "http://127.0.0.1:8900"),
        ("http://127.0.0.1:8900/", 1, None, "http://127.0.0.1:8900"),
        ("http://127.0.0.1", 8900, None, "http://127.0.0.1:8900"),
        ("127.0.0.1", "8900", "http", "http://127.0.0.1:8900"),
        ("https://Target.Example.com:443", None, "http", "https://target.example.com"),
        ("HTTP://localhost:80", None, None, "http://localhost"),
        ("http://[::1]:8900", None, None, "http://[::1]:8900"),
        ("[0:0:0:0:0:0:0:1]", 8900, "http", "http://[::1]:8900"),
    ],
)
def test_host_may_be_a_url_or_a_bare_name(host, port, schema, base_url):
    assert read(host=host, port=port, schema=schema, password="t").base_url == base_url


@pytest.mark.parametrize(
    "host",
    [
        "http://user:secret@127.0.0.1:8900",
        "user@example.com",
        "https://example.com/path",
        "https://example.com?x=1",
        "https://example.com#x",
        "https://evil.com\\@127.0.0.1",
        "https://exa mple.com",
        "https://example.com\n.evil.com",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:",
        "https://example.com.",
        "https://exämple.com",
        "ftp://example.com",
        "https://",
        "http://127.1",
        "http://0x7f000001",
        "http://2130706433",
        "http://[::1",
        "http://[::g]",
    ],
)
def test_a_host_that_is_more_or_less_than_a_host_is_refused(host):
    with pytest.raises(ConnectionSettingsError, match="host") as caught:
        read(host=host)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("False", False), ("1", True), ("0", False), (False, False), (1, True)],
)
def test_booleans_may_be_text(text, value):
    assert read(uses_ecid=text).uses_ecid is value
    assert read(verify=text).verify is value


@pytest.mark.parametrize("value", ["10, 300", "10,300", [10, 300], ["10", "300"], "[10, 300]"])
def test_timeout_may_be_two_numbers(value):
    assert read(timeout=value).timeout == (10.0, 300.0)


@pytest.mark.parametrize("value", [7, "7", 7.0, [7]])
def test_one_timeout_applies_to_connect_and_read(value):
    assert read(timeout=value).timeout == (7.0, 7.0)


@pytest.mark.parametrize("value", [[" Status.Example.com", "b.example"], "status.example.com, b.example,"])
def test_allowed_status_hosts_are_a_list_or_text_with_commas(value):
    assert read(allowed_status_hosts=value).allowed_status_hosts == {"status.example.com", "b.example"}


def test_proxies_may_be_json_text():
    assert read(proxies='{"https": "http://p:3128", "http": null}').proxies == {"https": "http://p:3128"}
    assert read(proxies={"all": "p:3128"}).proxies == {"all": "http://p:3128"}


def test_verify_may_be_a_path(tmp_path):
    assert read(verify=str(tmp_path)).verify == str(tmp_path)


@pytest.mark.parametrize(("value", "calls"), [(50, 50), ("1", 1), (30.0, 30)])
def test_calls_per_minute_may_be_text(value, calls):
    assert read(calls_per_minute=value).calls_per_minute == calls


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("calls_per_minute", 51),
        ("calls_per_minute", 0),
        ("calls_per_minute", -1),
        ("calls_per_minute", "many"),
        ("calls_per_minute", 1.5),
        ("calls_per_minute", True),
        ("calls_per_minute", "nan"),
        ("calls_per_minute", "inf"),
        ("uses_ecid", "maybe"),
        ("uses_ecid", []),
        ("timeout", "0, 10"),
        ("timeout", "1, 2, 3"),
        ("timeout", "inf"),
        ("timeout", "nan"),
        ("timeout", {}),
        ("verify", "/no/such/file"),
        ("proxies", "not json"),
        ("proxies", [1]),
        ("proxies", {"https": 1}),
        ("proxies", {"https": "http://u:SECRET@a..b:1"}),
        ("proxies", {"https": "ftp://proxy"}),
        ("proxies", {"gopher": "http://proxy"}),
        ("allowed_status_hosts", "https://example.com"),
        ("allowed_status_hosts", "example.com:8443"),
        ("allowed_status_hosts", [None, 5.5, {}]),
        ("property_token", "a b"),
    ],
)
def test_an_unusable_field_is_named(name, value):
    with pytest.raises(ConnectionSettingsError, match=name) as caught:
        read(**{name: value})
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("login", [None, "", "ac me", "acme/..", "acme.evil", "ä", "a" * 64, 5])
def test_the_client_code_is_required_and_plain(login):
    with pytest.raises(ConnectionSettingsError, match="login"):
        read(login=login)


def test_white_space_around_a_token_is_not_part_of_it():
    assert read(password=" token\n").token == "token"


@pytest.mark.parametrize("token", ["SECRET token", "SECRET\r\nX: y", "SECRET\x00", "SECRETö"])
def test_a_token_that_cannot_be_a_header_is_refused_unseen(token):
    with pytest.raises(ConnectionSettingsError, match="password") as caught:
        read(password=token)
    assert "SECRET" not in str(caught.value)


def test_no_secret_shows_in_the_repr():
    found = read(password="SECRET", property_token="SECRET", proxies={"all": "http://u:SECRET@p:1"})
    assert "SECRET" not in repr(found)


CREDENTIAL = {"client_id": "id", "client_secret": "p8e-s"}


def test_a_credential_has_defaults_that_lead_to_adobe():
    found = read(**CREDENTIAL, tenant_id="acmeinc")
    assert found.oauth.ims_url == "https://ims-na1.adobelogin.com"
    assert found.oauth.scope.split(",")[0] == "openid"
    assert found.admin_url == "https://mc.adobe.io"
    assert found.reads_token
    assert "p8e-s" not in repr(found)


@pytest.mark.parametrize(
    ("password", "extra", "reads"),
    [
        ("t", {**CREDENTIAL, "tenant_id": "acmeinc"}, False),
        (None, CREDENTIAL, False),
        (None, {"tenant_id": "acmeinc"}, False),
    ],
)
def test_the_token_is_read_only_if_missing_with_a_credential(password, extra, reads):
    assert read(password=password, **extra).reads_token is reads


@pytest.mark.parametrize("scopes", ["openid, AdobeID", ["openid", "AdobeID"], '["openid", "AdobeID"]'])
def test_scopes_may_be_a_list(scopes):
    assert read(**CREDENTIAL, ims_scope=scopes).oauth.scope == "openid,AdobeID"


@pytest.mark.parametrize("name", ["ims_host", "admin_host"])
@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("proxy.example.com", "https://proxy.example.com"),
        ("https://Proxy.example.com:8443/", "https://proxy.example.com:8443"),
        ("http://127.0.0.1:8900", "http://127.0.0.1:8900"),
    ],
)
def test_other_hosts_may_respond_for_adobe(name, host, url):
    found = read(**CREDENTIAL, **{name: host})
    assert (found.oauth.ims_url if name == "ims_host" else found.admin_url) == url


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"client_id": "id"}, "client_secret"),
        ({"client_secret": "s"}, "client_id"),
        ({**CREDENTIAL, "client_id": "a b"}, "client_id"),
        ({**CREDENTIAL, "ims_host": "http://proxy.example.com"}, "ims_host"),
        ({"admin_host": "http://proxy.example.com"}, "admin_host"),
        ({"admin_host": "https://user@proxy.example.com"}, "admin_host"),
        ({"admin_host": ["proxy.example.com"]}, "admin_host"),
        ({"tenant_id": "acme/inc"}, "tenant_id"),
        ({**CREDENTIAL, "tenant_id": "acmeinc", "host": "http://target.example.com"}, "tenant_id"),
    ],
)
def test_a_credential_that_cannot_be_used_names_the_field(extra, field):
    with pytest.raises(ConnectionSettingsError, match=field) as raised:
        read(**extra)
    assert "p8e-s" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "patterns"),
    [(None, ()), ("*email*, default", ("*email*", "default")), (["a", ""], ("a",)), ('["a", "b"]', ("a", "b"))],
)
def test_blocked_attributes_are_a_list_or_comma_separated(given, patterns):
    assert read(block_attributes=given).block_attributes == patterns


def test_blocked_attributes_must_be_text():
    with pytest.raises(ConnectionSettingsError, match="block_attributes must be names or patterns"):
        read(block_attributes=[1])


def test_the_salt_is_not_displayed():
    settings = read(hash_salt=" hidden-word ")
    assert settings.hash_salt == "hidden-word"
    assert "hidden-word" not in repr(settings)
