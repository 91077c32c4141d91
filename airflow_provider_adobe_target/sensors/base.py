"""Base class of the sensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.execution_timeout import check_execution_end
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.links.adobe_target import TaskRunLink
from airflow_provider_adobe_target.sync_log.decorator import Recorded
from airflow_provider_adobe_target.version_compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    first_reschedule,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context


class AdobeTargetSensor(Recorded, BaseSensorOperator):
    """Sensor with the same timeout and outcome in all modes, whose end can be recorded in the sync log.

    :param sync_log: Where the end is recorded: ID of an Airflow connection, or a folder (templated). Default:
        ``sync_log`` of the connection to Adobe Target.
    """

    sync_log_is_sender = False
    adobe_target_conn_id: str
    deferrable: bool = False
    operator_extra_links: Any = (TaskRunLink(),)

    def __init__(self, *, sync_log: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sync_log = sync_log

    @cached_property
    def hook(self) -> AdobeTargetHook:
        """The hook of the connection to Adobe Target."""
        return AdobeTargetHook(adobe_target_conn_id=self.adobe_target_conn_id)

    def _started_at(self, context: Context) -> float:
        """Return the time of the first poke, which may have been in another process, in seconds since the epoch."""
        first = first_reschedule(self, context) if self.reschedule and not self.deferrable else None
        return first.timestamp() if first else clock.SYSTEM.now()

    def _rescheduled_end(self, context: Context) -> float | None:
        """Return the end of ``execution_timeout`` in reschedule mode, counted from the first poke, in epoch seconds.

        Airflow itself applies the limit to each poke separately.

        :raises AirflowTaskTimeout: If it has expired.
        """
        if not self.reschedule or self.deferrable or self.execution_timeout is None:
            return None
        ends_at = self._started_at(context) + self.execution_timeout.total_seconds()
        check_execution_end(ends_at)
        return ends_at

    def _as_poked(self, check: Callable[[], Any]) -> Any:
        """Apply ``soft_fail`` and ``never_fail`` as in poke mode. In deferrable mode, versions of Airflow differ."""
        try:
            return check()
        except (AirflowFailException, AirflowSensorTimeout) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from None
            raise
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
