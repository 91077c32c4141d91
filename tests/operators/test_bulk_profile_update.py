"""Bulk uploads with an id map, against the sandbox over real sockets."""

from __future__ import annotations

import json
import logging
import sqlite3
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG
from airflow.serialization import serialized_objects

from airflow_provider_adobe_target.derived_attributes import DerivedAttributes
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sandbox import Sandbox
from airflow_provider_adobe_target.version_compat import AirflowFailException

LINKS = [{"id": "SECRET-1", "linked_id": "SECRET-2.28_0", "linked_id_type": "pcId"}]


@pytest.fixture
def sandbox():
    with Sandbox(processing_seconds=0) as sandbox:
        yield sandbox


@pytest.fixture
def upload(sandbox, monkeypatch):
    def upload(extra=None, pushed=None, **arguments):
        connection = {"conn_type": "adobe_target", "login": "acme", "host": sandbox.url, "extra": extra or {}}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
        arguments = {"data": [{"thirdPartyId": "SECRET-1", "tier": "gold"}], **arguments}
        operator = BulkProfileUpdateOperator(task_id="upload", poll_interval=0.05, durable=False, **arguments)
        pushed = {} if pushed is None else pushed
        ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
        return operator.execute({"ti": ti, "run_id": "run"})

    return upload


def test_only_an_upload_that_succeeds_without_rows_pushes_an_empty_list(sandbox, upload):
    pushed = {}
    for arguments in (
        {"data": [], "on_no_rows": "fail"},
        {"data": [{"thirdPartyId": "a/b", "tier": "gold"}]},
        {"data": [{"thirdPartyId": "U1", "profile.tier": "gold"}]},
    ):
        with pytest.raises(AirflowFailException):
            upload(pushed=pushed, **arguments)
        assert "batches" not in pushed
    upload(pushed=pushed, data=[])
    assert pushed["batches"] == []
    upload(pushed=pushed)
    assert [batch["batch_id"] for batch in pushed["batches"]] == [batch.batch_id for batch in sandbox.batches]


def test_both_profiles_get_the_row_from_files_of_their_own(sandbox, upload, caplog):
    caplog.set_level(logging.DEBUG)
    sandbox.put_profile("SECRET-1", {"seen": "yes"})
    sandbox.put_profile("SECRET-2.28_0", {"seen": "yes"}, "pcId")
    report = upload(id_map=LINKS, api_version="v1")
    assert (report["rows_read"], report["rows_sent"], report["rows_extended"]) == (1, 1, 1)
    assert (report["id_type"], report["links_dropped"]) == ("thirdPartyId", {})
    assert {(batch.key, batch.row_count) for batch in sandbox.batches} == {("thirdPartyId", 1), ("pcId", 1)}
    assert [batch["rows"] for batch in report["batches"]] == [1, 1]
    assert sandbox.profile("SECRET-1")["tier"] == sandbox.profile("SECRET-2.28_0", "pcId")["tier"] == "gold"
    assert "SECRET" not in json.dumps(report) + caplog.text


def test_linked_pc_ids_with_v2_and_ecids_are_refused_before_a_call(sandbox, upload):
    with pytest.raises(AirflowFailException, match="pcId with api_version='v2'"):
        upload(id_map=LINKS)
    assert not sandbox.calls
    assert upload(id_map=LINKS, extra={"uses_ecid": False})["rows_extended"] == 1


def test_a_map_can_come_from_a_database_or_from_files(upload, tmp_path, monkeypatch):
    database, file = tmp_path / "warehouse.db", tmp_path / "map.csv"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(database)}))
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE links (thirdPartyId TEXT, pcId TEXT)")
        connection.execute("INSERT INTO links VALUES ('SECRET-1', '2.28_0')")
    file.write_text("id,linked_id\nSECRET-1,SECRET-3\n")
    from_sql = upload(id_map_sql="SELECT * FROM links", sql_conn_id="warehouse", api_version="v1", dry_run=True)
    from_file = upload(id_map_path=str(file), dry_run=True)
    assert from_sql["rows_extended"] == from_file["rows_extended"] == 1


def test_a_linked_id_with_a_comma_writes_to_no_other_profile(sandbox, upload):
    links = [{"id": "SECRET-1", "linked_id": "A,B"}]
    assert upload(id_map=links)["links_dropped"] == {"id_forbidden_character": 1}
    assert [batch.row_count for batch in sandbox.batches] == [1]
    assert sandbox.profile("A") is None
    assert upload(id_map=links, on_risky_value="encode", dry_run=True)["rows_extended"] == 1


