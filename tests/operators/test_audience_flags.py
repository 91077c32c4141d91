"""Where audience flags keep ids while a task runs, against the sandbox over real sockets."""

from __future__ import annotations

import json
import tempfile
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_adobe_target.operators.adobe_target import AudienceFlagOperator
from airflow_provider_adobe_target.sandbox import Sandbox


class WatchedTable:
    """Rows that note, each time they are read, what is in the folder for temporary files."""

    def __init__(self, table, folder):
        self._table = table
        self._folder = folder
        self.seen = []

    def __arrow_c_stream__(self, requested_schema=None):
        def batches():
            self.seen.append([str(path.relative_to(self._folder)) for path in self._folder.rglob("audiences-*")])
            yield from self._table.to_batches()

        reader = pa.RecordBatchReader.from_batches(self._table.schema, batches())
        return reader.__arrow_c_stream__(requested_schema)


def test_ids_on_disk_are_only_in_the_folder_of_the_task(monkeypatch, tmp_path):
    temporary, rejects = tmp_path / "temporary", tmp_path / "rejects"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    gold = WatchedTable(pa.table({"thirdPartyId": ["U1"], "audience": ["gold"]}), temporary)
    with Sandbox(processing_seconds=0, fail_ids=("U2",)) as sandbox:
        connection = {"conn_type": "adobe_target", "login": "acme", "host": sandbox.url}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
        operator = AudienceFlagOperator(
            task_id="flags",
            data=gold,
            universe_data=pa.table({"id": ["U1", "U2"]}),
            audiences=["gold"],
            rejects_path=str(rejects),
            max_failed_pct=100,
            poll_interval=0.05,
            durable=False,
        )
        ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, xcom_push=lambda key, value: None)
        report = operator.execute({"ti": ti, "run_id": "run"})

    [file] = rejects.iterdir()
    assert report["rejects_path"].endswith(file.name)
    assert pq.read_table(file)["reject_reason"].to_pylist() == ["refused_by_target"]
    assert len(gold.seen) == 2
    for folders in gold.seen:
        assert len(folders) == 1
        assert folders[0].startswith("adobe-target-")
    assert list(temporary.iterdir()) == []
