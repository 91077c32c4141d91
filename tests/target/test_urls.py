from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.exceptions import TargetRefusedError
from airflow_provider_adobe_target.target.settings import TargetSettings
from airflow_provider_adobe_target.target.urls import batch_id_of, fetch_url, status_request_url, submit_url

ADOBE = TargetSettings.from_fields("acme", "token", None, None, {"allowed_status_hosts": "status.example.com"})
LOCAL = TargetSettings.from_fields("acme", "token", "http://127.0.0.1:8900", None, {})
PATH = "/m2/acme/profile/batchStatus?batchId=acme-1-1"


def test_a_batch_is_posted_to_the_path_of_its_version():
    assert submit_url(ADOBE, "v2") == "https://acme.tt.omtrdc.net/m2/acme/v2/profile/batchUpdate"
    assert submit_url(ADOBE, "v1") == "https://acme.tt.omtrdc.net/m2/acme/profile/batchUpdate"


@pytest.mark.parametrize(
    ("profile_id", "id_type", "path"),
    [
        ("U 1&/?#ü", "thirdPartyId", "thirdPartyId/U%201%26%2F%3F%23%C3%BC"),
        ("1368007744041-575948", "pcId", "1368007744041-575948"),
        ("..", "thirdPartyId", "thirdPartyId/%2E%2E"),
        ("7352.28_0", "thirdPartyId", "thirdPartyId/7352.28_0"),
        ("0123", "marketingCloudVisitorId", "marketingCloudVisitorId/0123"),
    ],
)
def test_an_id_is_one_path_segment(profile_id, id_type, path):
    url = fetch_url(ADOBE, profile_id, id_type)
    assert url == f"https://acme.tt.omtrdc.net/rest/v1/profiles/{path}?client=acme"


@pytest.mark.parametrize(
    ("profile_id", "host"),
    [
        ("1368007744041-575948.01_00", "mboxedge01"),
        ("10abf6304b2714215b1fd39a870f01afc.28_20", "mboxedge28"),
        ("1000000000000-100000.01", "acme"),
        ("1.2.28_20", "acme"),
        ("1.evil.com/_20", "acme"),
        ("1.28_", "acme"),
        ("1.28_2_0", "acme"),
    ],
)
def test_a_target_id_is_asked_for_at_the_edge_that_its_suffix_names(profile_id, host):
    assert fetch_url(ADOBE, profile_id, "pcId").startswith(f"https://{host}.tt.omtrdc.net/rest/v1/profiles/1")
    assert fetch_url(LOCAL, profile_id, "pcId").startswith("http://127.0.0.1:8900/rest/v1/profiles/1")


@pytest.mark.parametrize(
    ("connection", "url", "called"),
    [
        (ADOBE, "http://mboxedge45.tt.omtrdc.net", "https://mboxedge45.tt.omtrdc.net"),
        (ADOBE, "http://mboxedge45.tt.omtrdc.net:80", "https://mboxedge45.tt.omtrdc.net"),
        (ADOBE, "http://mboxedge45.tt.omtrdc.net:8080", "https://mboxedge45.tt.omtrdc.net:8080"),
        (ADOBE, "https://MboxEdge45.tt.omtrdc.net:80", "https://MboxEdge45.tt.omtrdc.net:80"),
        (ADOBE, "HTTP://acme.tt.omtrdc.net", "https://acme.tt.omtrdc.net"),
        (ADOBE, "http://status.example.com", "https://status.example.com"),
        (LOCAL, "http://127.0.0.1:8901", "http://127.0.0.1:8901"),
        (LOCAL, "http://127.0.0.1:80", "http://127.0.0.1:80"),
        (LOCAL, "https://127.0.0.1:8901", "https://127.0.0.1:8901"),
        (LOCAL, "http://mboxedge45.tt.omtrdc.net", "https://mboxedge45.tt.omtrdc.net"),
    ],
)
def test_http_becomes_https_but_on_the_host_of_a_plain_http_connection(connection, url, called):
    assert status_request_url(connection, url + PATH) == f"{called}{PATH}&showDetails=true"


@pytest.mark.parametrize(
    ("rest", "called"),
    [
        ("/s?batchId=1&m2Node=00", "/s?batchId=1&m2Node=00&showDetails=true"),
        ("/s?batchId=1&showDetails=true", "/s?batchId=1&showDetails=true"),
        ("/s?showDetails=true&batchId=1", "/s?showDetails=true&batchId=1"),
        ("/s?batchId=1&", "/s?batchId=1&showDetails=true"),
        ("/s/%7e/../x?a=%2f&mboxPC=0.19_05@x", "/s/%7e/../x?a=%2f&mboxPC=0.19_05@x&showDetails=true"),
        ("/s", "/s?showDetails=true"),
        ("/s?", "/s?showDetails=true"),
        ("", "?showDetails=true"),
    ],
)
def test_the_rest_of_a_status_url_stays_as_it_is(rest, called):
    assert status_request_url(ADOBE, f"http://e.tt.omtrdc.net{rest}") == f"https://e.tt.omtrdc.net{called}"


