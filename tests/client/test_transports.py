from __future__ import annotations

import asyncio
import gzip
import logging
import os
import pkgutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
import requests

from airflow_provider_adobe_target import client
from airflow_provider_adobe_target.client.parsing import parse_status
from airflow_provider_adobe_target.client.protocol import BatchBody, Request, Response, Send, TransportFailure, Wait
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.transports.httpx import HttpxTransport, arun

HTTP_MODULES = (".transports.httpx", ".transports.requests", ".call_deadline")


def once(request):
    return (yield Send(request))


def test_a_response_is_complete_with_headers_in_lower_case(server, send):
    server.reply(202, b"\x00binary\xff", headers={"Retry-After": "7"})
    response = send(server.url)
    assert (response.status, response.body, response.headers["retry-after"]) == (202, b"\x00binary\xff", "7")


@pytest.mark.parametrize(
    "target", ["/a%2Fb?x=%2F%7E&y", "/%2E%2E?client=acme", "/s?a=@:&b=//&&showDetails=true", "/a//b"]
)
def test_the_url_is_called_unchanged(server, send, target):
    server.reply()
    send(server.url + target)
    assert server.requests[0].target == target


def test_bytes_may_be_a_body(server, send):
    server.reply()
    send(server.url, b"a=b")
    assert (server.requests[0].body, server.requests[0].headers["content-length"]) == (b"a=b", "3")


def test_a_file_larger_than_a_block_arrives_as_it_is(server, send, tmp_path):
    content = bytes(range(256)) * 10_000 + b"end"
    path = tmp_path / "large"
    path.write_bytes(content)
    server.reply()
    send(server.url, BatchBody(path, len(content)), timeout=(10, 10))
    assert server.requests[0].body == content
    assert server.requests[0].headers["content-length"] == str(len(content))


def test_a_file_that_is_gone_is_no_failure_of_the_network(server, send, tmp_path):
    with pytest.raises(FileNotFoundError):
        send(server.url, BatchBody(tmp_path / "gone", 5))
    assert server.requests == []


def test_a_file_that_changed_is_no_failure_of_the_network(server, send, body):
    server.reply()
    body.path.write_bytes(b"batch=short")
    with pytest.raises(OSError, match="size"):
        send(server.url, body)


def test_a_refused_connection_is_a_failure_to_connect(send, body):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failure = send(f"http://127.0.0.1:{unused.getsockname()[1]}", body)
    assert (failure.kind, failure.after_body_sent) == ("connect", False)


def test_a_late_answer_is_a_timeout_after_the_body_was_sent(server, send, body):
    server.reply(delay=1)
    failure = send(server.url, body, timeout=(2, 0.2))
    assert (failure.kind, failure.after_body_sent) == ("timeout", True)


def test_a_reset_is_a_broken_connection_after_the_body_was_sent(server, send, body):
    server.reply(reset=True)
    failure = send(server.url, body)
    assert (failure.kind, failure.after_body_sent) == ("broken", True)


def test_a_cut_answer_is_no_answer(server, send):
    server.reply(200, "half", cut=True)
    failure = send(server.url)
    assert (failure.kind, failure.after_body_sent) == ("broken", False)


def test_a_long_answer_is_read_up_to_its_limit(server, send):
    server.reply(200, b"x" * 1000)
    assert isinstance(send(server.url, limit=1000), Response)
    assert send(server.url, limit=999).kind == "too_long"


def test_an_unknown_host_differs_from_other_failures(send, monkeypatch):
    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert send("https://acme.tt.omtrdc.net/").kind == "name"


def test_a_server_without_tls_differs_from_other_failures(server, send):
    server.reply()
    assert send(server.url.replace("http:", "https:")).kind == "tls"


def test_a_failure_never_repeats_the_url(send):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failure = send(f"http://127.0.0.1:{unused.getsockname()[1]}/rest/v1/profiles/PERSON")
    assert isinstance(failure, TransportFailure)
    assert "PERSON" not in repr(failure)


