"""Where Airflow 2.11 and Airflow 3 meet: everything of Airflow that differs between them is imported from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
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

# What Airflow resolves at run time without Jinja: its path differs between 2 and 3, but XComArg derives from it in
# both.
ResolveMixin: Any = next(base for base in XComArg.__mro__ if base.__name__ == "ResolveMixin")

__all__ = [
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "BaseHook",
    "BaseOperator",
    "BaseSensorOperator",
    "Context",
    "ObjectStoragePath",
    "PokeReturnValue",
    "ResolveMixin",
    "XComArg",
    "conf",
    "get_async_connection",
]
