"""Responses, proxies and handshakes that arrive one byte at a time end at the deadline."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from airflow_provider_adobe_target.client.protocol import BatchBody, TransportFailure


@pytest.fixture
def dripping_server():
    """Send the bytes of ``server.response`` one at a time, the last one for ever; stop when the client has gone."""

    class Server(threading.Thread):
        response = b""
        reads_slowly = False

        def __init__(self):
            super().__init__(daemon=True)
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
            self.start()

        def run(self):
            connection, _ = self.listener.accept()
            with connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                for _ in range(200):
                    try:
                        if self.reads_slowly:
                            connection.recv(1)
                        else:
                            connection.sendall(self.response[:1])
                            self.response = self.response[1:] or self.response
                    except OSError:
                        return
                    time.sleep(0.05)

    server = Server()
    yield server
    server.listener.close()


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nX-Header: " + b"x" * 400,
        b"HTTP/1.1 200 OK\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nx",
    ],
    ids=["headers", "a body without a length", "a body with a length"],
)
def test_a_response_that_comes_byte_by_byte_ends_at_the_deadline(dripping_server, send, response):
    dripping_server.response = response
    started = time.monotonic()
    failure = send(dripping_server.url, timeout=(0.3, 0.7))
    assert isinstance(failure, TransportFailure)
    assert (failure.kind, failure.message) == ("timeout", "no response in time")
    assert 0.9 < time.monotonic() - started < 5


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_answers_byte_by_byte_ends_at_the_deadline(dripping_server, send, scheme):
    dripping_server.response = b"HTTP/1.1 200 OK\r\nX-Header: " + b"x" * 400
    proxies = {scheme: dripping_server.url}
    started = time.monotonic()
    failure = send(f"{scheme}://target.example/", timeout=(0.3, 0.7), proxies=proxies)
    assert failure.kind == "timeout"
    assert time.monotonic() - started < 5


def test_a_tls_handshake_byte_by_byte_ends_at_the_deadline(dripping_server, send):
    dripping_server.response = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03" + bytes(400)
    started = time.monotonic()
    failure = send(dripping_server.url.replace("http:", "https:"), timeout=(0.3, 0.7))
    assert failure.kind in ("timeout", "tls")
    assert time.monotonic() - started < 5


def test_a_server_that_reads_byte_by_byte_ends_at_the_deadline(dripping_server, send, tmp_path):
    dripping_server.reads_slowly = True
    size = 20_000_000
    (tmp_path / "large").write_bytes(b"x" * size)
    started = time.monotonic()
    failure = send(dripping_server.url, BatchBody(tmp_path / "large", size), timeout=(0.3, 0.7))
    assert isinstance(failure, TransportFailure)
    assert (failure.kind, failure.after_body_sent) == ("timeout", False)
    assert time.monotonic() - started < 5
