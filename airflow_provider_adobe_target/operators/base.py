"""Base class of the operators, and the lock that keeps overlapping runs of a task from sending at the same time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.links.adobe_target import TaskRunLink
from airflow_provider_adobe_target.sync_log.decorator import Recorded
from airflow_provider_adobe_target.version_compat import BaseOperator

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.version_compat import Context


class AdobeTargetOperator(Recorded, BaseOperator):
    """Operator with a connection to Adobe Target, whose runs can be recorded in the sync log.

    :param sync_log: Where runs are recorded: ID of an Airflow connection, or a folder (templated). Default:
        ``sync_log`` of the connection to Adobe Target.
    """

    adobe_target_conn_id: str
    operator_extra_links: Any = (TaskRunLink(),)

    def __init__(self, *, sync_log: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sync_log = sync_log

    @cached_property
    def hook(self) -> AdobeTargetHook:
        """The hook of the connection to Adobe Target."""
        return AdobeTargetHook(adobe_target_conn_id=self.adobe_target_conn_id)


def exclusive_run(operator: BaseOperator, context: Context, settings: TargetSettings) -> AbstractContextManager[None]:
    """Return a context manager in which no other run of the task on this machine sends rows; see :func:`~.run_lock`.

    If the DAG allows overlapping runs, which may be on other machines, a warning names the settings that prevent them.
    """
    from airflow_provider_adobe_target.client.settings import account_digest
    from airflow_provider_adobe_target.concurrency import clock
    from airflow_provider_adobe_target.concurrency.run_lock import run_lock

    if _may_overlap(operator):
        operator.log.warning(
            "DAG %s may have %s active runs at a time. Runs on one machine wait for each other, runs on several "
            "machines do not, and Adobe Target does not order batches that write the same ids. Set max_active_runs=1 "
            "on the DAG or max_active_tis_per_dag=1 on the task; for a backfill --max-active-runs 1.",
            operator.dag_id,
            operator.dag.max_active_runs,
        )
    values: Any = context
    return run_lock(
        account_digest(settings),
        dag_id=operator.dag_id,
        task_id=operator.task_id,
        run_id=values.get("run_id") or "",
        clock=clock.SYSTEM,
    )


def _may_overlap(operator: BaseOperator) -> bool:
    return operator.has_dag() and operator.dag.max_active_runs != 1 and operator.max_active_tis_per_dag != 1
