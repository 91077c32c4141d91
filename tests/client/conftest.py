from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_provider_adobe_target.client.protocol import BatchBody
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.transports import HttpxTransport, RequestsTransport, arun, run

TOKEN = "bbf8ae69-6e29-4b8e-b3d6-f7567723f5b0"


class FakeClock:
    """A clock on which waiting takes no time, and that remembers how long it was waited."""

    def __init__(self):
        self.time = 1_767_225_600.0  # 2026-01-01T00:00:00Z
        self.waits = []

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    def sleep(self, seconds):
        assert seconds >= 0
        self.waits.append(seconds)
        self.time += seconds

    async def asleep(self, seconds):
        self.sleep(seconds)


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict = field(default_factory=dict)
    cut: bool = False  # promise more bytes than are sent
    reset: bool = False  # end the connection hard, with no answer
    delay: float = 0.0


@dataclass
class Received:
    method: str
    target: str
    headers: dict
    body: bytes
    at: float


class ScriptedServer:
    """A server that answers from a list, the last answer for ever, and keeps what it was sent."""

    def __init__(self, clock):
        self.requests = []
        self.script = deque()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append(Received(self.command, self.path, headers, body, clock.now()))
                reply = outer.script.popleft() if len(outer.script) > 1 else outer.script[0]
                time.sleep(reply.delay)
                if reply.reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(reply.body) + 10 * reply.cut))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
                self.close_connection = self.close_connection or reply.cut

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *arguments):
                pass

            def finish(self):
                with suppress(OSError, ValueError):
                    super().finish()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *arguments: None
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def reply(self, status=200, body=b"", *, times=1, **options):
        data = body.encode() if isinstance(body, str) else body
        self.script.extend([Reply(status, data, **options)] * times)
        return self

    def queued(self, batch_id="acme-1-1", **options):
        return self.reply(
            200,
            f"<response><success>true</success><batchStatus>{self.url}/m2/acme/profile/batchStatus?batchId={batch_id}"
            "</batchStatus><message>Batch submitted for processing</message></response>",
            **options,
        )

    def status(self, status, rows=7, failed=0, not_found=0, **options):
        return self.reply(
            200,
            f"<response><batchId>acme-1-1</batchId><status>{status}</status><batchSize>{rows}</batchSize>"
            f"<consumedCount>{rows}</consumedCount>"
            f"<successfulUpdates>{rows - failed - not_found}</successfulUpdates>"
            f"<profilesNotFound>{not_found}</profilesNotFound><failedUpdates>{failed}</failedUpdates></response>",
            **options,
        )

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def server(clock):
    server = ScriptedServer(clock)
    yield server
    server.close()


@pytest.fixture
def other_server(clock):
    server = ScriptedServer(clock)
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def make_settings(server):
    def make(token=TOKEN, host=None, login="acme", **extra):
        extra = {"timeout": [2, 2], **extra}
        return TargetSettings.from_fields(login, token, host or server.url, None, extra)

    return make


@pytest.fixture(params=["requests", "httpx"])
def drive(request, clock):
    """Drive a flow to its end over real sockets: each test that asks for this runs once a driver."""

    def drive_sync(flow, settings):
        with RequestsTransport(settings) as transport:
            return run(flow, transport, clock)

    async def drive_async(flow, settings):
        async with HttpxTransport(settings) as transport:
            return await arun(flow, transport, clock)

    if request.param == "requests":
        return drive_sync
    return lambda flow, settings: asyncio.run(drive_async(flow, settings))


@pytest.fixture
def body(tmp_path):
    path = tmp_path / "batch"
    path.write_bytes(b"batch=thirdPartyId,tier\nSECRETROW,gold\n")
    return BatchBody(path, path.stat().st_size)
