"""Where the token goes, and where it never does: all of its travels, each way a task may wait.

The recording server stands for all other machines: names resolve to it, and it records each byte that it receives.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import httpx
import pytest
import urllib3
from airflow.providers.common.compat.sdk import AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.client.auth.authenticator import Authenticator
from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.endpoints.batch_status import batch_status, status_request
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_batch
from airflow_provider_adobe_target.client.endpoints.profile import fetch_profile
from airflow_provider_adobe_target.client.endpoints.status_url import status_request_url
from airflow_provider_adobe_target.client.protocol import BatchBody, Send, TransportFailure
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.transports.httpx import HttpxTransport, arun
from airflow_provider_adobe_target.client.transports.requests import RequestsTransport, run
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetError,
    ConnectionSettingsError,
    TargetRefusedError,
)
from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from support.real_airflow import connection
from support.recording_server import TOKEN
from support.wait_modes import WAYS, Case, deferred, rescheduled, sensor, upload

ADOBE = TargetSettings.from_fields("acme", TOKEN, None, None, {"allowed_status_hosts": "status.example.com"})
LOCAL = TargetSettings.from_fields("acme", TOKEN, "http://127.0.0.1:8900", None, {})
PATH = "/m2/acme/profile/batchStatus?batchId=acme-1-1"

FOREIGN_HOSTS = [
    # names that look alike
    *("evil.example", "tt.omtrdc.net.evil.example", "eviltt.omtrdc.net", "evil-tt.omtrdc.net", "omtrdc.net"),
    *("tt.omtrdc.net", ".tt.omtrdc.net", "a..tt.omtrdc.net", "-.tt.omtrdc.net", "acme.tt.omtrdc.net.co"),
    *("acme.tt.omtrdc.com", "acme.tt.0mtrdc.net", "acme.tt.omtrdc.net.", "acme.tt.omtrdc.net..", "evil.example."),
    *("status.example.com.evil.example", "evilstatus.example.com", "status.example.com.", "*.tt.omtrdc.net"),
    # names in other scripts, in punycode, and with other dots
    *(
        "acme.tt.omtrd\u0441.net",
        "acme\u3002tt\u3002omtrdc\u3002net",
        "acme\uff0ett\uff0eomtrdc\uff0enet",
        "\uff41cme.tt.omtrdc.net",
        "acme.tt.omtrdc.n\u0435t",
    ),
    *(
        "xn--omtrd-5nf.net",
        "acme.tt.xn--omtrd-5nf.net",
        "acme\u200b.tt.omtrdc.net",
        "acme.tt.omtrdc.net\u3002evil.example",
    ),
    # hosts that are less than one thing to all who read them
    *("evil.example%2f.tt.omtrdc.net", "evil.example%00.tt.omtrdc.net", "evil.example\\.tt.omtrdc.net"),
    *("evil.example\t.tt.omtrdc.net", "evil.example\r\n.tt.omtrdc.net", "evil.example .tt.omtrdc.net", "", " "),
    *("acme.tt.omtrdc.net:", "acme.tt.omtrdc.net:0", "acme.tt.omtrdc.net:99999", "acme.tt.omtrdc.net:80x"),
    *("acme.tt.omtrdc.net:80:80", "acme.tt.omtrdc.net:-80", "acme.tt.omtrdc.net:\u0668\u0660", "[acme.tt.omtrdc.net]"),
    # the part before the host
    *(
        "user@acme.tt.omtrdc.net",
        "user:pw@acme.tt.omtrdc.net",
        "@acme.tt.omtrdc.net",
        "acme.tt.omtrdc.net@evil.example",
    ),
    *("acme.tt.omtrdc.net:pw@evil.example", "evil.example\\@acme.tt.omtrdc.net", "evil.example#@acme.tt.omtrdc.net"),
    *("evil.example?@acme.tt.omtrdc.net", "evil.example/@acme.tt.omtrdc.net", "acme.tt.omtrdc.net%40evil.example"),
    # addresses
    *("10.0.0.1", "169.254.169.254", "2130706433", "017700000001", "0x7f000001", "127.1", "0177.0.0.1", "0x7f.1"),
    *("127.0.0.1.", "0", "0.0.0.0", "127.000.000.001", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:7f00:1]", "[::127.0.0.1]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1", "::1", "[]"),
]
FOREIGN_URLS = [
    *(f"{scheme}://{host}{PATH}" for scheme in ("http", "https") for host in FOREIGN_HOSTS),
    *("http:/acme.tt.omtrdc.net/", "http:acme.tt.omtrdc.net/", "http:///acme.tt.omtrdc.net/", "//acme.tt.omtrdc.net/"),
    *("acme.tt.omtrdc.net/", "ftp://acme.tt.omtrdc.net/", "file:///etc/passwd", "javascript:alert(1)", "data:,x", ""),
    *("http://acme.tt.omtrdc.net/a b", "http://acme.tt.omtrdc.net/\r\nX: y", "http://"),
    *("http://acme.tt.omtrdc.net#x", "http://evil.example#.tt.omtrdc.net", "http://evil.example?.tt.omtrdc.net"),
    *("http://evil.example/.tt.omtrdc.net", "\\\\acme.tt.omtrdc.net\\", "https:\\\\acme.tt.omtrdc.net/", "https://"),
    "https://acme.tt.omtrdc.net/" + "a" * 3000,
]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(clock=lambda: clocks.SYSTEM.now()) as sandbox:
        yield sandbox


@pytest.fixture
def target(sandbox, clock, monkeypatch):
    sandbox.reset(token=TOKEN, processing_seconds=150.0, calls_per_minute=None)
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox))
    return sandbox


@pytest.fixture(params=["requests", "httpx"])
def drive(request, clock):
    """Drive a flow to its end over real sockets, once a library."""

    async def drive_async(flow, settings):
        async with HttpxTransport(settings) as transport:
            return await arun(flow, transport, clock)

    def drive(flow, settings):
        if request.param == "httpx":
            return asyncio.run(drive_async(flow, settings))
        with RequestsTransport(settings) as transport:
            return run(flow, transport, clock)

    return drive


def submitted(url, *, is_json):
    """Return the answer to an upload that names a status URL."""
    if is_json:
        return Answer(200, json.dumps({"success": True, "batchStatus": url}))
    return Answer(200, f"<response><success>true</success><batchStatus>{escape(url)}</batchStatus></response>")


def wait_at(way, url, sandbox, clock, context, *, is_json=False):
    """Wait for a batch whose status URL is this one: an upload is told it by Target, a sensor by its user."""
    case = Case()
    if way in ("worker", "deferrable"):
        sandbox.script("submit", submitted(url, is_json=is_json))
        if way == "worker":
            return upload(case).execute(context)
        return deferred(lambda: upload(case, deferrable=True), context)
    if way == "deferred":
        return deferred(lambda: sensor(case, [url], deferrable=True), context)
    if way == "reschedule":
        return rescheduled(lambda: sensor(case, [url], mode="reschedule"), context, clock)
    return sensor(case, [url], mode="poke").execute(context)


@pytest.mark.parametrize("way", WAYS)
def test_no_wait_mode_calls_a_foreign_status_url(way, target, clock, context, every_host):
    for number, url in enumerate(FOREIGN_URLS[way in ("worker", "deferrable") :: 2]):
        with pytest.raises(AirflowFailException) as caught:
            wait_at(way, url, target, clock, context, is_json=bool(number % 2))
        assert TOKEN not in str(caught.value), url
        assert every_host.received == [], url
    assert {call.route for call in target.calls} <= {"submit"}


@pytest.mark.parametrize("url", FOREIGN_URLS)
def test_a_status_url_elsewhere_is_refused(url):
    for settings in (ADOBE, LOCAL):
        with pytest.raises(TargetRefusedError):
            status_request_url(settings, url)


@pytest.mark.parametrize("host", ["127.1", "0x7f.0.0.1", "2130706433", "127.0.0.1.", "0177.0.0.1", "[::ffff:7f00:1]"])
def test_another_spelling_of_the_host_address_is_refused(host):
    with pytest.raises(TargetRefusedError):
        status_request_url(LOCAL, f"http://{host}:8900/")


def test_the_refusal_names_the_host_and_the_setting():
    with pytest.raises(TargetRefusedError, match=r"evil\.example.*allowed_status_hosts"):
        status_request_url(ADOBE, f"http://evil.example{PATH}")


def test_the_refusal_of_a_user_part_does_not_repeat_it():
    with pytest.raises(TargetRefusedError, match="user part") as caught:
        status_request_url(ADOBE, f"http://user:{TOKEN}@mboxedge45.tt.omtrdc.net/")
    assert TOKEN not in str(caught.value)


parts = st.sampled_from(["e", ".tt.omtrdc.net", "evil.com", "@", "\\", ":", "80", "/", "?", "#", "%2e", "[", "]", "."])


@given(
    st.sampled_from(["http://", "https://", "HTTPS://", "http:/", ""]),
    st.lists(parts | st.text(max_size=2), max_size=8),
)
def test_every_called_url_has_an_allowed_host_in_every_parser(scheme, parts):
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


def once(command):
    return (yield command)


# --- clear text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "url", "called"),
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
def test_http_becomes_https_except_on_a_plain_http_connection(settings, url, called):
    assert status_request_url(settings, url + PATH) == f"{called}{PATH}&showDetails=true"


def test_a_status_url_of_target_is_called_over_tls_only(drive, every_host):
    for url in ("http://mboxedge45.tt.omtrdc.net", "http://acme.tt.omtrdc.net:80", "HTTPS://acme.tt.omtrdc.net:8443"):
        assert isinstance(drive(once(Send(status_request(LOCAL, url + PATH))), LOCAL), TransportFailure)
    assert [heard[:2] for heard in every_host.received] == [b"\x16\x03"] * 3  # the hello of TLS
    assert not every_host.received_token()


@pytest.mark.parametrize("host", ["http://localhost", "http://a.localhost", "http://127.9.9.9", "http://[::1]"])
def test_a_token_may_travel_in_clear_text_to_this_machine(host):
    assert TargetSettings.from_fields("acme", TOKEN, host, None, {}).token == TOKEN


@pytest.mark.parametrize(
    "host", ["http://example.com", "http://10.0.0.1", "http://localhost.evil.com", "http://[::ffff:10.0.0.1]"]
)
def test_a_token_never_travels_in_clear_text_to_another_machine(host):
    with pytest.raises(ConnectionSettingsError, match="token"):
        TargetSettings.from_fields("acme", TOKEN, host, None, {})
    assert TargetSettings.from_fields("acme", None, host, None, {}).plain_http


# --- redirects ----------------------------------------------------------------------------------------------


def calls(settings, clock, tmp_path):
    """Return one flow for each kind of call that carries the token."""
    file = tmp_path / "batch"
    file.write_bytes(b"batch=thirdPartyId,tier\nU1,gold\n")
    budget = RateLimiter(50, clock)
    batch = Batch.from_status_url(f"{settings.base_url}{PATH}")
    return {
        "submit": submit_batch(CallContext(settings, budget, clock), BatchBody(file, file.stat().st_size)),
        "status": batch_status(CallContext(settings, budget, clock), batch),
        "fetch": fetch_profile(CallContext(settings, budget, clock), "U1", "thirdPartyId"),
    }


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status, drive, target, clock, every_host, tmp_path):
    settings = TargetSettings.from_fields("acme", TOKEN, target.url, None, {})
    for location in (
        every_host.url,
        "https://evil.example/",
        "//evil.example/",
        f"{target.url}/elsewhere",
        "/elsewhere",
    ):
        for route, flow in calls(settings, clock, tmp_path).items():
            target.script(route, Answer(status, headers={"Location": location}))
            before = len(target.calls)
            with pytest.raises(TargetRefusedError, match="redirect") as caught:
                drive(flow, settings)
            assert len(target.calls) == before + 1
            assert "evil" not in str(caught.value)
    assert every_host.received == []


# --- proxies, and what the environment says -----------------------------------------------------------------


def test_netrc_puts_no_credentials_in_the_place_of_the_token(drive, target, clock, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\ndefault login other password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for token, expected in ((TOKEN, f"Bearer {TOKEN}"), (None, None)):
        settings = TargetSettings.from_fields("acme", token, target.url, None, {})
        for flow in calls(settings, clock, tmp_path).values():
            with suppress(AdobeTargetError):  # without a token it is refused
                drive(flow, settings)
            assert target.calls[-1].headers.get("authorization") == expected


@pytest.mark.parametrize("given_by", ["connection", "environment"])
def test_a_proxy_never_sees_the_token(given_by, drive, clock, recording_server, monkeypatch, tmp_path):
    extra = {"timeout": 2}
    if given_by == "connection":
        extra["proxies"] = {"https": recording_server.url}
    else:
        monkeypatch.setenv("https_proxy", recording_server.url)
    settings = TargetSettings.from_fields("acme", TOKEN, None, None, extra)
    for flow in calls(settings, clock, tmp_path).values():
        first_try = next(flow)
        assert isinstance(drive(once(first_try), settings), TransportFailure)
    begins = {request.partition(b" HTTP/1.")[0] for request in recording_server.received}
    assert begins == {b"CONNECT acme.tt.omtrdc.net:443"}
    assert not recording_server.received_token()


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_clear_text_to_localhost_uses_no_remote_proxy(name, drive, target, clock, every_host, monkeypatch, tmp_path):
    monkeypatch.setenv(name, "http://proxy.example:3128")
    settings = TargetSettings.from_fields("acme", TOKEN, target.url, None, {})
    drive(calls(settings, clock, tmp_path)["submit"], settings)
    assert every_host.received == []


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_a_clear_text_credential_to_localhost_uses_no_remote_proxy(
    name, drive, target, clock, every_host, monkeypatch, tmp_path
):
    monkeypatch.setenv(name, "http://proxy.example:3128")
    places = {"ims_host": target.url, "admin_host": target.url}
    credential = {"client_id": tmp_path.name, "client_secret": "secret"}  # of which no token is kept yet
    extra = {**credential, "tenant_id": "acmeinc", **places}
    settings = TargetSettings.from_fields("acme", None, target.url, None, extra)
    tokens = Authenticator(CallContext(settings, RateLimiter(50, clock), clock), lambda token: None)
    drive(tokens.with_profile_token(calls(settings, clock, tmp_path)["submit"]), settings)
    assert {call.route for call in target.calls} == {"ims", "admin", "submit"}
    assert target.calls[-1].headers["authorization"].startswith("Bearer ")
    assert every_host.received == []


@pytest.mark.parametrize("name", ["ims_host", "admin_host", "edge_host"])
def test_a_proxy_that_would_see_the_client_secret_is_refused(name):
    credential = {"client_id": "id", "client_secret": "secret", name: "http://127.0.0.1:8900"}
    with pytest.raises(ConnectionSettingsError, match="proxies.*client secret"):
        TargetSettings.from_fields("acme", None, None, None, {**credential, "proxies": {"http": "http://a.example:1"}})
    assert TargetSettings.from_fields("acme", None, None, None, {**credential, "proxies": {"http": "http://[::1]:1"}})


@pytest.mark.parametrize("key", ["http", "all", "http://127.0.0.1"])
def test_a_proxy_that_would_see_the_token_is_refused(key):
    extra = {"proxies": {key: "http://proxy.example:3128"}}
    with pytest.raises(ConnectionSettingsError, match="proxies.*token"):
        TargetSettings.from_fields("acme", TOKEN, "http://127.0.0.1:8900", None, extra)
    assert TargetSettings.from_fields("acme", None, "http://127.0.0.1:8900", None, extra).proxies
    assert TargetSettings.from_fields("acme", TOKEN, None, None, extra).proxies


# --- where it does go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_the_token_goes_to_target_in_one_header_and_nowhere_else(way, target, clock, context, every_host):
    url = upload(Case(), wait_for_completion=False).execute(context)["batches"][0]["status_url"]
    wait_at(way, url, target, clock, context)
    assert {call.route for call in target.calls} == {"submit", "status"}
    for call in target.calls:
        assert call.headers["authorization"] == f"Bearer {TOKEN}"
        others = {name: value for name, value in call.headers.items() if name.lower() != "authorization"}
        assert TOKEN not in f"{call.path}?{call.query}{others}{call.body!r}"
    assert every_host.received == []
