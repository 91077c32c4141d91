from __future__ import annotations

import asyncio

import pytest

from airflow_provider_adobe_target.client.protocol import BatchBody, Request, Send
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.transports.httpx import HttpxTransport, arun
from airflow_provider_adobe_target.client.transports.requests import RequestsTransport, run
from support.clocks import FakeClock
from support.scripted_server import ScriptedServer

TOKEN = "bbf8ae69-6e29-4b8e-b3d6-f7567723f5b0"


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


@pytest.fixture
def send(drive, make_settings):
    """Send one request over real sockets: each test that uses this runs once a transport."""

    def once(request):
        return (yield Send(request))

    def send(url, body=None, timeout=(2, 2), limit=1 << 20, **settings):
        request = Request("POST" if body else "GET", url, {"Accept-Encoding": "identity"}, body, timeout, limit)
        return drive(once(request), make_settings(**settings))

    return send
