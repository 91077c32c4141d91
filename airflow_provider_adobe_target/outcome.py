"""The outcome of a report in one word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_adobe_target.client.batch import Batch


def outcome_of(report: Mapping[str, Any]) -> str:
    """Return ``dry_run``, ``submitted``, ``partial`` or ``complete``.

    ``submitted`` means that the status of a batch is not final. ``partial`` means that rows failed.
    """
    if report.get("dry_run"):
        return "dry_run"
    batches = [Batch.from_dict(entry) for entry in report.get("batches") or ()]
    if not all(batch.final for batch in batches):
        return "submitted"
    return "partial" if any(batch.failures or batch.status != "complete" for batch in batches) else "complete"
