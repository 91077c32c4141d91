"""Extra links of operators: the page of the task run, the status of a batch, and Adobe Target's activities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_adobe_target.version_compat import conf

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.batch import Batch

ADOBE_TARGET = "https://experience.adobe.com/#/"


class _XComLink(BaseOperatorLink):
    """A link whose URL the operator pushed to XCom."""

    key: str

    @property
    def xcom_key(self) -> str:
        """XCom key of the URL. Airflow 3 reads it directly."""
        return self.key

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL; empty text if there is none."""
        return XCom.get_value(ti_key=ti_key, key=self.key) or ""


class BatchStatusLink(_XComLink):
    """Status of the last batch, as Adobe Target or the sandbox displays it."""

    name = "Batch status"
    key = "batch_status_url"


class ActivitiesLink(_XComLink):
    """Activities in Adobe Target's own interface."""

    name = "Adobe Target activities"
    key = "activities_url"


class TaskRunLink(BaseOperatorLink):
    """The tab *Adobe Target* of the task instance, if the task is recorded in a sync log (Airflow 3.1 and later).

    Airflow calls ``get_link`` in the worker when the task ends, and stores the result under ``xcom_key``.
    """

    name = "Adobe Target run"
    xcom_key = "adobe_target_run_url"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the path of the tab; empty text if there is none."""
        if not _has_tabs() or not _is_recorded(operator):
            return ""
        base = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
        parts = ("dags", ti_key.dag_id, "runs", ti_key.run_id, "tasks", ti_key.task_id)
        path = "/".join(quote(part, safe="") for part in parts)
        is_mapped = ti_key.map_index is not None and ti_key.map_index >= 0
        mapped = f"/mapped/{ti_key.map_index}" if is_mapped else ""
        return f"{base}/{path}{mapped}/plugin/adobe-target-ti"


def _has_tabs() -> bool:
    from airflow import __version__

    return tuple(map(int, __version__.split(".")[:2])) >= (3, 1)


def _is_recorded(operator: Any) -> bool:
    try:
        settings = operator.hook.settings
    except Exception:  # an invalid connection: the task itself reports it
        settings = None
    return bool(operator.sync_log or getattr(settings, "sync_log", None))


def push_links(ti: Any, tenant_id: str | None, batches: Sequence[Batch]) -> None:
    """Push the URLs of the links.

    :param ti: Task instance.
    :param tenant_id: Tenant of the account, if the connection has it.
    :param batches: Batches of the task. Those of a dry run have no status URL.
    """
    urls = [batch.status_url for batch in batches if batch.status_url]
    tenant = f"@{quote(tenant_id, safe='')}/" if tenant_id else ""
    # Airflow 3 logs an error for a link whose key is missing.
    ti.xcom_push(key=BatchStatusLink.key, value=urls[-1] if urls else "")
    ti.xcom_push(key=ActivitiesLink.key, value=f"{ADOBE_TARGET}{tenant}target/activities" if urls else "")
