from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

# The ways to wait, and connections to sandboxes, are those of the tests of a real Airflow.
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from test_ways_to_wait import clock, context  # noqa: F401

TOKEN = "canary-token-5c1f"


class Witness:
    """A foreign machine: it hangs up on everyone, and remembers every byte it was ever sent."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(5)
                    self.heard.append(b"")
                    self.heard[-1] = connection.recv(1 << 16)
                    connection.sendall(self.answer)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def saw_the_token(self) -> bool:
        return any(TOKEN.encode() in heard for heard in self.heard)


@pytest.fixture
def witness() -> Iterator[Witness]:
    witness = Witness()
    yield witness
    witness.close()


@pytest.fixture
def everywhere(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> Witness:
    """Let the witness be every machine there is, whatever its name or port, but for what runs at 127.0.0.1."""
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def resolved(host, port, *arguments, **options):
        name = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if name == "127.0.0.1" else "192.0.2.1", port, *arguments, **options)

    def connected(self, address):
        return connect(self, address if address[0] == "127.0.0.1" else ("127.0.0.1", witness.port))

    monkeypatch.setattr(socket.socket, "connect", connected)
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return witness


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
