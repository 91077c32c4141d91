"""Argument checks that are cheap enough to run while a DAG file is parsed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.version_compat import ResolveMixin


def to_seconds(name: str, value: Any) -> float:
    """Return a duration in seconds.

    :param name: Name of the argument, for the error message.
    :param value: ``timedelta``, or a number of seconds.
    :raises ProfileDataError: If the value is neither, is not finite, or is not above 0.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not math.isfinite(seconds) or seconds <= 0:
        raise ProfileDataError(f"{name}={value!r} is not a timedelta or a number of seconds above 0.")
    return float(seconds)


def check_one_source(sources: Mapping[str, Any]) -> None:
    """Check that exactly one source of rows is given.

    :param sources: Argument names and values; None means not given.
    :raises ProfileDataError: If none or several are given.
    """
    given = [name for name, source in sources.items() if source is not None]
    if len(given) != 1:
        *names, last = sources
        raise ProfileDataError(f"Give one of {', '.join(names)} and {last}; given: {', '.join(given) or 'none'}.")


def check_sql(name: str, sql: Any) -> None:
    """Check that a statement is text or an upstream task's output.

    Upstream output is checked again when the task runs.

    :param name: Name of the argument, for the error message.
    :raises ProfileDataError: If it is anything else, such as a list of statements.
    """
    if sql is not None and not isinstance(sql, (str, ResolveMixin)):
        raise ProfileDataError(f"{name} is {type(sql).__name__}, not text. Give one statement.")
