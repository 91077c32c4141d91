"""Extra links of operators: the status of a batch, and Adobe Target's activities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

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
