"""The table: created, opened, refused, compacted and erased."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.ledger import ProfileLedger, maintenance
from airflow_provider_adobe_target.ledger.errors import LedgerBusyError, LedgerConflictError, LedgerRefusedError
from airflow_provider_adobe_target.ledger.maintenance import compact, compact_if_due
from airflow_provider_adobe_target.ledger.table import Control
from support.ledger_simulation import Account

ROWS = {id: {"tier": "gold"} for id in "abcd"}


def table_of(account):
    return account.ledger.table("acme", "thirdPartyId")


def test_the_folder_is_private(account, tmp_path):
    account.run(ROWS)
    assert (tmp_path / "ledger").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("client_code", "id_type", "named"), [("other", "thirdPartyId", "client_code='acme'"), ("acme", "pcId", "id_type=")]
)
def test_a_ledger_of_another_account_or_id_type_is_refused(account, client_code, id_type, named):
    table_of(account)
    with pytest.raises(LedgerRefusedError, match=named):
        account.ledger.table(client_code, id_type)


def test_a_ledger_with_hashes_is_refused_without_hash_ids(tmp_path):
    ProfileLedger(str(tmp_path), hash_ids=True).table("acme", "pcId")
    with pytest.raises(LedgerRefusedError, match="hash_ids=True"):
        ProfileLedger(str(tmp_path)).table("acme", "pcId")


def test_a_newer_format_is_refused(account, tmp_path):
    table_of(account)
    log = tmp_path / "ledger" / "_delta_log" / "00000000000000000000.json"
    log.write_text(log.read_text().replace('\\"format\\": 1', '\\"format\\": 2'))
    with pytest.raises(LedgerRefusedError, match="format 2"):
        table_of(account)


def test_another_delta_table_is_refused(tmp_path):
    from deltalake import write_deltalake

    write_deltalake(str(tmp_path), pa.table({"id": ["a"]}))
    with pytest.raises(LedgerRefusedError, match="not a ledger"):
        ProfileLedger(str(tmp_path)).table("acme", "thirdPartyId")


def test_queries_need_a_ledger(tmp_path):
    with pytest.raises(LedgerRefusedError, match="does not contain a ledger"):
        ProfileLedger(str(tmp_path)).read()


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(LedgerRefusedError, match=r"airflow-provider-adobe-target\[ledger\]"):
        ProfileLedger(str(tmp_path)).table("acme", "thirdPartyId")


def test_importing_the_ledger_imports_nothing_heavy():
    code = (
        "import sys; from airflow_provider_adobe_target.ledger import ProfileLedger; ProfileLedger('x');"
        "print([name for name in ('pandas', 'pyarrow', 'numpy', 'deltalake', 'airflow') if name in sys.modules])"
    )
    import subprocess

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"send": "some"}, "send"),
        ({"on_missing": "delete"}, "on_missing"),
        ({"on_missing": "marker"}, "missing_values"),
        ({"refresh_after_days": 0}, "refresh_after_days"),
        ({"max_missing_pct": 101}, "max_missing_pct"),
        ({"max_rows_to_send": 1.5}, "max_rows_to_send"),
        ({"null_values": {"tier": ""}}, "null_values"),
        ({"null_values": {"tier": "a,b"}}, "comma"),
        ({"missing_values": ["tier"]}, "missing_values"),
        ({"hash_ids": True, "null_values": {"tier": "none"}}, "hash_ids"),
        ({"hash_ids": "yes"}, "hash_ids"),
    ],
)
def test_wrong_arguments_are_refused(arguments, named):
    with pytest.raises(LedgerRefusedError, match=named):
        ProfileLedger("x", **arguments)


def test_of_two_commits_of_one_version_one_conflicts(account):
    table = table_of(account)
    first, second = table.snapshot(), table.snapshot()
    table.commit(first, controls=[Control(0, "writer", {"name": "a", "number": 1, "attributes": []})])
    with pytest.raises(LedgerConflictError):
        table.commit(second, controls=[Control(0, "writer", {"name": "b", "number": 1, "attributes": []})])


def test_conflicts_are_retried_a_bounded_number_of_times(account, monkeypatch):
    from airflow_provider_adobe_target.ledger import table as module

    monkeypatch.setattr(module, "_MAX_TRIES", 3)
    tries = []

    def attempt(snapshot):
        tries.append(snapshot)
        raise LedgerConflictError

    with pytest.raises(LedgerBusyError):
        table_of(account).retry(attempt)
    assert len(tries) == 3


def test_the_log_has_no_statistics_of_ids_and_values(account, tmp_path):
    account.run({"very-personal-id": {"tier": "very-personal-value"}})
    logs = (tmp_path / "ledger" / "_delta_log").iterdir()
    assert not any(b"very-personal" in path.read_bytes() for path in logs)


def test_forgotten_people_are_in_no_file(account, tmp_path):
    account.run({"very-personal-id": {"tier": "very-personal-value"}, "b": {"tier": "tin"}})
    account.run({"very-personal-id": {"tier": "very-personal-other"}, "b": {"tier": "tin"}}, as_of=1)
    assert account.ledger.forget(["very-personal-id", "unknown"]) == 1
    files = [path for path in (tmp_path / "ledger").rglob("*") if path.is_file()]
    assert not any(b"very-personal" in path.read_bytes() for path in files)
    assert account.held() == {"b": {"tier": "tin"}}
    assert account.run({"b": {"tier": "tin"}}, as_of=2).rows_unchanged == 1


@pytest.mark.parametrize("range_rows", [65_536, 3])
def test_compaction_changes_nothing_that_is_held(account, monkeypatch, range_rows):
    monkeypatch.setattr(maintenance, "_RANGE_ROWS", range_rows)
    for number in range(4):
        rows = {f"id-{key}": {"x": str(key % (number + 2)), "y": "1" if number else None} for key in range(40)}
        account.run(rows, ["dag.a", "dag.b"][number % 2], as_of=number)
    before = {id: account.ledger.get(id) for id in ("id-1", "id-7", "id-39")}
    held = account.held()
    for _ in range(2):
        compact(table_of(account))
        assert account.held() == held == account.target.profiles
    assert {id: account.ledger.get(id) for id in before} == before
    assert account.run(rows, "dag.b", as_of=9).rows_unchanged == 40


def test_many_runs_do_not_make_the_next_one_slower(account, tmp_path):
    rows = {f"id-{key}": {"x": "1"} for key in range(20)}
    files = []
    for number in range(30):
        account.run({**rows, "id-0": {"x": str(number)}}, as_of=number)
        files.append(len(table_of(account).snapshot().table.file_uris()))
    assert max(files[20:]) <= max(files[:20]) + 1 < 50
    assert account.held() == account.target.profiles


def test_a_conflict_postpones_compaction(account, monkeypatch, caplog):
    account.run(ROWS)
    monkeypatch.setattr(maintenance, "_MAX_FILES", 0)

    def busy(table):
        raise LedgerBusyError("busy")

    monkeypatch.setattr(maintenance, "compact", busy)
    compact_if_due(table_of(account))
    assert "not compacted" in caplog.text


def test_transactions_of_claims_expire_and_that_of_the_ledger_does_not(account, monkeypatch):
    year = 366 * 86_400
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now - year)
        account.run(ROWS)
    table = table_of(account)
    seq = table.snapshot().seq
    table.snapshot().table.create_checkpoint()
    account.run({id: {"tier": "tin"} for id in "abcd"}, as_of=1)
    checkpoint = next((Path(table.location.uri) / "_delta_log").glob("*.checkpoint.parquet"))
    transactions = pq.read_table(checkpoint)["txn"].drop_null().to_pylist()
    assert [transaction["appId"] for transaction in transactions] == ["ledger"]
    assert seq == 2
    assert table.snapshot().seq == 4
    assert account.held() == account.target.profiles


def test_vacuum_removes_old_versions(account, tmp_path):
    for number in range(3):
        account.run({id: {"tier": str(number)} for id in "abcd"}, as_of=number)
    account.ledger.vacuum(keep_days=0)
    files = {str(path) for path in (tmp_path / "ledger").glob("bucket*/*.parquet")}
    assert files == {path.removeprefix("file://") for path in table_of(account).snapshot().table.file_uris()}
    assert account.held() == account.target.profiles


def test_profiles_are_read_with_their_columns(account):
    account.run(ROWS)
    assert account.ledger.read(["id", "batch_id"]).read_all().sort_by("id").to_pylist()[0] == {
        "id": "a",
        "batch_id": "acme-0",
    }
    with pytest.raises(LedgerRefusedError, match="columns"):
        account.ledger.read(["tier"])


def test_duckdb_reads_the_table(account, tmp_path):
    import duckdb

    account.run(ROWS)
    account.run({"b": {"tier": "tin"}}, as_of=1)
    page = Path(__file__).parents[2] / "docs" / "explanation" / "ledger.md"
    query = page.read_text().partition("```sql\n")[2].partition("```")[0]
    ledger = table_of(account).snapshot().table.to_pyarrow_dataset()  # delta_scan() needs an extension
    found = duckdb.sql(query.replace("delta_scan('/data/adobe_target/ledger')", "ledger"))
    assert ledger is not None
    assert sorted(row[:2] for row in found.fetchall()) == [("a", "gold"), ("b", "tin"), ("c", "gold"), ("d", "gold")]
    assert json.loads(table_of(account).snapshot().table.metadata().description)["client_code"] == "acme"


def test_commits_leave_no_temporary_files(account, tmp_path):
    account.run(ROWS)
    assert not [name for _, _, names in os.walk(tmp_path / "ledger") for name in names if name.startswith(".")]
    assert Path(tempfile.gettempdir()).exists()


def test_ids_with_equal_hashes_are_kept_apart(tmp_path, monkeypatch):
    import numpy as np

    from airflow_provider_adobe_target.ledger import planner, queries

    for module in (planner, queries):
        monkeypatch.setattr(module, "hash_ids", lambda ids: np.full(len(ids), 7, np.int64))
    account = Account(tmp_path / "ledger")
    account.run({"a": {"x": "1"}, "b": {"x": "2"}})
    account.run({"a": {"x": "1"}, "b": {"x": "3"}}, as_of=1)
    compact(table_of(account))
    assert account.run({"a": {"x": "1"}, "b": {"x": "3"}}, as_of=2).rows_unchanged == 2
    assert [account.ledger.get(id)["attributes"] for id in "ab"] == [{"x": "1"}, {"x": "3"}]
