"""Rate limiter for many machines, with the call log in Redis.

While Redis cannot be used, each machine has a share of the limit: the calls per minute divided by the number of
machines that used it within the last hour. The share is kept in the files of the machine.

A change of the store never raises the number of calls in any 60 seconds: after the loss of Redis, the machine makes no
call until its last shared call is 60 seconds old. After the return of Redis, all machines pause until every machine
uses Redis again and its last call without Redis is 60 seconds old.
"""

from __future__ import annotations

import json
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter, machine_rate_limiter
from airflow_provider_adobe_target.client.rate_limit.redis_document import (
    RedisDocument,
    SharedStoreError,
    redis_client,
)
from airflow_provider_adobe_target.client.rate_limit.redis_store import RedisStore
from airflow_provider_adobe_target.client.rate_limit.store import WINDOW
from airflow_provider_adobe_target.client.settings import account_digest
from airflow_provider_adobe_target.concurrency import file_lock

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_adobe_target.client.rate_limit.interfaces import Permit
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

RETRY_SECONDS = 30.0
"""Seconds without Redis after which a process tries it again."""
UNKNOWN_MACHINES = 10
"""Assumed number of machines if this machine has never reached Redis."""
_LIFETIME = 24 * 60 * 60

log = logging.getLogger(__name__)


def redis_rate_limiter(settings: TargetSettings, clock: Clock) -> RedisRateLimiter:
    """Return the limiter that all machines with the same Redis server and account share."""
    if settings.redis is None:
        raise ValueError("the settings do not name a Redis server")
    key = f"adobe-target:{{{account_digest(settings)}}}:calls"
    document = RedisDocument(redis_client(settings.redis), key, _LIFETIME)
    return RedisRateLimiter(settings, clock, RedisStore(document, machine_name()))


def machine_name() -> str:
    """Return a digest that identifies this machine and its shared folder."""
    try:
        folder = str(file_lock.shared_folder())
    except OSError:
        folder = ""
    return file_lock.digest(socket.gethostname(), folder)


class MachineRecord:
    """The state of the shared limit as this machine last read it, in a file that its processes share.

    The content is a hint: it is written without a lock, and one that cannot be read counts as unknown.

    :param settings: Connection settings.
    """

    def __init__(self, settings: TargetSettings) -> None:
        self._name = f"{account_digest(settings)}.redis"
        self._known: tuple[int, float] | None = None

    def write(self, machines: int, now: float) -> None:
        """Record a call within the shared limit.

        :param machines: Number of machines that use the limit.
        :param now: Time of the monotonic clock.
        """
        self._known = (machines, now)
        with suppress(OSError):
            path = file_lock.shared_folder() / self._name
            path.write_text(json.dumps([machines, now]))

    def read(self) -> tuple[int, float | None]:
        """Return the number of machines and the time of the last shared call, or the assumed number and None."""
        try:
            machines, used = json.loads((file_lock.shared_folder() / self._name).read_text())
            return max(1, int(machines)), float(used)
        except (OSError, ValueError, TypeError):
            return self._known or (UNKNOWN_MACHINES, None)


class RedisRateLimiter(RateLimiter):
    """Limit the calls of all machines together. The class is thread-safe.

    Its methods may block for two seconds, so they must not be called in an event loop.

    :param settings: Connection settings.
    :param clock: Clock.
    :param store: Call log in Redis.
    """

    def __init__(self, settings: TargetSettings, clock: Clock, store: RedisStore) -> None:
        super().__init__(settings.calls_per_minute, clock, store)
        self._settings = settings
        self._shared = RateLimiter(settings.calls_per_minute, clock, store)
        self._shared.usage = self.usage
        self._redis_store = store
        self._record = MachineRecord(settings)
        self._machine: RateLimiter | None = None  # while Redis cannot be used
        self._next_try = 0.0

    def permit(self) -> Permit:
        """Return a new permit for one call."""
        return RedisPermit(self)

    def current(self) -> RateLimiter:
        """Return the limiter to use now. Try Redis again if the last attempt was 30 seconds ago."""
        machine = self._machine
        if machine is None:
            return self._shared
        if self.clock.monotonic() >= self._next_try:
            self._next_try = self.clock.monotonic() + RETRY_SECONDS
            if self._return_to_redis():
                return self._shared
        return machine

    def is_shared(self, limiter: RateLimiter) -> bool:
        """Return whether a limiter is the one with the call log in Redis."""
        return limiter is self._shared

    def used(self) -> None:
        """Record that a call within the shared limit begins or ends."""
        self._record.write(self._redis_store.machines, self.clock.monotonic())

    def lose_redis(self, error: SharedStoreError) -> None:
        """Use the machine's share from now on."""
        if self._machine is not None:
            return
        now = self.clock.monotonic()
        machines, used = self._record.read()
        share = max(1, self.calls_per_minute // machines)
        machine = machine_rate_limiter(self._settings, share, self.clock)
        pause = 0.0 if used is None else min(WINDOW, max(0.0, used + WINDOW - now))
        with suppress(OSError), machine.store.open(self.clock) as call_log:
            call_log.paused_until = max(call_log.paused_until, call_log.at + pause)
        self._next_try = now + RETRY_SECONDS
        machine.usage = self.usage
        self._machine = machine
        log.warning(
            "Redis (rate_limit_conn_id) cannot be used (%s). Until it can, this machine makes at most %s of the %s "
            "calls per minute%s.",
            error,
            share,
            self.calls_per_minute,
            f", the first in {pause:.0f} seconds" if pause else "",
        )

    def _return_to_redis(self) -> bool:
        try:
            with self._redis_store.open(self.clock) as call_log:
                # By then, the other processes have tried Redis again.
                call_log.paused_until = max(call_log.paused_until, call_log.at + RETRY_SECONDS + WINDOW)
        except (SharedStoreError, BlockingIOError):
            return False
        self._machine = None
        log.info("Redis (rate_limit_conn_id) can be used again. The next call begins in %.0f seconds.", 30 + WINDOW)
        return True


class RedisPermit:
    """A permit for one call, from Redis or from the machine's share.

    :param limiter: Limiter that issued the permit.
    """

    def __init__(self, limiter: RedisRateLimiter) -> None:
        self._limiter = limiter
        self._source: RateLimiter | None = None
        self._permit: Permit | None = None
        self._is_acquired = False

    def __enter__(self) -> RedisPermit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def try_acquire(self) -> float:
        """Try to acquire the permit; see :meth:`Permit.try_acquire`. This may block for two seconds."""
        source = self._limiter.current()
        if self._permit is None or source is not self._source:
            self._leave()
            self._source, self._permit = source, source.permit()
        try:
            wait = self._permit.try_acquire()
        except SharedStoreError as error:
            self._limiter.lose_redis(error)
            return self.try_acquire()
        if self._limiter.is_shared(source):
            self._is_acquired = wait == 0
            if self._is_acquired:
                self._limiter.used()
            return wait
        return min(wait, RETRY_SECONDS)

    def back_off(self, seconds: float) -> None:
        """Pause all calls; see :meth:`Permit.back_off`."""
        if self._permit is not None:
            try:
                self._permit.back_off(seconds)
            except SharedStoreError as error:
                self._limiter.lose_redis(error)
                self._limiter.current().permit().back_off(seconds)

    def _leave(self) -> None:
        if self._permit is None:
            return
        if self._is_acquired:
            self._limiter.used()
        with suppress(SharedStoreError):
            self._permit.__exit__(None, None, None)
