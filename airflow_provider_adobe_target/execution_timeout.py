"""Airflow's ``execution_timeout`` beyond a deferral: Airflow 3 counts only the time in the worker."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.version_compat import AirflowTaskTimeout

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import BaseOperator

_GRACE_SECONDS = 60.0


def execution_end(task: BaseOperator) -> float | None:
    """Return epoch seconds at which ``execution_timeout`` ends a task that begins now; None where it has none."""
    limit = task.execution_timeout
    return None if limit is None else clock.SYSTEM.now() + limit.total_seconds()


def deferral_timeout(ends_at: float | None) -> timedelta | None:
    """Return after what time Airflow must end the deferral itself, should the trigger not do so."""
    return None if ends_at is None else timedelta(seconds=max(0.0, ends_at - clock.SYSTEM.now()) + _GRACE_SECONDS)


def earlier(deadline: float, ends_at: float | None) -> float:
    """Return the earlier of two moments, of which the second may be missing."""
    return deadline if ends_at is None else min(deadline, ends_at)


def check_execution_end(ends_at: float | None) -> None:
    """Raise what Airflow raises in the worker, where the time is over."""
    if ends_at is not None and clock.SYSTEM.now() >= ends_at:
        raise_execution_timeout("What was waited for was not there at the last look.")


def raise_execution_timeout(what: str) -> None:
    """Raise what Airflow raises in the worker."""
    raise AirflowTaskTimeout(f"execution_timeout is over, deferred time included. {what}")
