"""Failures and log records of the HTTP libraries, without URLs: the URL of a profile contains an id."""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_adobe_target.client.hosts import is_loopback
from airflow_provider_adobe_target.client.protocol import FailureKind, TransportFailure
from airflow_provider_adobe_target.client.transports.bodies import FileBlocks

if TYPE_CHECKING:
    from collections.abc import Iterator


def transport_failure(
    error: Exception, body: FileBlocks | bytes | None, url: str, *, timed_out: bool
) -> TransportFailure:
    """Describe a failure by its causes. The messages of the libraries contain URLs, which may contain an id.

    :param error: Exception of ``requests``, ``urllib3`` or ``httpx``.
    :param body: Body of the request.
    :param url: URL of the request.
    :param timed_out: Whether a timeout or the deadline of the call ended the request.
    :raises OSError: If the batch file could not be read.
    """
    if isinstance(body, FileBlocks) and body.error is not None:
        raise body.error from None
    causes = list(_causes(error))
    timed_out |= any(isinstance(cause, TimeoutError) and cause.errno is None for cause in causes)  # while sending
    sent = body.sent if isinstance(body, FileBlocks) else body is not None and not _is_connect_failure(causes)
    kind: FailureKind
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        kind, message = "name", "the host name cannot be resolved"
    elif certificate := next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None):
        kind, message = "tls", f"the server's certificate is not trusted ({certificate.verify_message})"
    elif timed_out:
        kind, message = "timeout", "no response in time"
    elif any(isinstance(cause, ssl.SSLError) for cause in causes):
        kind, message = "tls", "no TLS connection could be agreed on"
    elif _is_connect_failure(causes):
        kind, message = "connect", "no connection could be made"
    else:
        kind, message = "broken", "the connection broke, or the response was cut off"
    reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
    if kind in ("connect", "broken") and reason:
        message = f"{message} ({reason})"
    address = urlsplit(url)
    if kind == "connect" and is_loopback(address.hostname or ""):
        message = f"the sandbox is not running at {address.netloc}: {message}"
    return TransportFailure(kind, sent, message)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_connect_failure(causes: list[BaseException]) -> bool:
    names = {"ConnectError", "ConnectTimeout", "NewConnectionError", "ConnectTimeoutError", "ProxyError"}
    return any(type(cause).__name__ in names for cause in causes)


_ours: ContextVar[bool] = ContextVar("adobe_target_request", default=False)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not _ours.get()


# These loggers log URLs, and the URL of a profile contains an id. Their records are dropped during our requests only.
for log in ("urllib3.connectionpool", "httpx", "httpcore.http11", "httpcore.proxy"):
    logging.getLogger(log).addFilter(_is_not_ours)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Drop the log records of the HTTP libraries in the ``with`` block."""
    mark = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(mark)
