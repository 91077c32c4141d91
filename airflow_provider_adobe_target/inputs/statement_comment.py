"""The comment that names the task of a statement, for the administrators of a warehouse."""

from __future__ import annotations

import os
import re

from airflow_provider_adobe_target.version_compat import conf

# Set by Airflow while a task runs.
_VARIABLES = {
    "dag_id": "AIRFLOW_CTX_DAG_ID",
    "task_id": "AIRFLOW_CTX_TASK_ID",
    "run_id": "AIRFLOW_CTX_DAG_RUN_ID",
}
# Other characters could end the comment, or be a placeholder of a parameter.
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.:+-]")


def with_comment(sql: str) -> str:
    """Return a statement with the DAG, task and run in a comment before it.

    The statement is unchanged outside of a task, or if ``sql_comment`` in the section ``adobe_target`` of Airflow's
    configuration is ``False``.
    """
    found = {name: os.environ.get(variable) for name, variable in _VARIABLES.items()}
    words = [f"{name}={_NOT_PLAIN.sub('_', value)}" for name, value in found.items() if value]
    if not words or not conf.getboolean("adobe_target", "sql_comment", fallback=True):
        return sql
    return f"/* airflow {' '.join(words)} */ {sql}"
