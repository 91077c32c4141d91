"""Open the sync log that ``sync_log`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ConnectionSettingsError
from airflow_provider_adobe_target.sync_log.folder import FolderLog
from airflow_provider_adobe_target.sync_log.table import TableLog
from airflow_provider_adobe_target.version_compat import BaseHook

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sync_log.store import SyncLog


def is_folder(sync_log: str) -> bool:
    """Return whether ``sync_log`` names a folder. Otherwise, it is a connection id."""
    return "/" in sync_log


def open_sync_log(sync_log: str, connection: Any = None) -> SyncLog:
    """Return the store. Nothing is read or written yet, except the Airflow connection.

    :param sync_log: Id of an Airflow connection to a database, or a folder, which must contain a slash.
    :param connection: The Airflow connection, if it is known already.
    :raises ConnectionSettingsError: If the connection does not support SQL.
    """
    if is_folder(sync_log):
        return FolderLog(sync_log)
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    connection = connection or BaseHook.get_connection(sync_log)
    hook = connection.get_hook()
    if not isinstance(hook, DbApiHook):
        raise ConnectionSettingsError(
            f"sync_log={sync_log!r} is a connection of type {connection.conn_type}, which does not support SQL. Name a "
            "connection to a database, or a folder (with a slash)."
        )
    # Some hooks look up the connection each time. The calls run in a thread, where this may be impossible.
    hook.get_connection = lambda _: connection
    return TableLog(hook)
