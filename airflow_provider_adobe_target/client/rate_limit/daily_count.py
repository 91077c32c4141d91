"""The daily quota of an account, counted across tasks: in a file of the machine, or in Redis for all machines.

A task reserves blocks of calls, so that it does not open the count for each call. Blocks grow from 1 to 64 calls. What
is left of a block after a minute is discarded, so that a reserved call is never made much later than it is counted.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.rate_limit.daily import CALLS_PER_DAY
from airflow_provider_adobe_target.client.settings import account_digest
from airflow_provider_adobe_target.concurrency import file_lock

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.rate_limit.redis_document import RedisDocument
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

_MINUTE = 60
_DAY = 24 * 60 * _MINUTE
_MAX_BLOCK = 64
_LIFETIME = _DAY + 10 * _MINUTE
_BUSY = 0.1  # seconds to the next attempt if other tasks hold the count

Count = Callable[[int, float], tuple[int, float]]
"""Reserve up to so many calls at a time in seconds since the epoch; return how many, or the seconds to wait for one."""

log = logging.getLogger(__name__)


def reserve(minutes: dict[str, int], now: float, wanted: int, quota: int) -> tuple[int, float]:
    """Reserve calls in a sliding window counter with buckets of one minute.

    :param minutes: Reserved calls by minute since the epoch. It is changed in place.
    :param now: Seconds since the epoch.
    :param wanted: Number of calls to reserve.
    :param quota: Maximum number of calls in any 24 hours.
    :return: Number of reserved calls, 0 to ``wanted``, and the seconds after which one may be free if it is 0.
    """
    for minute in [minute for minute in minutes if _expiry(minute) <= now]:
        del minutes[minute]
    granted = min(wanted, quota - sum(minutes.values()))
    if granted <= 0:
        return 0, min(map(_expiry, minutes)) - now
    minute = str(int(now // _MINUTE))
    minutes[minute] = minutes.get(minute, 0) + granted
    return granted, 0.0


def _expiry(minute: str) -> float:
    return (int(minute) + 2) * _MINUTE + _DAY  # a reserved call begins up to a minute later


class FileCount:
    """Count of the calls of a machine, in a file.

    :param settings: Connection settings.
    :param kind: Kind of call.
    :param quota: Maximum number of calls in any 24 hours.
    """

    def __init__(self, settings: TargetSettings, kind: str, quota: int) -> None:
        self._name = f"{account_digest(settings)}.{kind}"
        self._quota = quota

    def __call__(self, wanted: int, now: float) -> tuple[int, float]:
        """Reserve calls; see :func:`reserve`.

        :raises BlockingIOError: If another process holds the file.
        :raises OSError: If the file cannot be used.
        """
        with self._open() as minutes:
            return reserve(minutes, now, wanted, self._quota)

    def copy(self, minutes: dict[str, int]) -> None:
        """Replace the count by that of all machines."""
        with suppress(OSError), self._open() as own:
            own.clear()
            own.update(minutes)

    def share_remainder(self, machines: int, now: float) -> int:
        """Limit the calls to those of the count and a share of what remains, and return that share."""
        with self._open() as minutes:
            used = sum(calls for minute, calls in minutes.items() if _expiry(minute) > now)
        share = max(0, self._quota - used) // machines
        self._quota = used + share
        return share

    @contextmanager
    def _open(self) -> Iterator[dict[str, int]]:
        with file_lock.locked(file_lock.shared_folder() / self._name) as descriptor:
            minutes = _minutes(file_lock.read_line(descriptor))
            yield minutes
            file_lock.write_line(descriptor, json.dumps(minutes).encode())


class RedisCount:
    """Count of the calls of all machines, in Redis with the server's time.

    :param document: Document of the account and the kind of call.
    :param quota: Maximum number of calls in any 24 hours.
    :param copy: Count of this machine, which receives a copy.
    """

    def __init__(self, document: RedisDocument, quota: int, copy: FileCount) -> None:
        self._document = document
        self._quota = quota
        self._copy = copy

    def __call__(self, wanted: int, now: float) -> tuple[int, float]:
        """Reserve calls; see :func:`reserve`.

        :raises BlockingIOError: If another process holds the document.
        :raises SharedStoreError: If Redis cannot be used.
        """
        with self._document.open() as document:
            minutes = document.fields.setdefault("minutes", {})
            result = reserve(minutes, document.at, wanted, self._quota)
        self._copy.copy(minutes)
        return result


class SharedQuota:
    """The part of the account's daily quota that one task has reserved.

    :param settings: Connection settings.
    :param kind: Kind of call: ``updates`` or ``lookups``.
    :param clock: Clock.
    :param quota: Maximum number of calls of this kind in any 24 hours.
    """

    def __init__(self, settings: TargetSettings, kind: str, clock: Clock, quota: int = CALLS_PER_DAY) -> None:
        self._settings = settings
        self._kind = kind
        self._clock = clock
        self._quota = quota
        self._count = self._shared_count()
        self._left = 0
        self._block = 1
        self._reserved_at = 0.0
        self._is_waiting = False

    def take(self) -> float:
        """Take one call. The caller must serialize calls.

        :return: 0 if the call may begin, otherwise the seconds to wait before the next attempt.
        """
        now = self._clock.now()
        if self._left and now - self._reserved_at < _MINUTE:
            self._left -= 1
            return 0.0
        try:
            granted, wait = self._reserve(now)
        except BlockingIOError:
            return _BUSY * random.uniform(0.5, 1.5)  # noqa: S311  # nosec B311  # no secret
        if not granted:
            if not self._is_waiting:
                log.warning(
                    "The account's %s %s in 24 hours are used. The next can begin in %.0f seconds.",
                    f"{self._quota:,}",
                    self._kind,
                    wait,
                )
            self._is_waiting = True
            return wait
        self._is_waiting = False
        self._left, self._block, self._reserved_at = granted - 1, min(_MAX_BLOCK, self._block * 2), now
        return 0.0

    def _reserve(self, now: float) -> tuple[int, float]:
        from airflow_provider_adobe_target.client.rate_limit.redis_document import SharedStoreError

        try:
            return self._count(self._block, now)
        except SharedStoreError as error:
            self._count = self._machine_count(error, now)
            return self._reserve(now)
        except BlockingIOError:
            raise
        except OSError as error:
            log.warning("The daily quota of %s cannot be shared with other tasks (%s).", self._kind, error)
            self._count = lambda wanted, now: (wanted, 0.0)
            return self._reserve(now)

    def _shared_count(self) -> Count:
        machine = FileCount(self._settings, self._kind, self._quota)
        if self._settings.redis is None:
            return machine
        from airflow_provider_adobe_target.client.rate_limit.redis_document import RedisDocument, redis_client

        key = f"adobe-target:{{{account_digest(self._settings)}}}:{self._kind}"
        return RedisCount(RedisDocument(redis_client(self._settings.redis), key, _LIFETIME), self._quota, machine)

    def _machine_count(self, error: Exception, now: float) -> Count:
        """Return the count of this machine, with its share of what remains of the quota, until the task ends."""
        from airflow_provider_adobe_target.client.rate_limit.redis_limiter import MachineRecord

        machines, _ = MachineRecord(self._settings).read()
        count = FileCount(self._settings, self._kind, self._quota)
        share = count.share_remainder(machines, now)
        log.warning(
            "Redis (rate_limit_conn_id) cannot be used (%s). Until this task ends, its machine may make %s more %s "
            "in 24 hours.",
            error,
            f"{share:,}",
            self._kind,
        )
        return count


def _minutes(line: bytes) -> dict[str, int]:
    """Return the contents of a file. One that was not written completely is empty."""
    try:
        return {str(int(minute)): int(calls) for minute, calls in json.loads(line).items()}
    except (ValueError, TypeError, AttributeError):
        return {}