@pytest.mark.parametrize(
    "url",
    [
        "http://tt.omtrdc.net.evil.com/",
        "http://eviltt.omtrdc.net/",
        "http://tt.omtrdc.net/",
        "http://.tt.omtrdc.net/",
        "http://a..tt.omtrdc.net/",
        "http://evil.com/.tt.omtrdc.net",
        "http://evil.com?.tt.omtrdc.net",
        "http://evil.com#.tt.omtrdc.net",
        "http://mboxedge45.tt.omtrdc.net#x",
        "http://mboxedge45.tt.omtrdc.net./",
        "http://mboxedge45.tt.omtrdc.net:/",
        "http://mboxedge45.tt.omtrdc.net:99999/",
        "http://mboxedge45.tt.omtrdc.net:80x/",
        "http://127.0.0.1/",
        "http://status.example.com.evil.com/",
        "http://evil.com\\@mboxedge45.tt.omtrdc.net/",
        "http://evil.com\\.tt.omtrdc.net/",
        "http://evil.com%2f.tt.omtrdc.net/",
        "http://evil.com\t.tt.omtrdc.net/",
        "http://mboxedge45.tt.omtrdc.net/a b",
        "http://mboxedge45.tt.omtrdc.net/\r\nX: y",
        " http://mboxedge45.tt.omtrdc.net/",
        "http:/mboxedge45.tt.omtrdc.net/",
        "http:mboxedge45.tt.omtrdc.net/",
        "http:///mboxedge45.tt.omtrdc.net/",
        "//mboxedge45.tt.omtrdc.net/",
        "mboxedge45.tt.omtrdc.net/",
        "ftp://mboxedge45.tt.omtrdc.net/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://[::1]/",
        "http://2130706433/",
        "http://\uff45.tt.omtrdc.net/",
        "https://e.tt.omtrdc.net/" + "a" * 3000,
        "",
    ],
)
def test_a_status_url_elsewhere_is_not_called(url):
    with pytest.raises(TargetRefusedError):
        status_request_url(ADOBE, url)


@pytest.mark.parametrize("host", ["127.1", "0x7f.0.0.1", "2130706433", "127.0.0.1.", "0177.0.0.1", "[::ffff:7f00:1]"])
def test_another_spelling_of_the_connections_address_is_not_its_host(host):
    with pytest.raises(TargetRefusedError):
        status_request_url(LOCAL, f"http://{host}:8900/")


def test_the_refusal_names_the_host_and_the_setting():
    with pytest.raises(TargetRefusedError, match=r"evil\.example.*allowed_status_hosts"):
        status_request_url(ADOBE, f"http://evil.example{PATH}")


def test_the_refusal_of_a_user_part_does_not_repeat_it():
    with pytest.raises(TargetRefusedError, match="user part") as caught:
        status_request_url(ADOBE, "http://user:SECRET@mboxedge45.tt.omtrdc.net/")
    assert "SECRET" not in str(caught.value)


@settings(deadline=None)
@given(
    st.sampled_from(["http://", "https://", "HTTPS://", "http:/", ""]),
    st.lists(
        st.sampled_from(["e", ".tt.omtrdc.net", "evil.com", "@", "\\", ":", "80", "/", "?", "#", "%2e", "[", "]", "."])
        | st.text(max_size=2),
        max_size=8,
    ),
)
def test_every_url_that_is_called_names_an_allowed_host_to_every_parser(scheme, parts):
    try:
        url = status_request_url(ADOBE, scheme + "".join(parts))
    except TargetRefusedError:
        return
    host = urlsplit(url).hostname
    assert host is not None
    assert host.endswith(".tt.omtrdc.net") or host == "status.example.com"
    assert httpx.URL(url).host == host
    assert urllib3.util.parse_url(url).host == host
    assert url.lower().startswith("https://")
    assert status_request_url(ADOBE, url) == url


def test_the_batch_id_is_the_one_the_url_names():
    assert batch_id_of("https://e/m2/acme/profile/batchStatus?m2Node=0&batchId=acme-1-1&x=y") == "acme-1-1"
    assert batch_id_of("https://e.net/m2/status/7") == "e.net/m2/status/7"
