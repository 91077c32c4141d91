from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from support.recording_server import RecordingServer
from support.wait_modes import task_context, use_fake_clock


@pytest.fixture
def clock(monkeypatch):
    return use_fake_clock(monkeypatch)


@pytest.fixture
def context(monkeypatch):
    return task_context(monkeypatch)


@pytest.fixture
def recording_server() -> Iterator[RecordingServer]:
    recording_server = RecordingServer()
    yield recording_server
    recording_server.close()


@pytest.fixture
def every_host(recording_server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> RecordingServer:
    """Send each connection, whatever its host and port, to the recording server, except those to 127.0.0.1."""
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def resolved(host, port, *arguments, **options):
        name = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if name == "127.0.0.1" else "192.0.2.1", port, *arguments, **options)

    def connected(self, address):
        return connect(self, address if address[0] == "127.0.0.1" else ("127.0.0.1", recording_server.port))

    monkeypatch.setattr(socket.socket, "connect", connected)
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return recording_server
