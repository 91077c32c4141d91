"""Argument checks that are cheap enough to run while a DAG file is parsed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow_provider_adobe_target import argument_checks
from airflow_provider_adobe_target.derived_attributes import check_derived
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.privacy import check_privacy
from airflow_provider_adobe_target.version_compat import AirflowFailException, ResolveMixin

_PATHS_AND_NAMES = (
    "adobe_target_conn_id",
    "archive_path",
    "checkpoint_path",
    "rejects_path",
    "result_conn_id",
    "result_path",
    "result_table",
    "sql_conn_id",
    "universe_sql_conn_id",
)


class InvalidArgumentError(ProfileDataError, AirflowFailException):
    """An argument of an operator or sensor is invalid.

    Airflow constructs a mapped task when it runs, outside :func:`~.translate_errors`: the task must not be retried.
    """


def check_task_arguments(task: Any) -> None:
    """Check the choices, bounds and types of a task's attributes; see :func:`~.argument_checks.check_arguments`.

    :raises InvalidArgumentError: If an argument is invalid. The message names it.
    """
    arguments = vars(task)
    try:
        argument_checks.check_arguments(arguments)
        check_privacy(arguments.get("privacy"))
        check_derived(arguments.get("derived"))
        for prefix in ("", "id_map_", "universe_"):
            if arguments.get(f"{prefix}csv_options") is not None:
                from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions

                FileOptions.checked(arguments.get(f"{prefix}file_format"), arguments[f"{prefix}csv_options"], prefix)
    except ProfileDataError as error:
        raise InvalidArgumentError(str(error)) from None
    for name in _PATHS_AND_NAMES:
        value = arguments.get(name)
        is_path = isinstance(value, os.PathLike) and name.endswith("_path")
        if value is not None and not is_path and not isinstance(value, (str, ResolveMixin)):
            raise InvalidArgumentError(f"{name} must be text, not {type(value).__name__}.")


def to_seconds(name: str, value: Any) -> float:
    """Return a duration in seconds.

    :param name: Name of the argument, for the error message.
    :param value: ``timedelta``, or a number of seconds.
    :raises InvalidArgumentError: If the value is neither, is not finite, or is not above 0.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not math.isfinite(seconds) or seconds <= 0:
        raise InvalidArgumentError(f"{name}={value!r} is not a timedelta or a number of seconds above 0.")
    return float(seconds)


def check_one_source(sources: Mapping[str, Any], *, required: bool = True, why: str = "") -> None:
    """Check that exactly one source is given.

    :param sources: Argument names and values; None means not given.
    :param required: Whether one must be given.
    :param why: Sentence to append to the message.
    :raises InvalidArgumentError: If none or several are given.
    """
    given = [name for name, source in sources.items() if source is not None]
    if len(given) != 1 and (given or required):
        *names, last = sources
        message = f"Give one of {', '.join(names)} and {last}; given: {', '.join(given) or 'none'}."
        raise InvalidArgumentError(f"{message} {why}".strip())


def check_sql(name: str, sql: Any) -> None:
    """Check that a statement is text or an upstream task's output.

    Upstream output is checked again when the task runs.

    :param name: Name of the argument, for the error message.
    :raises InvalidArgumentError: If it is anything else, such as a list of statements.
    """
    if sql is not None and not isinstance(sql, (str, ResolveMixin)):
        raise InvalidArgumentError(f"{name} is {type(sql).__name__}, not text. Give one statement.")
