"""A server that stands for all other machines and records each byte that it receives."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

TOKEN = "canary-token-5c1f"


class RecordingServer:
    """Record each byte received, send ``answer``, and close the connection."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
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
                    self.received.append(b"")
                    self.received[-1] = connection.recv(1 << 16)
                    connection.sendall(self.answer)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def received_token(self) -> bool:
        return any(TOKEN.encode() in received for received in self.received)