def test_the_libraries_do_not_log_urls_of_ours(server, send, caplog):
    for library in ("", "urllib3.connectionpool", "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, library)
    server.reply()
    send(f"{server.url}/rest/v1/profiles/PERSON")
    assert "PERSON" not in caplog.text


def test_the_libraries_log_what_is_not_ours(caplog):
    for library in ("urllib3.connectionpool", "httpx"):  # Airflow, once it is loaded, lets them log warnings only
        caplog.set_level(logging.DEBUG, library)
    logging.getLogger("urllib3.connectionpool").debug("others' calls")
    logging.getLogger("httpx").info("others' calls")
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    "location", ["/elsewhere", "http://[", "http://127.0.0.1:1/"], ids=["relative", "malformed", "another host"]
)
def test_a_redirect_is_returned_whatever_its_location(server, send, location):
    server.reply(302, b"moved", headers={"Location": location})
    response = send(server.url)
    assert (response.status, response.body, len(server.requests)) == (302, b"moved", 1)


def test_a_redirect_is_read_up_to_its_limit(server, send):
    headers = {"Location": "/elsewhere", "Content-Encoding": "gzip"}
    server.reply(302, gzip.compress(bytes(10_000_000)), headers=headers)
    assert send(server.url).kind == "too_long"


@pytest.mark.parametrize(("size", "in_loop"), [(100, True), (100_000, False)])
def test_a_long_response_is_parsed_outside_the_event_loop(server, make_settings, clock, size, in_loop):
    threads = []
    server.reply(200, b"x" * size)

    def flow():
        yield Send(Request("GET", server.url, {}, None, (2, 2), 1 << 20))
        threads.append(threading.current_thread())
        return "parsed"

    async def drive():
        async with HttpxTransport(make_settings()) as transport:
            return await arun(flow(), transport, clock)

    assert asyncio.run(drive()) == "parsed"
    assert (threads == [threading.main_thread()]) == in_loop


ROWS = 200_000
LONG = {
    "xml": b"<response><status>complete</status>"
    + b"<profile><id>12345678</id><status>failed</status></profile>" * ROWS
    + b"</response>",
    "json": b'{"status": "complete", "profile": [' + b'{"id": "12345678", "status": "failed"}, ' * ROWS + b"0]}",
}


@pytest.mark.parametrize("form", LONG)
def test_the_event_loop_runs_while_many_listed_rows_are_parsed(server, make_settings, clock, form):
    server.reply(200, LONG[form])
    delays = []

    def flow():
        response = yield Send(Request("GET", server.url, {}, None, (2, 20), 1 << 26))
        return parse_status(response.body).status.listed_failures

    async def measure():
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.005)
            delays.append(time.monotonic() - begun)

    async def drive():
        measuring = asyncio.create_task(measure())
        async with HttpxTransport(make_settings()) as transport:
            failures = await arun(flow(), transport, clock)
        measuring.cancel()
        return failures

    assert asyncio.run(drive()) == ROWS
    assert max(delays) < 0.4  # some 20 ms on a machine that does nothing else


def test_cancelling_closes_a_flow_that_parses_in_a_thread(server, make_settings, clock):
    server.reply(200, b"x" * 100_000)
    parsing, closed = threading.Event(), []

    def flow():
        try:
            yield Send(Request("GET", server.url, {}, None, (2, 2), 1 << 20))
            parsing.set()
            time.sleep(0.3)
            yield Wait(1)
        finally:
            closed.append(True)

    async def drive():
        async with HttpxTransport(make_settings()) as transport:
            driver = asyncio.create_task(arun(flow(), transport, clock))
            await asyncio.to_thread(parsing.wait)
            driver.cancel()
            await driver

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(drive())
    assert closed == [True]


def test_a_response_is_in_memory_once(server, send):
    size = 32 << 20
    server.reply(200, bytes(size))
    tracemalloc.start()
    try:
        assert len(send(server.url, limit=size, timeout=(2, 20)).body) == size
        assert tracemalloc.get_traced_memory()[1] < 1.5 * size
    finally:
        tracemalloc.stop()


