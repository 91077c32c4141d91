"""Read the sync log for the page, within a time limit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.concurrency.deadline import call_within
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.sync_log.location import is_folder, open_sync_log
from airflow_provider_adobe_target.version_compat import BaseHook, conf

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sync_log.record import RunRecord
    from airflow_provider_adobe_target.sync_log.store import RunFilter, SyncLog

RESPONSE_SECONDS = 1.5
READ_SECONDS = 20.0  # once the store has responded
_PAUSE_SECONDS = 5.0
_MAX_WAITING = 8

T = TypeVar("T")
log = logging.getLogger(__name__)


class NotConfiguredError(Exception):
    """No sync log is configured."""


class LogUnavailableError(Exception):
    """The sync log cannot be read. The message has the reason, without secrets."""


class RunSource:
    """The sync log that the page shows.

    Its place is ``sync_log`` in section ``[adobe_target]`` of Airflow's configuration; by default, ``sync_log`` of the
    connection ``adobe_target_default``.
    """

    def __init__(self) -> None:
        self._opened: tuple[Any, SyncLog] | None = None
        self._free = threading.BoundedSemaphore(_MAX_WAITING)
        self._closed_until = 0.0

    def read(self, selected: RunFilter) -> list[RunRecord]:
        """Return the selected records, the latest first.

        :raises NotConfiguredError: If there is no sync log.
        :raises LogUnavailableError: If it cannot be read, or does not respond within :data:`RESPONSE_SECONDS`.
        """
        responded = threading.Event()
        return self._bounded(lambda: self._open().read(selected, on_response=responded.set), responded)

    def _bounded(self, call: Callable[[], T], responded: threading.Event) -> T:
        """Run a call within the time limit. After a call that took too long, calls fail for some seconds."""
        if clock.SYSTEM.monotonic() < self._closed_until or not self._free.acquire(blocking=False):
            raise LogUnavailableError(f"It did not respond within {RESPONSE_SECONDS:g} seconds.")

        def released() -> T:
            try:
                return call()
            finally:
                self._free.release()

        try:
            return call_within(RESPONSE_SECONDS, released, responded=responded, more_seconds=READ_SECONDS)
        except TimeoutError:
            self._closed_until = clock.SYSTEM.monotonic() + _PAUSE_SECONDS
            raise LogUnavailableError(f"It did not respond within {RESPONSE_SECONDS:g} seconds.") from None
        except NotConfiguredError:
            raise
        except Exception as error:
            # The message of a driver may contain the user name or the host: it belongs to the log, not to the page.
            log.warning("The sync log cannot be read: %s: %s", type(error).__name__, error)
            raise LogUnavailableError(f"{type(error).__name__}. The log of the API server has the details.") from None

    def _open(self) -> SyncLog:
        """Return the store. A store that is still the configured one is used again, with what it has cached."""
        name = configured_sync_log()
        connection = None if is_folder(name) else _connection(name)
        place = (name, connection and connection.get_uri())
        if self._opened is None or self._opened[0] != place:
            self._opened = (place, open_sync_log(name, connection))
        return self._opened[1]


def configured_sync_log() -> str:
    """Return the connection id or folder of the sync log.

    :raises NotConfiguredError: If there is none.
    """
    name = (conf.get("adobe_target", "sync_log", fallback="") or "").strip()
    if not name:
        name = _of_default_connection()
    if not name:
        raise NotConfiguredError
    return name


def _of_default_connection() -> str:
    try:
        connection = _connection(AdobeTargetHook.default_conn_name)
    except Exception as error:  # of several classes, by version
        if "NotFound" in type(error).__name__ or "isn't defined" in str(error):
            return ""
        raise
    return str(connection.extra_dejson.get("sync_log") or "").strip()


def _connection(conn_id: str) -> Any:
    return BaseHook.get_connection(conn_id)
