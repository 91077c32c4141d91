"""A stand-in for Adobe Target that accepts batch files at full speed and discards them.

    python benchmarks/sink.py [--port 0] [--delay 0]

It prints its URL and serves until it is terminated. Every batch is complete immediately, with all rows of its file. The
sandbox (``adobe-target-sandbox``) parses and stores the files, which takes more time than generating them.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BLOCK_BYTES = 1 << 20
SUBMITTED = (
    "<response><success>true</success><batchStatus><![CDATA[{url}]]></batchStatus><message>ok</message></response>"
)
STATUS = (
    "<response><batchId>{batch}</batchId><status>complete</status><batchSize>{rows}</batchSize>"
    "<consumedCount>{rows}</consumedCount><successfulUpdates>{rows}</successfulUpdates>"
    "<profilesNotFound>0</profilesNotFound><failedUpdates>0</failedUpdates></response>"
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    delay = 0.0
    rows_of_batch: dict[str, int] = {}
    numbers = itertools.count(1)

    def do_POST(self) -> None:
        rows, left = 0, int(self.headers["Content-Length"])
        while left:
            block = self.rfile.read(min(left, BLOCK_BYTES))
            rows += block.count(b"\n")
            left -= len(block)
        time.sleep(self.delay)
        batch = f"sink-{next(self.numbers)}"
        self.rows_of_batch[batch] = rows
        path = self.path.replace("/batchUpdate", "/batchStatus").replace("/v2/", "/")
        self.answer(SUBMITTED.format(url=f"http://{self.headers['Host']}{path}?batchId={batch}"))

    def do_GET(self) -> None:
        batch = parse_qs(urlsplit(self.path).query)["batchId"][0]
        self.answer(STATUS.format(batch=batch, rows=self.rows_of_batch[batch]))

    def answer(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="port; 0: any free port")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before the answer to a file")
    arguments = parser.parse_args()
    Handler.delay = arguments.delay
    with ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
