"""Operator that replaces the Profile API token."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.operators.base import AdobeTargetOperator
from airflow_provider_adobe_target.sync_log.decorator import recorded
from airflow_provider_adobe_target.version_compat import AirflowFailException

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context


class RotateProfileTokenOperator(AdobeTargetOperator):
    """Generate a new Profile API token, and pass it to a function that stores it.

    Adobe Target then refuses the former token for all its users. The new token is masked in logs, and is not pushed to
    XCom.

    :param confirm: Must be ``rotate the token for every user of it``. Otherwise the task fails before any call.
    :param store_token: Function, or dotted path of a function, that is called with the connection id and the new token,
        and stores the token for other tasks, for example in a secrets backend.
    :param adobe_target_conn_id: ID of the connection, of type ``adobe_target``, with an OAuth credential and
        ``tenant_id`` (templated).
    :param sync_log: Sync log of this task: ID of an Airflow connection, or a folder that contains a slash (templated).
        Default: that of the connection.
    """

    template_fields: Sequence[str] = ("adobe_target_conn_id", "sync_log")
    ui_color = "#f6e1e1"
    sync_log_is_sender = False

    def __init__(
        self,
        *,
        confirm: str,
        store_token: Callable[[str, str], object] | str,
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        sync_log: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(sync_log=sync_log, **kwargs)
        self.confirm = confirm
        self.store_token = store_token
        self.adobe_target_conn_id = adobe_target_conn_id

    @recorded
    def execute(self, context: Context) -> dict[str, Any]:
        """Generate the token and store it.

        :return: ``expires_at``, the latest possible expiry of the new token, and ``rotated_at``.
        :raises AirflowFailException: If a retry cannot help or must not happen: the token could not be stored, or may
            have been generated and cannot be read.
        :raises AdobeTargetUnavailableError: If the Admin API returns no usable response and the former token is still
            valid.
        """
        with translate_errors():
            store = self._store()
            token = self.hook.rotate_profile_token(confirm=self.confirm)
        self.log.info("A new Profile API token is valid. Adobe Target now refuses the former token.")
        failure = ""
        try:
            store(self.adobe_target_conn_id, token.value)
        except Exception as error:  # its message may contain the token
            failure = type(error).__name__
        if failure:
            raise AirflowFailException(
                f"The new Profile API token is valid, but store_token failed ({failure}). Do not rotate again: "
                "AdobeTargetHook.read_profile_token() and Target's page (Administration > Implementation > Profile "
                "API) return the valid token. Store it manually."
            )
        return {"expires_at": clock.utc_time(token.expires_at), "rotated_at": clock.utc_time(clock.SYSTEM.now())}

    def _store(self) -> Callable[[str, str], object]:
        """Return the function that stores the token. It is checked before a token is generated.

        :raises AdobeTargetError: If it cannot be imported or called.
        """
        store: Any = self.store_token
        if isinstance(store, str):
            module, _, name = store.rpartition(".")
            try:
                store = getattr(importlib.import_module(module), name)
            except (ImportError, AttributeError, ValueError):
                raise AdobeTargetError(f"store_token={self.store_token!r} cannot be imported.") from None
        if not callable(store):
            raise AdobeTargetError("store_token must be a function that takes a connection id and a token.")
        checked: Callable[[str, str], object] = store
        return checked
