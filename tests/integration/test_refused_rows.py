"""Rows that Adobe Target accepts and then lists as failed."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.client.session import Session
from airflow_provider_adobe_target.exceptions import AdobeTargetUnavailableError
from airflow_provider_adobe_target.version_compat import AirflowFailException
from support.upload_task import ROWS, WAITING


@WAITING
def test_rows_that_target_lists_as_failed_are_among_the_rejects(task, sandbox, tmp_path, waiting):
    sandbox.settings.fail_ids = ("U2", "U4")
    rows = [*ROWS, {"thirdPartyId": None, "tier": "x"}]
    report = task(data=rows, max_failed_pct=50, rejects_path=str(tmp_path / "rejects"), **waiting).run()
    rejects = pq.read_table(report["rejects_path"]).to_pylist()
    assert [(row["row_number"], row["thirdPartyId"], row["tier"], row["reject_reason"]) for row in rejects] == [
        (5, None, "x", "missing_id"),
        (1, "U2", "gold" * 2, "refused_by_target"),
        (3, "U4", "gold" * 4, "refused_by_target"),
    ]
    assert report["rejected_by_reason"] == {"missing_id": 1}
    assert report["rows_sent"] == 5
    assert sum(batch["failed_updates"] for batch in report["batches"]) == 2


def test_refused_rows_are_written_if_they_fail_the_task(task, sandbox, tmp_path):
    sandbox.settings.fail_ids = ("U2",)
    with pytest.raises(AirflowFailException, match="max_failed_pct"):
        task(rejects_path=str(tmp_path / "rejects")).run()
    [file] = (tmp_path / "rejects").iterdir()
    assert pq.read_table(file)["thirdPartyId"].to_pylist() == ["U2"]


def test_refused_ids_are_not_in_xcom_or_checkpoints(task, sandbox, tmp_path, logged):
    sandbox.settings.fail_ids = ("U2",)
    task = task(max_failed_pct=50, rejects_path=str(tmp_path / "rejects"), deferrable=True)
    report = task.run()
    kept = (tmp_path / "receipts.json").read_text()
    for text in (json.dumps(report), json.dumps(task.pushed), kept, logged()):
        assert "U2" not in text


def test_the_verdict_is_independent_of_writing_refused_rows(task, sandbox, tmp_path, logged, monkeypatch):
    def failed_ids(session, batches):
        raise AdobeTargetUnavailableError("no answer")

    monkeypatch.setattr(Session, "failed_ids", failed_ids)
    sandbox.settings.fail_ids = ("U2",)
    report = task(max_failed_pct=50, rejects_path=str(tmp_path / "rejects")).run()
    assert report["batches"][1]["failed_updates"] == 1
    assert "cannot be kept: no answer" in logged()
