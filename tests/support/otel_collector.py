"""An OpenTelemetry collector on the loopback interface that keeps the metrics it receives."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


class OtelCollector:
    """Metrics that were received as OTLP over HTTP.

    :param url: Base URL of the collector.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []
        self._requests: list[ExportMetricsServiceRequest] = []

    def receive(self, body: bytes) -> None:
        """Keep the metrics of one request."""
        self.bodies.append(body)
        self._requests.append(ExportMetricsServiceRequest.FromString(body))

    def series(self) -> dict[tuple[str, str], float]:
        """Return the last value of each counter, and the sum of each histogram, by name and task.

        Exported values are cumulative.
        """
        found: dict[tuple[str, str], float] = {}
        for metric in self.metrics():
            for point in (*metric.sum.data_points, *metric.histogram.data_points):
                found[metric.name, _tags(point)["task_id"]] = _value(point)
            for point in metric.exponential_histogram.data_points:
                found[metric.name, _tags(point)["task_id"]] = point.sum
        return found

    def metrics(self) -> Iterator[Any]:
        """Return the provider's metrics in the order of the requests."""
        for request in self._requests:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    yield from (metric for metric in scope.metrics if ".adobe_target." in metric.name)

    def tag_names(self) -> set[str]:
        """Return the names of all tags."""
        points = [
            point
            for metric in self.metrics()
            for point in (*metric.sum.data_points, *metric.exponential_histogram.data_points)
        ]
        return {name for point in points for name in _tags(point)}


@contextmanager
def otel_collector() -> Iterator[OtelCollector]:
    """Run a collector for as long as the ``with`` block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/metrics":
                collector.receive(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = OtelCollector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _tags(point: Any) -> dict[str, str]:
    return {item.key: item.value.string_value for item in point.attributes}


def _value(point: Any) -> float:
    return point.as_int if point.HasField("as_int") else point.as_double