def test_a_flow_is_closed_when_its_driver_is_cancelled(clock):
    closed = []

    def flow():
        try:
            yield Wait(1)
        finally:
            closed.append(True)

    class Cancelled(type(clock)):
        async def asleep(self, seconds):
            raise asyncio.CancelledError

    async def drive():
        async with HttpxTransport(TargetSettings.from_fields("acme", None, None, None, {})) as transport:
            await arun(flow(), transport, Cancelled())

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(drive())
    assert closed == [True]


def two_requests_with_a_wait_between(url):
    request = Request("GET", url, {}, None, (2, 2), 1 << 20)
    yield Send(request)
    yield Wait(60)
    yield Send(request)


def test_no_connection_is_held_open_while_a_triggerer_waits(make_settings, clock):
    connections = []

    async def answer(reader, writer):
        closed = asyncio.get_running_loop().create_future()
        connections.append(closed)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        closed.set_result(await reader.read() == b"")
        writer.close()

    class Watching(type(clock)):
        async def asleep(self, seconds):
            assert await asyncio.wait_for(connections[0], 5)
            await super().asleep(seconds)

    async def drive():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        flow = two_requests_with_a_wait_between(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with server, HttpxTransport(make_settings()) as transport:
            await arun(flow, transport, Watching())

    asyncio.run(drive())
    assert len(connections) == 2


def test_a_triggerer_reloads_certificates_only_after_a_change(server, make_settings, clock, tmp_path, mocker):
    server.reply()
    bundle = tmp_path / "trusted.pem"
    bundle.write_bytes(Path(requests.utils.DEFAULT_CA_BUNDLE_PATH).read_bytes())
    read = mocker.spy(ssl, "create_default_context")

    async def drive():
        async with HttpxTransport(make_settings(verify=str(bundle))) as transport:
            await arun(two_requests_with_a_wait_between(server.url), transport, clock)

    asyncio.run(drive())
    asyncio.run(drive())
    assert read.call_count == 1
    os.utime(bundle, (0, 0))
    asyncio.run(drive())
    assert read.call_count == 2


def test_only_these_modules_load_an_http_library():
    modules = [module.name for module in pkgutil.walk_packages(client.__path__, f"{client.__name__}.")]
    lines = [f"import {name}" for name in modules if not name.endswith(HTTP_MODULES)]
    lines += [
        "import sys",
        "assert not {'requests', 'httpx', 'airflow', 'pandas', 'pyarrow'} & set(sys.modules)",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_no_cookie_is_kept_or_sent(server, drive, make_settings):
    cookies = "visitor=one; Path=/; Max-Age=3600"
    server.reply(headers={"Set-Cookie": cookies}).reply(headers={"Set-Cookie": cookies})

    def two_requests():
        for _ in range(2):
            yield Send(Request("GET", server.url, {}, None, (2, 2), 1 << 20))

    drive(two_requests(), make_settings())
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]


@pytest.mark.parametrize("after", [b"x" * 10_000, gzip.compress(b"more")], ids=["bytes", "another gzip member"])
def test_what_follows_the_end_of_a_gzip_stream_is_refused(server, send, after):
    server.reply(body=gzip.compress(b"{}") + after, headers={"Content-Encoding": "gzip"})
    failure = send(server.url)
    assert isinstance(failure, TransportFailure)
    assert failure.kind == "broken"


def test_a_stream_that_unpacks_to_nothing_is_bounded(server, send):
    stream = zlib.compressobj(wbits=31)
    body = stream.compress(b"{}") + stream.flush(zlib.Z_SYNC_FLUSH) + b"\x00\x00\x00\xff\xff" * 100_000
    server.reply(body=body, headers={"Content-Encoding": "gzip"})
    failure = send(server.url, limit=100_000)
    assert isinstance(failure, TransportFailure)
    assert failure.kind == "too_long"
