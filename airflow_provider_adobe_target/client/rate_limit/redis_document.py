"""JSON documents in Redis that one process changes at a time, with the time of the Redis server."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

_LOCK_MILLISECONDS = 2_000  # after which the lock of a killed process is free
_TRIES, _PAUSE = 40, 0.005
_TIMEOUT = 1.0  # seconds to connect, and for a reply
# The document is saved only by the holder of the lock: a process that was suspended may have lost it.
_SAVE = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[2], ARGV[2], 'EX', ARGV[3])
redis.call('del', KEYS[1])
return 1
"""
_UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class SharedStoreError(Exception):
    """Redis cannot be used: it does not respond, or refuses the commands. The message has the class of the error."""


@dataclass
class OpenDocument:
    """A document while its lock is held.

    :param at: Time of the Redis server in seconds since the epoch.
    :param fields: Contents, saved when the document is closed. Empty for a new document.
    """

    at: float
    fields: dict[str, Any]


class RedisDocument:
    """A JSON document under a key of Redis.

    :param client: Client of the server.
    :param key: Key of the document. The lock has the key with the suffix ``:lock``.
    :param lifetime: Seconds after the last change at which Redis deletes the document.
    """

    def __init__(self, client: Redis, key: str, lifetime: int) -> None:
        self._client = client
        self._keys = (f"{key}:lock", key)
        self._lifetime = lifetime

    @contextmanager
    def open(self) -> Iterator[OpenDocument]:
        """Open the document under an exclusive lock and save it on exit.

        :raises BlockingIOError: If other processes hold the lock for about 200 milliseconds, or it was lost.
        :raises SharedStoreError: If Redis cannot be used.
        """
        token = uuid.uuid4().hex
        with _shared_store_errors():
            text, moment = self._lock(token)
        document = OpenDocument(seconds(moment), _fields(text))
        try:
            yield document
        except BaseException:
            with suppress(SharedStoreError), _shared_store_errors():
                self._client.eval(_UNLOCK, 1, self._keys[0], token)
            raise
        with _shared_store_errors():
            saved = self._save(token, document.fields)
        if not saved:
            raise BlockingIOError("the lock was lost")

    def _lock(self, token: str) -> tuple[bytes | None, tuple[int, int]]:
        lock, key = self._keys
        for tries_left in reversed(range(_TRIES)):
            pipeline = self._client.pipeline(transaction=True)
            pipeline.set(lock, token, nx=True, px=_LOCK_MILLISECONDS)
            pipeline.get(key)
            pipeline.time()
            is_locked, text, moment = pipeline.execute()
            if is_locked:
                return text, moment
            if tries_left:
                time.sleep(_PAUSE * random.uniform(0.5, 1.5))  # noqa: S311  # nosec B311  # no secret
        raise BlockingIOError("another process holds the lock")

    def _save(self, token: str, fields: dict[str, Any]) -> bool:
        text = json.dumps(fields, separators=(",", ":"))
        return bool(self._client.eval(_SAVE, 2, *self._keys, token, text, self._lifetime))


@contextmanager
def _shared_store_errors() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except BlockingIOError:
        raise
    except (RedisError, OSError) as error:
        raise SharedStoreError(type(error).__name__) from None


def seconds(moment: tuple[int, int]) -> float:
    """Return the seconds since the epoch of a reply to ``TIME``: seconds and microseconds."""
    return moment[0] + moment[1] / 1e6


def redis_client(options: Mapping[str, Any]) -> Redis:
    """Return the client of a Redis server. The clients of a process with the same options share their connections.

    :param options: Keyword arguments of ``redis.Redis``.
    """
    return _client(json.dumps(dict(options), sort_keys=True))


@lru_cache(maxsize=8)
def _client(options: str) -> Redis:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis(
        socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=Retry(NoBackoff(), 0), **json.loads(options)
    )


def _fields(text: bytes | None) -> dict[str, Any]:
    """Return the contents of a document. One that is not JSON is replaced."""
    if text is None:
        return {}
    try:
        fields = json.loads(text)
    except ValueError:
        return {"broken": True}
    return fields if isinstance(fields, dict) else {"broken": True}
