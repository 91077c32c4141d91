"""Enforce ``execution_timeout`` across deferrals. Airflow 3 itself counts only the time in the worker."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.version_compat import AirflowTaskTimeout

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import BaseOperator

_GRACE_SECONDS = 60.0


def execution_end(task: BaseOperator) -> float | None:
    """Return the time at which ``execution_timeout`` ends a task that starts now.

    :param task: Operator or sensor.
    :return: Seconds since the epoch, or None if the task has no ``execution_timeout``.
    """
    limit = task.execution_timeout
    return None if limit is None else clock.SYSTEM.now() + limit.total_seconds()


def deferral_timeout(ends_at: float | None) -> timedelta | None:
    """Return the timeout of a deferral: the remaining time plus one minute, in case the trigger does not end it.

    :param ends_at: End of the task in seconds since the epoch, or None.
    """
    return None if ends_at is None else timedelta(seconds=max(0.0, ends_at - clock.SYSTEM.now()) + _GRACE_SECONDS)


def earlier(deadline: float, ends_at: float | None) -> float:
    """Return the earlier of two times. The second one may be None."""
    return deadline if ends_at is None else min(deadline, ends_at)


def check_execution_end(ends_at: float | None) -> None:
    """Raise the exception of ``execution_timeout`` if it has expired.

    :raises AirflowTaskTimeout: If ``ends_at`` has passed.
    """
    if ends_at is not None and clock.SYSTEM.now() >= ends_at:
        raise_execution_timeout("The task was still waiting at its last check.")


def raise_execution_timeout(what: str) -> None:
    """Raise the exception of ``execution_timeout``.

    :raises AirflowTaskTimeout: Always.
    """
    raise AirflowTaskTimeout(f"execution_timeout has expired. It includes the time between two polls. {what}")
