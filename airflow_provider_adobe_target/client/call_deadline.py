"""Overall deadline of a call over ``requests``, however slowly its bytes arrive."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from airflow_provider_adobe_target.concurrency.cancellation import current_stop, is_interrupted

if TYPE_CHECKING:
    from types import TracebackType

_INTERRUPTED_CALL_SECONDS = 10.0
_STOP_CHECK_INTERVAL = 0.5


class CallDeadlineExceededError(Exception):
    """The call took longer than its deadline."""


class CallDeadline:
    """Context manager that shuts the socket of a call down at the deadline.

    The timeout of a socket starts again with each byte. A second thread therefore measures the time. When the task is
    interrupted, a call in a worker thread ends after 10 seconds at the latest.

    :param seconds: Duration of the call.
    """

    def __init__(self, seconds: float) -> None:
        self.is_exceeded = False
        self._end = time.monotonic() + seconds
        self._stop = current_stop()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._measure, name="adobe-target-deadline", daemon=True)

    def __enter__(self) -> None:
        _current.set(self)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.set(None)
        self._ended.set()
        self._thread.join()  # so that no thread is left when the call has ended
        self._release()

    def watch(self, connection: Any) -> None:
        """Watch a socket instead of the previous one.

        The duplicate of its descriptor stays valid when TLS replaces the socket object, and when the call closes it.
        """
        with self._lock:
            self._release()
            self._socket = socket.socket(fileno=os.dup(connection.fileno()))
            if self.is_exceeded:
                self._shut_down()

    def check(self) -> None:
        """Reject a response that ended because its socket was shut down.

        :raises CallDeadlineExceededError: If the deadline has passed.
        """
        if self.is_exceeded:
            raise CallDeadlineExceededError

    def _measure(self) -> None:
        interval = None if self._stop is None else _STOP_CHECK_INTERVAL
        while (left := self._end - time.monotonic()) > 0:
            if self._ended.wait(left if interval is None else min(left, interval)):
                return
            if self._stop is not None and is_interrupted(self._stop):
                self._end = min(self._end, time.monotonic() + _INTERRUPTED_CALL_SECONDS)
                interval = None
        with self._lock:
            self.is_exceeded = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # no longer connected
                self._socket.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


_current: ContextVar[CallDeadline | None] = ContextVar("adobe_target_deadline", default=None)


class DeadlineAdapter(requests.adapters.HTTPAdapter):
    """Open connections that a :class:`CallDeadline` can shut down: direct ones, and those through any proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Create the pools of direct connections."""
        super().init_poolmanager(*arguments, **options)
        _watch_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        _watch_pools(manager)
        return manager


def _watch_pools(manager: urllib3.PoolManager) -> None:
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _watched_pool(pool) for scheme, pool in pools.items()}


class _WatchedConnection:
    """Mixin that registers the socket of a connection with the deadline of the call."""

    def _new_conn(self) -> socket.socket:
        connection: socket.socket = super()._new_conn()  # type: ignore[misc]
        _watch(connection)  # before the handshake of a proxy or of TLS
        return connection

    def putrequest(self, *arguments: Any, **options: Any) -> None:
        """Start a request, possibly over the open socket of an earlier call."""
        if self.sock is not None:  # type: ignore[attr-defined]
            _watch(self.sock)  # type: ignore[attr-defined]
        super().putrequest(*arguments, **options)  # type: ignore[misc]


def _watch(connection: Any) -> None:
    deadline = _current.get()
    if deadline is not None:
        deadline.watch(connection)


@lru_cache
def _watched_pool(pool: Any) -> Any:
    """Return a class of connection pools whose connections are watched."""
    if issubclass(pool.ConnectionCls, _WatchedConnection):
        return pool
    connection = type("WatchedConnection", (_WatchedConnection, pool.ConnectionCls), {})
    return type("WatchedPool", (pool,), {"ConnectionCls": connection})
