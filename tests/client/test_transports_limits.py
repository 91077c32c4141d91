"""Answers of 100 MB, however they come: each is cut off at its bound, in memory that stays small."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
import zlib
from contextlib import suppress

import pytest

from airflow_provider_adobe_target.client.protocol import (
    SHORT_RESPONSE_LIMIT,
    STATUS_RESPONSE_LIMIT,
    Request,
    Response,
    Send,
)

MIB = 1 << 20
HEAD = b"HTTP/1.1 200 OK\r\n"
BLOCK = bytes(MIB)
HUNDRED_MB = [BLOCK] * 100


def with_length():
    yield HEAD + b"Content-Length: %d\r\n\r\n" % (100 * MIB)
    yield from HUNDRED_MB


def until_the_end_of_the_connection():
    yield HEAD + b"Connection: close\r\n\r\n"
    yield from HUNDRED_MB


def chunked():
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    for block in HUNDRED_MB:
        yield b"100000\r\n" + block + b"\r\n"
    yield b"0\r\n\r\n"


def packed(wbits, times=1):
    squeeze = zlib.compressobj(9, wbits=wbits)
    body = b"".join(squeeze.compress(block) for block in HUNDRED_MB) + squeeze.flush()
    for _ in range(times - 1):
        body = gzip.compress(body)
    return body


def encoded(coding, body):
    def answer():
        yield HEAD + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body)) + body

    return answer


def a_long_line(*before):
    def answer():
        yield b"".join(before)
        for _ in HUNDRED_MB:
            yield b"0" * MIB

    return answer


def headers_without_end():
    yield HEAD
    for number in range(100_000):
        yield b"X-%d: y\r\n" % number


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
TOO_LONG = {
    "with its length": with_length,
    "without a length": until_the_end_of_the_connection,
    "chunked": chunked,
    "gzip": encoded(b"gzip", packed(31)),
    "deflate": encoded(b"Deflate", packed(15)),
}
BROKEN = {
    "gzip twice": encoded(b"gzip, gzip", packed(31, 2)),
    "another encoding": encoded(b"br", b"x" * 100),
    "gzip that is none": encoded(b"gzip", b"x" * 100),
    "gzip that is cut": encoded(b"gzip", gzip.compress(BLOCK)[:-9]),
    "a long first line": a_long_line(),
    "a long header": a_long_line(HEAD, b"X: "),
    "many headers": headers_without_end,
    "a long chunk size": a_long_line(CHUNKED),
    "a long chunk extension": a_long_line(CHUNKED, b"1;"),
    "a long trailer": a_long_line(CHUNKED, b"1\r\nx\r\n0\r\nX: "),
}


@pytest.fixture
def serve():
    """Answer the one call with pieces of bytes, until the caller has had enough."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def answer(pieces):
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                connection.recv(65536)
                for piece in pieces():
                    connection.sendall(piece)

    def start(pieces):
        threads.append(threading.Thread(target=answer, args=[pieces], daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    with suppress(OSError):  # of a client that did not connect
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def fetch(serve, drive, make_settings):
    """Return what comes of a call, and the bytes of memory that it took at most."""

    def fetch(pieces, limit):
        url = serve(pieces)

        def once():
            return (yield Send(Request("GET", url, {"Accept-Encoding": "identity"}, None, (2, 5), limit)))

        settings = make_settings(host=url)
        tracemalloc.start()
        try:
            return drive(once(), settings), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return fetch


@pytest.mark.parametrize("answer", TOO_LONG)
def test_a_hundred_megabytes_are_cut_off_at_the_bound(answer, fetch):
    failure, memory = fetch(TOO_LONG[answer], SHORT_RESPONSE_LIMIT)
    assert failure.kind == "too_long"
    assert memory < 8 * MIB


@pytest.mark.parametrize("answer", ["chunked", "gzip"])
def test_a_status_is_cut_off_where_no_status_can_be_that_long(answer, fetch):
    failure, memory = fetch(TOO_LONG[answer], STATUS_RESPONSE_LIMIT)
    assert failure.kind == "too_long"
    assert memory < 2.5 * STATUS_RESPONSE_LIMIT


@pytest.mark.parametrize("answer", BROKEN)
def test_what_cannot_be_read_within_the_bound_is_no_answer(answer, fetch):
    failure, memory = fetch(BROKEN[answer], SHORT_RESPONSE_LIMIT)
    assert failure.kind == "broken"
    assert memory < 8 * MIB


@pytest.mark.parametrize("coding", [b"gzip", b"X-GZIP", b"identity", b""])
def test_a_compressed_response_is_unpacked_although_not_requested(coding, fetch):
    body = b"<response/>" if coding in (b"identity", b"") else gzip.compress(b"<response/>")
    response, _ = fetch(encoded(coding, body), SHORT_RESPONSE_LIMIT)
    assert (type(response), response.body) == (Response, b"<response/>")


def test_an_empty_answer_is_empty_whatever_its_encoding(fetch):
    response, _ = fetch(encoded(b"gzip", b""), SHORT_RESPONSE_LIMIT)
    assert response.body == b""
