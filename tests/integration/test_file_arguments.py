"""``path``, ``file_format`` and ``csv_options`` of every operator and sensor that reads files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.operators.adobe_target import (
    AudienceFlagOperator,
    BulkProfileUpdateOperator,
    EdgeProfileUpdateOperator,
    IdentityLinkOperator,
    SingleProfileUpdateOperator,
)
from airflow_provider_adobe_target.sensors.adobe_target import ProfileLandingSensor
from airflow_provider_adobe_target.version_compat import AirflowFailException, ObjectStoragePath
from support.real_airflow import connection

CLASSES = {
    BulkProfileUpdateOperator: {},
    AudienceFlagOperator: {"audiences": ["a"], "universe_data": [{"thirdPartyId": "U1"}]},
    SingleProfileUpdateOperator: {"if_not_found": "send"},
    EdgeProfileUpdateOperator: {},
    IdentityLinkOperator: {"id_columns": {"tntId": "tnt", "thirdPartyId": "id"}},
    ProfileLandingSensor: {},
}


@pytest.fixture
def context(sandbox, monkeypatch):
    extra = {"datastream_id": "d", "edge_host": sandbox.url}
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox, extra=extra))
    ti = SimpleNamespace(dag_id="d", task_id="up", run_id="r", map_index=-1, xcom_push=lambda **_: None)
    return {"ti": ti, "task_reschedule_count": 0}


def run(cls, context, **arguments):
    operator = (
        cls(task_id="up", deferrable=False, **arguments)
        if cls is not IdentityLinkOperator
        else cls(task_id="up", **arguments)
    )
    return operator.poke(context) if cls is ProfileLandingSensor else operator.execute(context)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"file_format": "xlsx"}, "file_format='xlsx' is not one of 'parquet', 'csv', 'ndjson'"),
        ({"csv_options": {"sep": ";"}}, "'delimiter' and 'encoding'"),
        ({"csv_options": {"encoding": "klingon"}}, "text encoding"),
        ({"path": 7}, "path contains int"),
    ],
)
def test_a_wrong_value_is_refused_before_a_call(cls, arguments, words, context, sandbox, tmp_path):
    (tmp_path / "rows.csv").write_text("thirdPartyId,v\nU1,1\n")
    with pytest.raises(AirflowFailException, match=words):
        run(cls, context, **{"path": tmp_path / "rows.csv", **CLASSES[cls], **arguments})
    assert not sandbox.calls


@pytest.mark.parametrize("kind", [Path, ObjectStoragePath, str, lambda path: str([Path(path)])])
def test_rows_of_a_semicolon_file_without_suffix_are_sent(kind, context, sandbox, tmp_path):
    path = tmp_path / "part-0"
    path.write_bytes("thirdPartyId;city\nU1;Zürich\nthirdPartyId;city\nU2;Bern\n".encode("cp1252"))
    options = {"file_format": "csv", "csv_options": {"delimiter": ";", "encoding": "cp1252"}}
    report = run(BulkProfileUpdateOperator, context, path=kind(str(path)), poll_interval=0.1, **options)
    assert (report["rows_sent"], report["rejected_by_reason"]) == (2, {"unsupported_value": 1})
    assert sandbox.profile("U1") == {"city": "Zürich"}
    assert sandbox.profile("thirdPartyId") is None
    single = run(SingleProfileUpdateOperator, context, path=kind(str(path)), if_not_found="send", **options)
    assert single["rows_sent"] == 2


def test_rejects_can_be_sent_again(context, sandbox, tmp_path):
    (tmp_path / "rows.csv").write_text("thirdPartyId,v,w\nU1,toolong,1\nU2,ok,2\n")
    report = run(
        BulkProfileUpdateOperator,
        context,
        path=tmp_path / "rows.csv",
        max_value_length=3,
        rejects_path=str(tmp_path / "rejects"),
        poll_interval=0.1,
    )
    assert report["rows_rejected"] == 1
    assert pq.read_schema(report["rejects_path"]).names[0] == "row_number"
    again = run(BulkProfileUpdateOperator, context, path=f"{tmp_path}/rejects/rejects-*.parquet", poll_interval=0.1)
    assert again["rows_sent"] == 1
    assert sandbox.profile("U1") == {"v": "toolong", "w": "1"}


@pytest.mark.parametrize("source", ["path", "universe_path"])
def test_a_repeated_header_adds_no_member_and_no_profile(source, context, sandbox, tmp_path):
    (tmp_path / "members.csv").write_text("thirdPartyId,audience\nU1,a\nthirdPartyId,audience\n")
    (tmp_path / "all.csv").write_text("thirdPartyId\nU1\nthirdPartyId\nU2\n")
    arguments = {"audiences": ["a"], "poll_interval": 0.1}
    if source == "path":
        arguments |= {"path": tmp_path / "members.csv", "universe_data": [{"thirdPartyId": "U1"}]}
    else:
        arguments |= {"data": [{"thirdPartyId": "U1", "audience": "a"}], "universe_path": tmp_path / "all.csv"}
    run(AudienceFlagOperator, context, **arguments)
    assert sandbox.profile("U1") == {"audience.a": "true"}
    assert sandbox.profile("thirdPartyId") is None


def test_a_universe_is_read_in_its_own_format(context, sandbox, tmp_path):
    (tmp_path / "all").write_text("thirdPartyId;country\nU1;fr\nU2;de\n", encoding="utf-16")
    options = {"universe_file_format": "csv", "universe_csv_options": {"delimiter": ";", "encoding": "utf-16"}}
    rows = [{"thirdPartyId": "U1", "audience": "a"}]
    arguments = {"data": rows, "audiences": ["a"], "universe_path": tmp_path / "all", "poll_interval": 0.1}
    run(AudienceFlagOperator, context, **arguments, **options)
    assert [sandbox.profile(id_) for id_ in ("U1", "U2")] == [{"audience.a": "true"}, {"audience.a": "false"}]
