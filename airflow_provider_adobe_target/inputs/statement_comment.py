"""Comment, job labels and query tag that name the task of a statement, for the administrators of a warehouse."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.version_compat import conf

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

# Set by Airflow while a task runs.
_VARIABLES = {
    "dag_id": "AIRFLOW_CTX_DAG_ID",
    "task_id": "AIRFLOW_CTX_TASK_ID",
    "run_id": "AIRFLOW_CTX_DAG_RUN_ID",
}
# Other characters could end the comment, or be a placeholder of a parameter.
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.:+-]")
# The labels of Airflow's own BigQuery operators, and one for the run.
_LABELS = {"dag_id": "airflow-dag", "task_id": "airflow-task", "run_id": "airflow-run"}
_NOT_IN_LABELS = re.compile(r"[^a-z0-9_-]")
_MAX_LABEL = 63


def with_comment(sql: str) -> str:
    """Return a statement with the DAG, task and run in a comment before it.

    The statement is unchanged outside of a task, or if ``sql_comment`` in the section ``adobe_target`` of Airflow's
    configuration is ``False``.
    """
    names = _task_names()
    if not names:
        return sql
    words = " ".join(f"{name}={value}" for name, value in names.items())
    return f"/* airflow {words} */ {sql}"


def tag_statements(hook: DbApiHook) -> None:
    """Set job labels on a BigQuery hook, or ``QUERY_TAG`` on a Snowflake hook. Other hooks are unchanged.

    Labels and a tag that the connection has take precedence. The configuration of :func:`with_comment` applies.
    """
    names = _task_names()
    tag = _TAGS.get(getattr(hook, "conn_type", ""))
    if tag and names:
        tag(hook, names)


def _task_names() -> dict[str, str]:
    """Return the DAG, task and run in plain characters; nothing outside of a task, or if they are switched off."""
    found = {name: os.environ.get(variable) for name, variable in _VARIABLES.items()}
    names = {name: _NOT_PLAIN.sub("_", value) for name, value in found.items() if value}
    return names if names and conf.getboolean("adobe_target", "sql_comment", fallback=True) else {}


def _label_bigquery(hook: Any, names: Mapping[str, str]) -> None:
    given, configured = getattr(hook, "labels", None), getattr(hook, "api_resource_configs", None) or {}
    if isinstance(given, Mapping) and "labels" not in configured:
        labels = {_LABELS[name]: _NOT_IN_LABELS.sub("_", value.lower())[:_MAX_LABEL] for name, value in names.items()}
        hook.labels = {**labels, **given}


def _tag_snowflake(hook: Any, names: Mapping[str, str]) -> None:
    connection = hook.get_connection(getattr(hook, hook.conn_name_attr))
    given = hook.session_parameters or connection.extra_dejson.get("session_parameters") or {}
    if isinstance(given, Mapping) and "QUERY_TAG" not in map(str.upper, given):
        hook.session_parameters = {**given, "QUERY_TAG": json.dumps(names)}


_TAGS: dict[str, Callable[[Any, Mapping[str, str]], None]] = {
    "gcpbigquery": _label_bigquery,
    "snowflake": _tag_snowflake,
}
