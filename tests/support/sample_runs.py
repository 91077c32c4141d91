"""Records for the tests of the page."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow_provider_adobe_target.sync_log.record import RunRecord


def record(**changes):
    """A run of an hour ago that sent 100 rows: 90 updated, 6 without a profile, 1 failed, 3 not accounted for."""
    started = datetime.now(timezone.utc) - timedelta(hours=1)
    known = {
        "dag_id": "loyalty",
        "task_id": "upload",
        "run_id": "scheduled__2026-01-31T00:00:00+00:00",
        "map_index": -1,
        "try_number": 1,
        "operator": "BulkProfileUpdateOperator",
        "client_code": "acme",
        "id_type": "thirdPartyId",
        "api_version": "v2",
        "started_at": started,
        "sent_at": started + timedelta(seconds=20),
        "finished_at": started + timedelta(seconds=200),
        "outcome": "partial",
        "rows_read": 112,
        "rows_sent": 100,
        "rows_rejected": 12,
        "rows_empty": 0,
        "rows_unchanged": 0,
        "rows_updated": 90,
        "rows_not_found": 6,
        "rows_failed": 1,
        "files": 1,
        "bytes": 12_345,
        "calls": 4,
        "wait_seconds": 61.0,
        "rejected_by_reason": {"missing_id": 10, "duplicate_id": 2},
        "batches": [
            {
                "batch_id": "acme-7-1",
                "status": "complete",
                "rows": 100,
                "bytes": 12_345,
                "submitted_at": "2026-01-31T00:00:20Z",
                "finished_at": "2026-01-31T00:03:20Z",
                "successful_updates": 90,
                "profiles_not_found": 6,
                "failed_updates": 1,
            }
        ],
        "attributes": {"tier": {"type": "text", "filled": 80, "rows": 100, "max_length": 6}},
        "details": {"source": "sql", "rejects_path": "/rejects/x.parquet"},
    }
    return RunRecord(**{**known, **changes})


def attribute_statistics(**counts):
    """Statistics of attributes. The values are (rows with a value, rows)."""
    return {
        name: {"type": "text", "filled": filled, "rows": rows, "max_length": 6}
        for name, (filled, rows) in counts.items()
    }
