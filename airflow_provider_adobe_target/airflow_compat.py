"""Where Airflow 2.11 and Airflow 3 meet: everything of Airflow that differs between them is imported from here."""

from __future__ import annotations

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

# What Airflow resolves at run time without Jinja; its own path differs between 2 and 3, XComArg derives from it in both.
ResolveMixin: type = next(base for base in XComArg.__mro__ if base.__name__ == "ResolveMixin")

__all__ = [
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "BaseHook",
    "BaseOperator",
    "BaseSensorOperator",
    "ObjectStoragePath",
    "PokeReturnValue",
    "ResolveMixin",
    "XComArg",
    "conf",
    "get_async_connection",
]
