"""Call log in Redis, shared by all machines that use the same server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.client.rate_limit.store import WINDOW, CallLog

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.rate_limit.redis_document import RedisDocument
    from airflow_provider_adobe_target.concurrency.clock import Clock

LEASE = 15 * 60.0
"""Seconds for which a permit counts as in use. The default timeouts end a call after 10 minutes."""
_SEEN = 60 * 60.0  # seconds for which a machine counts as a user of the limit
_TOLERANCE = 1.0  # seconds by which the server's clock may go backwards, for example at a failover
_CALL_LOG = tuple(field.name for field in fields(CallLog))


class RedisStore:
    """A call log in Redis with the server's time.

    A permit in use has a lease instead of a lock, because Redis does not notice that a process was killed.

    :param document: Document of the account.
    :param machine: Name of this machine in the document.
    """

    def __init__(self, document: RedisDocument, machine: str) -> None:
        self._document = document
        self._machine = machine
        self._leases: dict[str, float] = {}  # as in the open document
        self._released: set[str] = set()
        self._at = 0.0
        self._is_used = False
        self.machines = 1
        """Number of machines that used the limit within the last hour."""

    @contextmanager
    def open(self, clock: Clock) -> Iterator[CallLog]:
        """Open the call log under an exclusive lock and save it on exit; see :meth:`Store.open`.

        :raises SharedStoreError: If Redis cannot be used.
        """
        with self._document.open() as document:
            call_log, document_leases, machines = _contents(document.fields, document.at)
            if self._is_used and not document.fields:  # Redis was emptied, or restarted without its data
                call_log.paused_until = call_log.at + WINDOW
            released = set(self._released)
            self._at = call_log.at
            self._leases = {name: end for name, end in document_leases.items() if name not in released}
            yield call_log
            machines[self._machine] = call_log.at
            machines = {name: at for name, at in machines.items() if call_log.at - at < _SEEN}
            leases = {name: end for name, end in self._leases.items() if name in call_log.running}
            document.fields = {**vars(call_log), "leases": leases, "machines": machines}
        self._is_used = True
        self._released -= released
        self.machines = len(machines)

    def lock(self, permit: str) -> None:
        """Begin the lease of a permit. The call log must be open."""
        self._leases[permit] = self._at + LEASE

    def unlock(self, permit: str) -> None:
        """End the lease of a permit, when this process next opens the call log."""
        self._released.add(permit)

    def is_locked(self, permit: str) -> bool:
        """Return whether the lease of a permit has not ended. The call log must be open."""
        return self._leases.get(permit, 0.0) > self._at


def _contents(document: dict[str, Any], now: float) -> tuple[CallLog, dict[str, float], dict[str, float]]:
    """Return call log, leases and machines of a document.

    If it cannot be read, or the server's clock went backwards, the calls of the last window are not known: all calls
    pause for one window.
    """
    if not document:
        return CallLog(at=now), {}, {}
    try:
        call_log = CallLog(**{name: document[name] for name in _CALL_LOG})
        leases, machines = dict(document["leases"]), dict(document["machines"])
        if call_log.at - now > _TOLERANCE:
            raise ValueError("the server's clock went backwards")
        call_log.at = max(call_log.at, now)
    except (KeyError, TypeError, ValueError):
        return CallLog(at=now, paused_until=now + WINDOW), {}, {}
    return call_log, leases, machines
