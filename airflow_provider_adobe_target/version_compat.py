"""Compatibility imports for Airflow 2.11 and Airflow 3."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseHook,
    BaseOperator,
    BaseSensorOperator,
    ObjectStoragePath,
    PokeReturnValue,
    XComArg,
    conf,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# Base class of values that Airflow resolves at run time without Jinja. Its import path differs between Airflow 2 and 3,
# but XComArg derives from it in both.
ResolveMixin: Any = next(base for base in XComArg.__mro__ if base.__name__ == "ResolveMixin")


try:
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 2.11
    from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[import-not-found, no-redef]


def first_reschedule(sensor: BaseSensorOperator, context: Context) -> datetime | None:
    """Return the start time of the first poke of a sensor in reschedule mode, or None during the first poke."""
    ti: Any = context["ti"]
    started: datetime | None
    if hasattr(ti, "get_first_reschedule_date"):
        first = ti.get_first_reschedule_date(context)
        # dag.test() of Airflow 3.0 returns text.
        started = datetime.fromisoformat(first.replace("Z", "+00:00")) if isinstance(first, str) else first
        return started
    # As in the sensors of Airflow 2:
    from airflow.sensors.base import _orig_start_date  # type: ignore[import-not-found]

    first_try = (ti.max_tries or 0) - (sensor.retries or 0) + 1
    started = _orig_start_date(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, first_try)
    return started


__all__ = [
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
    "BaseSensorOperator",
    "Context",
    "ObjectStoragePath",
    "PokeReturnValue",
    "ResolveMixin",
    "XComArg",
    "conf",
    "first_reschedule",
    "get_async_connection",
    "mask_secret",
]
