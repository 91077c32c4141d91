"""Replacing the Profile API token, when somebody says so."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.version_compat import AirflowFailException, BaseOperator

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context


class RotateProfileTokenOperator(BaseOperator):
    """Make a new Profile API token, and hand it to a function that keeps it.

    From then on Adobe Target refuses the former token, whoever uses it. The new one is masked in logs, and does not
    get into XCom.

    :param confirm: ``rotate the token for every user of it``, and nothing else: without it the task fails before any
        call
    :param store_token: a function, or the dotted path of one, that is called with the connection id and the new token
        and puts it where other tasks find it, a secrets backend for example
    :param adobe_target_conn_id: the connection, of type ``adobe_target``, with an OAuth credential and ``tenant_id``
        (templated)
    """

    template_fields: Sequence[str] = ("adobe_target_conn_id",)
    ui_color = "#f6e1e1"

    def __init__(
        self,
        *,
        confirm: str,
        store_token: Callable[[str, str], object] | str,
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.confirm = confirm
        self.store_token = store_token
        self.adobe_target_conn_id = adobe_target_conn_id

    @cached_property
    def hook(self) -> AdobeTargetHook:
        """The connection to Adobe Target."""
        return AdobeTargetHook(adobe_target_conn_id=self.adobe_target_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the token and hand it over.

        :returns: ``expires_at``, the time at which the new token ends at the latest
        :raises AirflowFailException: where a retry cannot help, or must not be, as when the token could not be kept,
            or when one may have been made that cannot be read
        :raises AdobeTargetUnavailableError: where the Admin API gives no usable answer, and the former token is still
            in force
        """
        with translate_errors():
            store = self._store()
            token = self.hook.rotate_profile_token(confirm=self.confirm)
        self.log.info("A new Profile API token is in force; the former one is refused from now on.")
        failure = ""
        try:
            store(self.adobe_target_conn_id, token.value)
        except Exception as error:  # whose text may hold the token
            failure = type(error).__name__
        if failure:
            raise AirflowFailException(
                f"The new Profile API token is in force, but store_token failed ({failure}). Do not rotate again: "
                "AdobeTargetHook.read_profile_token() and Target's page (Administration > Implementation > Profile "
                "API) have the token in force. Put it where store_token was to put it."
            )
        return {"expires_at": clock.utc_time(token.expires_at), "rotated_at": clock.utc_time(clock.SYSTEM.now())}

    def _store(self) -> Callable[[str, str], object]:
        """Return the function that is to keep the token: there is to be one before there is a token.

        :raises AdobeTargetError: where there is none
        """
        store: Any = self.store_token
        if isinstance(store, str):
            module, _, name = store.rpartition(".")
            try:
                store = getattr(importlib.import_module(module), name)
            except (ImportError, AttributeError, ValueError):
                raise AdobeTargetError(f"store_token={self.store_token!r} cannot be imported.") from None
        if not callable(store):
            raise AdobeTargetError("store_token is no function that takes a connection id and a token.")
        checked: Callable[[str, str], object] = store
        return checked