def test_a_report_without_a_map_has_no_link_counts(upload):
    assert not {"rows_extended", "links_dropped"} & set(upload(dry_run=True))


def test_two_maps_are_one_too_many(upload):
    with pytest.raises(AirflowFailException, match="id_map, id_map_path"):
        upload(id_map=LINKS, id_map_path="x")


def test_the_repr_of_an_id_map_shows_no_id():
    operator = BulkProfileUpdateOperator(task_id="upload", data=[], id_map=LINKS)
    assert "SECRET" not in repr(operator.id_map)


def test_a_map_of_a_database_that_folds_to_upper_case_is_read(upload):
    assert upload(id_map=[{"ID": "SECRET-1", "LINKED_ID": "X", "LINKED_ID_TYPE": "ThirdPartyID"}])["rows_extended"] == 1
    assert upload(id_map=[{"ID": "SECRET-1", "LINKED_ID": "X"}], dry_run=True)["rows_extended"] == 1


def test_a_map_is_read_in_its_own_format(upload, tmp_path):
    file = tmp_path / "links.dat"
    file.write_text("id|linked_id\nSECRET-1|Zo\xeb\n", encoding="cp1252")
    options = {"delimiter": "|", "encoding": "cp1252"}
    report = upload(id_map_path=str(file), id_map_file_format="csv", id_map_csv_options=options)
    assert report["rows_extended"] == 1
    with pytest.raises(ProfileDataError, match="id_map_csv_options: delimiter"):
        upload(id_map_path=str(file), id_map_csv_options={"delimiter": "||"})
    with pytest.raises(ProfileDataError, match="id_map_file_format='tsv' is not one of"):
        upload(id_map_path=str(file), id_map_file_format="tsv")


@pytest.mark.parametrize("column", ["mbox.id", "MBOX.ID"])
def test_an_mbox_id_column_requires_v1(sandbox, upload, column):
    rows = {"data": [{column: "1.28_0", "tier": "gold"}]}
    for site in ({"uses_ecid": False}, {}):
        for arguments in ({}, {"id_column": column}, {"id_column": column.lower()}):
            with pytest.raises(AirflowFailException, match=r"mbox\.id requires api_version='v1'"):
                upload(extra=site, **rows, **arguments)
        assert upload(extra=site, **rows, api_version="v1")["id_type"] == "pcId"
    assert [batch.key for batch in sandbox.batches] == ["pcId"] * 2


def test_stamps_are_the_start_and_the_id_of_the_run(sandbox, monkeypatch):
    connection = {"conn_type": "adobe_target", "login": "acme", "host": sandbox.url}
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
    derived = DerivedAttributes(constants={"source": "{{ ds }}"}, sent_at="sent_at", run_id="run")
    operator = BulkProfileUpdateOperator(
        task_id="upload", data=[{"thirdPartyId": "U1", "tier": "gold"}], derived=derived, poll_interval=0.05
    )
    ti = SimpleNamespace(
        dag_id="d", task_id="upload", run_id="manual__1", map_index=-1, xcom_push=lambda key, value: None
    )
    started = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
    operator.execute({"ti": ti, "run_id": "manual__1", "dag_run": SimpleNamespace(start_date=started)})
    assert sandbox.profile("U1") == {
        "tier": "gold",
        "source": "{{ ds }}",
        "sent_at": "2026-01-31T12:00:00Z",
        "run": "manual__1",
    }
    assert list(operator.attribute_names) == ["tier", "source", "sent_at", "run"]


def test_a_serialised_dag_has_no_value_of_a_derived_attribute():
    derived = DerivedAttributes(
        constants={"c": "SECRET"}, templates={"t": "SECRET {tier}"}, functions={"f": lambda batch: "SECRET"}
    )
    with DAG("derived", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        BulkProfileUpdateOperator(task_id="plain", data=[], derived=derived)
        BulkProfileUpdateOperator.partial(task_id="mapped", derived=derived).expand(data=[[], []])
    # Airflow 3.2 renamed the class.
    serialization = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
    assert "SECRET" not in json.dumps(serialization.to_dict(dag))


def test_something_else_than_derived_attributes_is_refused():
    with pytest.raises(ProfileDataError, match=r"derived must be DerivedAttributes\(…\), not dict"):
        BulkProfileUpdateOperator(task_id="upload", data=[], derived={"c": "1"})
