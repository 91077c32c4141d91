"""One behaviour of all stores: SQLite, PostgreSQL, a local folder and object storage."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_adobe_target.exceptions import ConnectionSettingsError
from airflow_provider_adobe_target.sync_log.folder import FolderLog
from airflow_provider_adobe_target.sync_log.location import open_sync_log
from airflow_provider_adobe_target.sync_log.record import COLUMNS, NESTED_COLUMNS, RunRecord
from airflow_provider_adobe_target.sync_log.store import RunFilter
from airflow_provider_adobe_target.sync_log.table import ddl

EVERYTHING = RunFilter(nested=NESTED_COLUMNS)
START = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=timezone.utc)
RECORD = RunRecord(
    dag_id="loyalty",
    task_id="upload",
    run_id="scheduled__2026-01-31T00:00:00+00:00",
    map_index=-1,
    try_number=1,
    operator="BulkProfileUpdateOperator",
    client_code="acme",
    id_type="thirdPartyId",
    api_version="v2",
    started_at=START,
    rows_read=10,
    rows_sent=3_000_000_000,
    wait_seconds=1.5,
    rejected_by_reason={"missing_id": 2},
    batches=[{"batch_id": "acme-1-1", "status": "submitted", "rows": 7}],
    attributes={"Größe": {"type": "text", "filled": 3, "rows": 7, "max_length": 5}},
    details={"source": "sql"},
)


def test_a_record_is_read_as_it_was_written(sync_log):
    sync_log.write(RECORD)
    assert sync_log.read(EVERYTHING) == [RECORD]


def test_a_second_write_replaces_the_record(sync_log):
    sync_log.write(RECORD)
    sync_log.write(replace(RECORD, outcome="complete", rows_updated=7, finished_at=START + timedelta(minutes=3)))
    [found] = sync_log.read(EVERYTHING)
    assert (found.outcome, found.rows_updated, found.rows_read) == ("complete", 7, 10)
    assert found.finished_at == START + timedelta(minutes=3)


def test_tries_and_mapped_tasks_have_records_of_their_own(sync_log):
    for changes in ({}, {"try_number": 2}, {"map_index": 0}, {"map_index": 1}):
        sync_log.write(replace(RECORD, **changes))
    assert len(sync_log.read(EVERYTHING)) == 4


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        (RunFilter(), ["c", "b", "a"]),
        (RunFilter(since=START + timedelta(days=1)), ["c", "b"]),
        (RunFilter(until=START + timedelta(days=1)), ["a"]),
        (RunFilter(dag_ids=["b", "c", "x"]), ["c", "b"]),
        (RunFilter(dag_ids=[]), []),
        (RunFilter(dag_ids=["b", *(f"other_{n}" for n in range(600))]), ["b"]),
        (RunFilter(dag_ids=["b"], run_id=RECORD.run_id), ["b"]),
        (RunFilter(client_code="globex"), ["c"]),
        (RunFilter(outcomes=["submitted", "failed"]), ["b"]),
        (RunFilter(task_id="upload", map_index=-1, operators=["BatchStatusSensor"]), []),
    ],
)
def test_records_are_selected_and_the_latest_come_first(sync_log, selected, expected):
    for day, dag_id in enumerate("abc"):
        outcome = "submitted" if dag_id == "b" else "complete"
        client_code = "globex" if dag_id == "c" else "acme"
        started_at = START + timedelta(days=day)
        record = replace(RECORD, dag_id=dag_id, started_at=started_at, outcome=outcome, client_code=client_code)
        sync_log.write(record)
    assert [record.dag_id for record in sync_log.read(selected)] == expected


def test_a_limit_keeps_the_latest(sync_log):
    for day in range(3):
        sync_log.write(replace(RECORD, run_id=f"run {day}", started_at=START + timedelta(days=day)))
    assert [record.run_id for record in sync_log.read(RunFilter(), limit=2)] == ["run 2", "run 1"]


def test_old_records_are_deleted(sync_log):
    sync_log.write(replace(RECORD, dag_id="old", started_at=START - timedelta(days=60)))
    sync_log.write(RECORD)
    sync_log.purge(START - timedelta(days=30))
    assert [record.dag_id for record in sync_log.read(RunFilter())] == ["loyalty"]


def test_writers_at_the_same_time_lose_nothing(sync_log):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sync_log.write, [replace(RECORD, map_index=index) for index in range(24)]))
    assert len(sync_log.read(RunFilter())) == 24


def test_names_with_quotes_and_markup_survive(sync_log):
    nasty = replace(RECORD, dag_id="a'b\"c", task_id="<script>alert(1)</script>", run_id="manual; DROP TABLE x--")
    sync_log.write(nasty)
    assert sync_log.read(RunFilter(dag_ids=["a'b\"c"], run_id=nasty.run_id, nested=NESTED_COLUMNS)) == [nasty]


def test_an_empty_log_has_no_records(sync_log):
    assert sync_log.read(RunFilter()) == []


def test_the_printed_statements_create_the_table(table_log):
    for statement in ddl():
        table_log._hook.run(statement)
    table_log.write(RECORD)
    rows = table_log._hook.get_records("SELECT dag_id, rows_sent, batches, started_at FROM adobe_target_runs")
    [(dag_id, rows_sent, batches, started_at)] = rows
    assert (dag_id, rows_sent, str(started_at)) == ("loyalty", 3_000_000_000, "2026-01-31 12:00:00.123456")
    assert json.loads(batches)[0]["batch_id"] == "acme-1-1"


def test_the_columns_are_the_documented_ones(table_log):
    table_log.write(RECORD)
    with closing(table_log._hook.get_conn()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT * FROM adobe_target_runs")
        names = [column[0] for column in cursor.description]
    assert names == list(COLUMNS)


def test_a_database_error_is_not_hidden_by_creating_the_table(table_log):
    table_log.write(RECORD)
    with pytest.raises(Exception, match=r"(?i)not.null"):
        table_log.write(replace(RECORD, try_number=9, operator=None))
    assert len(table_log.read(RunFilter())) == 1


def test_a_file_that_is_being_replaced_does_not_end_the_reading(tmp_path):
    log = open_sync_log(str(tmp_path))
    log.write(RECORD)
    (tmp_path / "2026-01" / "half.json").write_text('{"dag_id": "lo')
    assert log.read(EVERYTHING) == [RECORD]


def test_only_changed_files_are_read_again(tmp_path, monkeypatch):
    log = open_sync_log(str(tmp_path))
    log.write(RECORD)
    log.write(replace(RECORD, map_index=1))
    log.read(RunFilter())
    log.write(replace(RECORD, outcome="complete"))
    read = []
    monkeypatch.setattr(log, "_load", lambda paths, marks: read.extend(paths))
    log.read(RunFilter())
    assert len(read) == 1


def test_a_connection_that_does_not_support_sql_is_refused(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WEB", json.dumps({"conn_type": "http", "host": "example.com"}))
    with pytest.raises(ConnectionSettingsError, match="does not support SQL"):
        open_sync_log("web")


def test_other_databases_have_their_own_types():
    assert "DATETIME(6)" in ddl("mysql")[0]
    assert "DATETIME2" in ddl("mssql")[0]


def _finished_runs(log, count, **changes):
    for number in range(count):
        log.write(replace(RECORD, run_id=f"run {number}", outcome="complete", finished_at=START, **changes))


def _names(folder):
    return sorted(path.name[:4] for path in folder.glob("2026-01/*"))


@pytest.fixture
def seldom(monkeypatch):
    """No compaction starts by itself."""
    monkeypatch.setattr(FolderLog, "_WRITES_PER_COMPACTION", 1 << 40)


def test_records_of_finished_runs_move_to_one_file(tmp_path, seldom):
    log = open_sync_log(str(tmp_path))
    _finished_runs(log, 120)
    for outcome, finished in (("submitted", None), ("complete", datetime.now(timezone.utc))):
        log.write(replace(RECORD, run_id=outcome, outcome=outcome, finished_at=finished))
    before = log.read(EVERYTHING)
    log.compact("2026-01")
    assert len(_names(tmp_path)) == 3  # one for all, and those of the two runs that may change
    assert sorted(log.read(EVERYTHING), key=str) == sorted(before, key=str)
    assert sorted(open_sync_log(str(tmp_path)).read(EVERYTHING), key=str) == sorted(before, key=str)
    assert [found.run_id for found in log.read(RunFilter(outcomes=["submitted"]))] == ["submitted"]
    assert [found.run_id for found in log.read(RunFilter(dag_ids=["loyalty"], run_id="run 7"))] == ["run 7"]


def test_a_record_that_is_written_after_a_compaction_replaces_the_earlier_one(tmp_path, seldom):
    log = open_sync_log(str(tmp_path))
    _finished_runs(log, 120)
    log.compact("2026-01")
    _finished_runs(log, 110, rows_updated=7)
    assert sum(found.rows_updated or 0 for found in log.read(RunFilter())) == 770
    log.compact("2026-01")
    assert _names(tmp_path) == ["all-", "all-"]
    assert sum(found.rows_updated or 0 for found in log.read(RunFilter())) == 770
    assert len(open_sync_log(str(tmp_path)).read(RunFilter())) == 120


def test_a_file_that_is_replaced_during_a_compaction_is_kept(tmp_path, seldom, monkeypatch):
    log = open_sync_log(str(tmp_path))
    _finished_runs(log, 120)
    write = log._files.write

    def write_after_another(path, text):
        write(path, text)
        if "all-" in path:
            _finished_runs(open_sync_log(str(tmp_path)), 1, rows_updated=7)

    monkeypatch.setattr(log._files, "write", write_after_another)
    log.compact("2026-01")
    assert len(_names(tmp_path)) == 2
    assert [found.run_id for found in log.read(RunFilter()) if found.rows_updated == 7] == ["run 0"]


def test_few_files_are_left_as_they_are(tmp_path, seldom):
    log = open_sync_log(str(tmp_path))
    _finished_runs(log, 20)
    log.compact("2026-01")
    assert len(_names(tmp_path)) == 20


def test_tasks_that_end_start_compactions(tmp_path):
    _finished_runs(open_sync_log(str(tmp_path)), 1_000)
    assert len(_names(tmp_path)) < 500
    assert len(open_sync_log(str(tmp_path)).read(RunFilter())) == 1_000


def test_a_local_file_appears_as_a_whole(tmp_path, monkeypatch):
    replaced = []
    monkeypatch.setattr("os.replace", lambda part, target: replaced.append(target))
    open_sync_log(str(tmp_path)).write(RECORD)
    assert len(replaced) == 1
