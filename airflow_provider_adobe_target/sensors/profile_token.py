"""Watching the Profile API token's end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.inputs.arguments import check_arguments
from airflow_provider_adobe_target.version_compat import BaseSensorOperator, PokeReturnValue

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context


class ProfileTokenSensor(BaseSensorOperator):
    """Wait until the Profile API token has few days left, or is over, so that the next task can see to it.

    It only looks. The return value has ``days_left`` and ``expires_at``, never the token.

    In a daily DAG, ``timeout=0`` with ``soft_fail=True`` looks once, and skips what follows while there is time. Then
    Airflow skips also where the credential is refused or a field of the connection is missing: the reason is in the log
    only.

    :param min_days_left: days; with fewer than these left the sensor succeeds
    :param adobe_target_conn_id: the connection, of type ``adobe_target``, with an OAuth credential and ``tenant_id``
        (templated)
    :param poke_interval: seconds between two looks, each a call of the 50 a minute
    """

    template_fields: Sequence[str] = ("adobe_target_conn_id",)
    ui_color = "#f6e1e1"

    def __init__(
        self,
        *,
        min_days_left: float = 14,
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        poke_interval: float | timedelta = 6 * 60 * 60,
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, mode=mode, **kwargs)
        self.min_days_left = min_days_left
        self.adobe_target_conn_id = adobe_target_conn_id
        check_arguments(self)

    @cached_property
    def hook(self) -> AdobeTargetHook:
        """The connection to Adobe Target."""
        return AdobeTargetHook(adobe_target_conn_id=self.adobe_target_conn_id)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the token's end.

        :raises AirflowFailException: where the connection lacks what the Admin API needs, or that refuses it
        :raises AdobeTargetUnavailableError: where the Admin API gives no usable answer
        """
        from airflow_provider_adobe_target.client.auth.authenticator import days_left

        with translate_errors():
            token = self.hook.read_profile_token()
        if not token.value:
            self.log.info("No Profile API token is in force.")
            return PokeReturnValue(is_done=True, xcom_value={"days_left": 0.0, "expires_at": None})
        days = round(days_left(token, clock.SYSTEM.now()), 1)
        self.log.info("The Profile API token has %s days left at most.", days)
        return PokeReturnValue(
            is_done=days < self.min_days_left,
            xcom_value={"days_left": days, "expires_at": clock.utc_time(token.expires_at)},
        )
