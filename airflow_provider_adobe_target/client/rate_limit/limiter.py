"""Rate limiter: Adobe allows 50 calls per minute per account.

Algorithm: a sliding window log with a FIFO queue. All processes of a machine share the log through a file under
``flock``. Whether Adobe counts status polls is undocumented; the limiter assumes that it does.

Invariant: a call starts only while the running calls plus the calls that ended within the last 60 seconds are fewer
than the limit. HTTP 429 or 503 pauses all calls and halves the limit, which then grows by one call per minute.

Reference: Adobe Target's limits page (50 calls per minute for bulk, Admin and Reporting APIs together, then HTTP 503).
"""

from __future__ import annotations

import logging
import math
import random
import threading
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.rate_limit.store import WINDOW, CallLog, FileStore, MemoryStore, Store
from airflow_provider_adobe_target.client.settings import account_digest
from airflow_provider_adobe_target.concurrency import file_lock

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_adobe_target.client.rate_limit.interfaces import Permit
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

_MAX_PAUSE = 30 * 60.0
_LOCK_RETRY_INTERVAL = 0.1  # seconds before the next attempt if another process has the call log open
_MIN_WAIT = 0.001  # seconds; a much shorter wait would be lost in rounding when it is added to a large time
_ABANDONED_AFTER = 10.0  # seconds after its due time at which a queued permit is removed

log = logging.getLogger(__name__)


