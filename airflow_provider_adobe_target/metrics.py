"""Metrics of task runs, through Airflow's ``Stats`` (StatsD or OpenTelemetry)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.sync_log.decorator import usage_of

PREFIX = "adobe_target"
ROW_COUNTS = ("rows_read", "rows_sent", "rows_rejected", "rows_empty", "rows_unchanged", "rows_linked")


def count_report(task: Any, report: Mapping[str, Any]) -> None:
    """Send the metrics of a task that ended with a report.

    :param task: Operator.
    :param report: Its report.
    """
    tags = _tags(task)
    for name in ROW_COUNTS:
        _count(name, report.get(name), tags)
    _count_batches([Batch.from_dict(entry) for entry in report.get("batches") or ()], tags)
    _count(f"runs_{report['outcome']}", 1, tags)
    count_usage(task)


def count_failure(task: Any, error: BaseException) -> None:
    """Send the metrics of a task that ended with an error, or was skipped."""
    is_skipped = "AirflowSkipException" in {kind.__name__ for kind in type(error).__mro__}
    _count("runs_skipped" if is_skipped else "runs_failed", 1, _tags(task))
    count_usage(task)


def count_usage(task: Any) -> None:
    """Send the metrics of the calls that the task made in this process, and of the time that they waited."""
    usage = usage_of(task)
    if usage is None:
        return
    tags = _tags(task)
    _count("calls", usage.calls, tags)
    _count("throttles", usage.throttles, tags)
    if usage.calls:
        _stats().timing(f"{PREFIX}.wait_time", timedelta(seconds=usage.wait_seconds), tags=tags)


def _count_batches(batches: list[Batch], tags: dict[str, str]) -> None:
    sent = [batch for batch in batches if not batch.is_planned]
    _count("batches", len(sent), tags)
    _count("bytes", sum(batch.bytes or 0 for batch in sent), tags)
    _count("rows_updated", sum(batch.successful_updates or 0 for batch in sent), tags)
    _count("rows_not_found", sum(batch.profiles_not_found or 0 for batch in sent), tags)
    _count("rows_failed", sum(batch.failures or 0 for batch in sent), tags)


def _count(name: str, count: int | None, tags: dict[str, str]) -> None:
    if count:
        _stats().incr(f"{PREFIX}.{name}", count, tags=tags)


def _stats() -> Any:
    from airflow.providers.common.compat.sdk import Stats

    return Stats


def _tags(task: Any) -> dict[str, str]:
    """Return the tags of all metrics. Their number of values is bounded, so that they do not flood a time series."""
    return {"dag_id": task.dag_id, "task_id": task.task_id, "operator": type(task).__name__}
