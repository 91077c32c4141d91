"""Sensor for the expiry of the Profile API token."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.inputs.arguments import check_task_arguments
from airflow_provider_adobe_target.sensors.base import AdobeTargetSensor
from airflow_provider_adobe_target.sync_log.decorator import recorded
from airflow_provider_adobe_target.version_compat import PokeReturnValue

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context


class ProfileTokenSensor(AdobeTargetSensor):
    """Wait until the Profile API token expires soon or has expired, so that a downstream task can replace it.

    The sensor changes nothing. Its return value has ``days_left`` and ``expires_at``, never the token.

    In a daily DAG, use ``timeout=0`` with ``soft_fail=True`` to check once, and skip downstream tasks until the token
    expires soon. Airflow then also skips them if the credential is refused or a field of the connection is missing; the
    reason is only logged.

    :param min_days_left: The sensor succeeds if the token is valid for fewer days.
    :param adobe_target_conn_id: ID of the connection, of type ``adobe_target``, with an OAuth credential and
        ``tenant_id`` (templated).
    :param sync_log: Sync log of this task: ID of an Airflow connection, or a folder that contains a slash (templated).
        Default: that of the connection.
    :param poke_interval: Seconds between two pokes. Each is one of the 50 calls per minute.
    """

    template_fields: Sequence[str] = ("adobe_target_conn_id", "sync_log")
    ui_color = "#f6e1e1"

    def __init__(
        self,
        *,
        min_days_left: float = 14,
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        poke_interval: float | timedelta = 6 * 60 * 60,
        mode: str = "reschedule",
        sync_log: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, mode=mode, sync_log=sync_log, **kwargs)
        self.min_days_left = min_days_left
        self.adobe_target_conn_id = adobe_target_conn_id
        check_task_arguments(self)

    @recorded
    def execute(self, context: Context) -> Any:
        """Wait; see :meth:`poke`."""
        return super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Read the expiry of the token.

        :raises AirflowFailException: If the connection lacks a field that the Admin API needs, or the credential is
            refused.
        :raises AdobeTargetUnavailableError: If the Admin API returns no usable response.
        """
        from airflow_provider_adobe_target.client.auth.authenticator import days_left

        self._rescheduled_end(context)
        with translate_errors():
            token = self.hook.read_profile_token()
        if not token.value:
            self.log.info("No Profile API token is valid.")
            return PokeReturnValue(is_done=True, xcom_value={"days_left": 0.0, "expires_at": None})
        days = round(days_left(token, clock.SYSTEM.now()), 1)
        self.log.info("The Profile API token expires in at most %s days.", days)
        found = {"days_left": days, "expires_at": clock.utc_time(token.expires_at)}
        self._recorder.note(found)
        return PokeReturnValue(is_done=days < self.min_days_left, xcom_value=found)
