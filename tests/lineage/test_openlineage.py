from __future__ import annotations

import json

import pytest

pytest.importorskip("airflow.providers.openlineage")

from airflow_provider_adobe_target.lineage.openlineage import operator_lineage
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator, IdentityLinkOperator

REPORT = {
    "client_code": "ACME",
    "id_type": "thirdPartyId",
    "dry_run": False,
    "outcome": "partial",
    "rows_read": 3,
    "rows_sent": 2,
    "rows_rejected": 1,
    "rejected_by_reason": {"missing_id": 1},
    "batches": [{"status": "complete", "rows": 2, "bytes": 40}],
}


def finished(report=REPORT, **arguments):
    task = BulkProfileUpdateOperator(task_id="upload", **arguments)
    task.last_report, task.attribute_names = report, ["tier", "home.city"]
    return operator_lineage(task)


@pytest.mark.parametrize(
    ("path", "datasets"),
    [
        ("/data/in.parquet", [("file", "/data/in.parquet")]),
        ("file:///data/in.parquet", [("file", "/data/in.parquet")]),
        (["s3://lake/a/*.parquet", "gs://b/c.csv"], [("s3://lake", "a/*.parquet"), ("gs://b", "c.csv")]),
        ("s3://conn@lake/a.csv", [("s3://lake", "a.csv")]),
    ],
)
def test_each_path_is_an_input(path, datasets):
    lineage = finished(path=path)
    assert [(dataset.namespace, dataset.name) for dataset in lineage.inputs] == datasets


def test_a_database_without_openlineage_support_gives_no_inputs(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": "/tmp/none.db"}))
    assert finished(sql="SELECT 1 FROM t", sql_conn_id="warehouse").inputs == []


def test_the_output_has_names_and_counts():
    [output] = finished(data=[{"thirdPartyId": "goldfinch"}]).outputs
    assert (output.namespace, output.name) == ("adobetarget://acme", "thirdPartyId")
    assert [field.name for field in output.facets["schema"].fields] == ["tier", "home.city"]
    statistics = output.outputFacets["outputStatistics"]
    assert (statistics.rowCount, statistics.size) == (2, 40)


def test_a_dry_run_and_a_failed_task_have_no_output():
    assert finished({**REPORT, "dry_run": True}, path="/x.csv").outputs == []
    assert finished(None, path="/x.csv").outputs == []
    assert len(finished(None, path="/x.csv").inputs) == 1


def test_links_are_counted_as_rows_sent():
    task = IdentityLinkOperator(
        task_id="link", data=[], id_columns={"thirdPartyId": "a", "marketingCloudVisitorId": "b"}
    )
    task.last_report = {
        "client_code": "acme",
        "outcome": "partial",
        "rows_read": 2,
        "rows_linked": 1,
        "rows_rejected": 1,
        "rejected_by_reason": {},
    }
    assert operator_lineage(task).run_facets["adobeTarget"].rowsSent == 1