class Usage:
    """What the callers in this process used of a limit. The class is thread-safe.

    :ivar calls: Number of permits that they acquired.
    :ivar throttles: Number of calls that Adobe Target throttled.
    :ivar wait_seconds: Time that they waited for permits, and after throttled calls.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.throttles = 0
        self.wait_seconds = 0.0
        self._lock = threading.Lock()

    def add(self, *, calls: int = 0, throttles: int = 0, wait_seconds: float = 0.0) -> None:
        """Add to the sums."""
        with self._lock:
            self.calls += calls
            self.throttles += throttles
            self.wait_seconds += wait_seconds


class RateLimiter:
    """Limit the number of calls in any 60 seconds.

    A call counts from its start until 60 seconds after its end, because Adobe does not document when it counts a call.
    Waiting permits are served in FIFO order.

    The class is thread-safe. Its methods block for milliseconds at most, so they may be called in an event loop.

    :param calls_per_minute: Maximum number of calls in any 60 seconds.
    :param clock: Clock. All users of the store must have the same ``monotonic`` clock.
    :param store: Storage of the call log. Default: a log in memory that is not shared.
    :ivar usage: What the callers of this object used.
    """

    def __init__(self, calls_per_minute: int, clock: Clock, store: Store | None = None) -> None:
        self.calls_per_minute = calls_per_minute
        self.clock = clock
        self.store = store or MemoryStore()
        self.usage = Usage()

    def permit(self) -> Permit:
        """Return a new permit for one call."""
        return QueuedPermit(self)


def shared_rate_limiter(settings: TargetSettings, clock: Clock) -> RateLimiter:
    """Return the limiter that all tasks with the same base URL and client code share.

    They share it on this machine, or on all machines that use the same Redis server if the connection names one. If
    the shared folder cannot be used, a warning is logged once and the limiter is not shared.
    """
    if settings.redis is None:
        return machine_rate_limiter(settings, settings.calls_per_minute, clock)
    from airflow_provider_adobe_target.client.rate_limit.redis_limiter import redis_rate_limiter

    return redis_rate_limiter(settings, clock)


def machine_rate_limiter(settings: TargetSettings, calls_per_minute: int, clock: Clock) -> RateLimiter:
    """Return the limiter that the tasks on this machine share.

    :param calls_per_minute: Maximum number of calls in any 60 seconds.
    """
    try:
        store = FileStore(file_lock.shared_folder(), account_digest(settings))
    except OSError as error:
        _warn_once(error)
        return RateLimiter(calls_per_minute, clock)
    return RateLimiter(calls_per_minute, clock, store)


class QueuedPermit:
    """A permit for one call. It waits in the queue until it is acquired.

    On exit, the permit is released, or the caller leaves the queue.

    :param limiter: Limiter that issued the permit.
    """

    def __init__(self, limiter: RateLimiter) -> None:
        self._rate_limiter = limiter
        self._store = limiter.store
        self._name = uuid.uuid4().hex[:12]
        self._requested_at: float | None = None
        self._started_at: float | None = None

    def __enter__(self) -> QueuedPermit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # If the log cannot be written, other processes remove this entry: it is neither renewed nor locked.
        try:
            with suppress(OSError), self._store.open(self._rate_limiter.clock) as call_log:
                self._leave_queue(call_log)
                if self._name in call_log.running:
                    call_log.running.remove(self._name)
                    call_log.ended.append(call_log.at)
        finally:
            self._store.unlock(self._name)

    def try_acquire(self) -> float:
        """Try to acquire the permit, without blocking.

        :return: 0 if the permit is acquired, otherwise the seconds to wait before the next attempt.
        """
        try:
            wait = self._request()
        except BlockingIOError:
            return _LOCK_RETRY_INTERVAL * random.uniform(0.5, 1.5)  # noqa: S311  # nosec B311  # no secret
        except OSError as error:
            _warn_once(error)
            self._store.unlock(self._name)
            self._store = self._rate_limiter.store = MemoryStore()
            wait = self._request()
        now = self._rate_limiter.clock.monotonic()
        if self._requested_at is None:
            self._requested_at = now
            if wait:
                log.info("The limit of calls per minute is reached. The next call can start in %.0f seconds.", wait)
        if not wait:
            self._rate_limiter.usage.add(calls=1, wait_seconds=now - self._requested_at)
        return wait

    def back_off(self, seconds: float) -> None:
        """Pause all calls and halve the limit, because Adobe Target throttled this call.

        :param seconds: How long to pause all calls.
        """
        self._rate_limiter.usage.add(throttles=1, wait_seconds=min(seconds, _MAX_PAUSE))
        with suppress(OSError), self._store.open(self._rate_limiter.clock) as call_log:
            # A call that started before the current pause gives no new information about the limit.
            if self._started_at is not None and self._started_at >= call_log.paused_until:
                call_log.reduced_limit = max(1, _limit(call_log, self._rate_limiter.calls_per_minute) // 2)
            call_log.paused_until = max(call_log.paused_until, call_log.at + min(seconds, _MAX_PAUSE))

    def _request(self) -> float:
        calls_per_minute = self._rate_limiter.calls_per_minute
        with self._store.open(self._rate_limiter.clock) as call_log:
            ahead = self._count_ahead(call_log)
            call_log.ended = [end for end in call_log.ended if call_log.at - end < WINDOW]
            if not ahead:
                self._release_dead_permits(call_log)
            free = _limit(call_log, calls_per_minute) - len(call_log.running) - len(call_log.ended)
            pause = max(0.0, call_log.paused_until - call_log.at)
            if ahead < free and not pause:
                self._leave_queue(call_log)
                self._store.lock(self._name)
                call_log.running.append(self._name)
                self._started_at = call_log.at
                return 0.0
            wait = max(_MIN_WAIT, _time_until_free(call_log, ahead - free, pause))
            call_log.queue.setdefault(str(calls_per_minute), {})[self._name] = math.ceil(call_log.at + wait)
            return wait

    def _count_ahead(self, call_log: CallLog) -> int:
        """Return the number of permits ahead in the queue, and remove abandoned ones.

        Permits with a higher ``calls_per_minute`` come first, then earlier ones with the same.
        """
        ahead = 0
        for key, queue in call_log.queue.items():
            active = [
                name for name, due in queue.items() if due + _ABANDONED_AFTER >= call_log.at or name == self._name
            ]
            if len(active) < len(queue):
                call_log.queue[key] = {name: queue[name] for name in active}
            if int(key) > self._rate_limiter.calls_per_minute:
                ahead += len(active)
            elif int(key) == self._rate_limiter.calls_per_minute:
                ahead += active.index(self._name) if self._name in queue else len(active)
        return ahead

    def _leave_queue(self, call_log: CallLog) -> None:
        call_log.queue.get(str(self._rate_limiter.calls_per_minute), {}).pop(self._name, None)

    def _release_dead_permits(self, call_log: CallLog) -> None:
        """Move the calls of killed processes from the running to the ended ones, with the current time."""
        alive = [permit for permit in call_log.running if self._store.is_locked(permit)]
        call_log.ended += [call_log.at] * (len(call_log.running) - len(alive))
        call_log.running = alive


def _limit(call_log: CallLog, calls_per_minute: int) -> int:
    """Return the current limit: the reduced limit plus one call per minute since the pause (additive increase)."""
    minutes = max(0.0, call_log.at - call_log.paused_until) // WINDOW
    return min(calls_per_minute, call_log.reduced_limit + int(minutes))


def _time_until_free(call_log: CallLog, more: int, pause: float) -> float:
    """Return a lower bound, in seconds, of the wait until ``more`` + 1 further permits are free."""
    if more < 0:
        return pause
    if more < len(call_log.ended):
        return max(pause, WINDOW - (call_log.at - call_log.ended[more]))
    # The permit belongs to a call that has not ended yet. The jitter spreads the attempts of all waiting permits.
    return pause + WINDOW * random.uniform(0.5, 1)  # noqa: S311  # nosec B311  # no secret


_warned = threading.Event()


def _warn_once(error: OSError) -> None:
    if _warned.is_set():
        return
    _warned.set()
    log.warning(
        "The tasks of this machine cannot share one rate limiter (%s), so each has its own. Set the environment "
        "variable %s to a local folder that only this user can write to, or lower calls_per_minute.",
        error,
        file_lock.FOLDER_VARIABLE,
    )


class NoLimit:
    """A limiter without a limit, for calls that Adobe Target does not count."""

    def permit(self) -> _NoPermit:
        """Return a permit that can always be acquired."""
        return _NoPermit()


class _NoPermit:
    """A permit that can always be acquired."""

    def __enter__(self) -> _NoPermit:
        return self

    def __exit__(self, *error: object) -> None: ...

    def try_acquire(self) -> float:
        return 0.0

    def back_off(self, seconds: float) -> None: ...
