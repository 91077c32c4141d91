"""An HTTP server on a real socket that answers from a list."""

import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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
    """Answer from a list, repeat its last answer, and record each request."""

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
