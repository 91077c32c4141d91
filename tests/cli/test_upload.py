"""``adobe-target plan`` and ``adobe-target send``."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_provider_adobe_target.sandbox import Sandbox
from airflow_provider_adobe_target.sync_log.location import open_sync_log
from support.sample_runs import record

TABLE = {"thirdPartyId": ["U1", "U2", "", "U2"], "tier": ["gold", "silver", "x", "dup"], "score": [1, 2, 3, 4]}


@pytest.fixture
def rows(tmp_path):
    """Four rows, of which two are sent, as files and tables."""
    parquet.write_table(pa.table(TABLE), tmp_path / "rows.parquet")
    lines = list(zip(*TABLE.values(), strict=True))
    (tmp_path / "rows.csv").write_text("\n".join(",".join(map(str, line)) for line in [list(TABLE), *lines]))
    (tmp_path / "semicolon.txt").write_bytes("thirdPartyId;tier\nU1;Zürich\n".encode("cp1252"))
    objects = (dict(zip(TABLE, line, strict=True)) for line in lines)
    (tmp_path / "rows.ndjson").write_text("\n".join(map(json.dumps, objects)))
    with closing(duckdb.connect(str(tmp_path / "rows.duckdb"))) as database:
        database.execute(
            "CREATE TABLE rows AS SELECT * FROM read_csv(?, all_varchar=true)", [str(tmp_path / "rows.csv")]
        )
    with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as database:
        database.execute("CREATE TABLE rows (thirdPartyId TEXT, tier TEXT, score INTEGER)")
        database.executemany("INSERT INTO rows VALUES (?, ?, ?)", lines)
        database.commit()
    (tmp_path / "rows.sql").write_text("SELECT * FROM rows")
    return tmp_path


def counts(report):
    assert report["rows_read"] == sum(report[f"rows_{kind}"] for kind in ("sent", "rejected", "empty", "unchanged"))
    return report["rows_read"], report["rows_sent"], report["rejected_by_reason"]


EXPECTED = (4, 2, {"missing_id": 1, "duplicate_id": 1})


@pytest.mark.parametrize(
    "source",
    [
        ["rows.parquet"],
        ["rows.csv"],
        ["rows.ndjson"],
        ["rows.parq*"],
        ["--sql", "SELECT * FROM rows", "--sql-url", "duckdb:///rows.duckdb"],
        ["--sql", "SELECT * FROM rows", "--sql-url", "sqlite:///rows.sqlite"],
        ["--sql", "rows.sql", "--sql-url", "sqlite:///rows.sqlite"],
    ],
    ids=lambda source: source[-1],
)
def test_plan_reports_what_would_be_sent(call, sandbox, rows, source):
    calls = len(sandbox.calls)
    report = call("plan", "--json", *source, cwd=rows, code=0).json
    assert counts(report) == EXPECTED
    assert report["dry_run"] is True
    assert [(batch["status"], batch["rows"]) for batch in report["batches"]] == [("dry_run", 2)]
    assert len(sandbox.calls) == calls


def test_plan_needs_no_connection(call, environment, rows):
    environment.delenv("ADOBE_TARGET_CLIENT_CODE")
    report = call("plan", "--json", "rows.csv", cwd=rows, code=0).json
    assert report["client_code"] is None
    assert counts(report) == EXPECTED


def test_plan_has_which_attributes_the_account_was_sent_before(call, rows, tmp_path):
    log = open_sync_log(str(tmp_path / "log"))
    sent = {"type": "text", "filled": 1, "rows": 1, "max_length": 4}
    log.write(record(attributes={"tier": sent, "region": sent}))
    log.write(record(run_id="other", client_code="other", attributes={"score": sent}))
    arguments = ("plan", "rows.csv", "--sync-log", tmp_path / "log")
    report = call(*arguments, "--json", cwd=rows, code=0).json
    found = {attribute["name"]: attribute["sent_before"] for attribute in report["plan"]["attributes"]}
    assert found == {"tier": True, "score": False}
    lines = [line for line in call(*arguments, cwd=rows, code=0).out.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[-1] for line in lines[2:]] == ["yes |", "**no** |"]


def test_plan_prints_counts_without_values(call, rows):
    outcome = call("plan", "rows.csv", cwd=rows, code=0)
    table = dict(line.rsplit(None, 1) for line in outcome.out.splitlines() if line.startswith("  rows"))
    assert {name.strip(): int(count) for name, count in table.items()} == {
        "rows read": 4,
        "rows to send": 2,
        "rows rejected": 2,
        "rows empty": 0,
        "rows unchanged": 0,
    }
    assert "missing_id" in outcome.out
    assert not {"U1", "gold", "silver"} & set(outcome.out.split())


def test_send_writes_the_profiles(run, sandbox, rows):
    report = run("send", "--json", "rows.parquet", "--wait", "--poll-interval", "0.1", cwd=rows, code=0).json
    assert counts(report) == EXPECTED
    assert [(batch["status"], batch["successful_updates"]) for batch in report["batches"]] == [("complete", 2)]
    assert sandbox.profile("U1") == {"tier": "gold", "score": "1"}
    assert sandbox.profile("U2") == {"tier": "silver", "score": "2"}


def test_a_constant_is_an_attribute_of_all_rows(call, sandbox, rows):
    options = ["--attributes", "tier", "--constant", "source=crm", "--constant", "a=b=c"]
    call("send", "rows.csv", *options, cwd=rows, code=0)
    assert sandbox.profile("U1") == {"tier": "gold", "source": "crm", "a": "b=c"}
    for wrong in (["--constant", "source"], ["--constant", "=x"], ["--constant", "a=1", "--constant", "a=2"]):
        assert "NAME=VALUE" in call("plan", "rows.csv", *wrong, cwd=rows, code=2).err


def test_send_without_wait_prints_the_command_for_the_status(call, rows):
    outcome = call("send", "rows.csv", cwd=rows, code=0)
    [line] = [line for line in outcome.out.splitlines() if "adobe-target status" in line]
    url = line.split("'")[1]
    assert call("status", url, "--json", code=0).json["status"] == "complete"


def test_options_of_rows_and_files_are_used(call, sandbox, rows):
    options = ["--delimiter", ";", "--encoding", "cp1252", "--file-format", "csv", "--attributes", "tier=city"]
    call("send", "semicolon.txt", *options, cwd=rows, code=0)
    assert sandbox.profile("U1")["city"] == "Zürich"
    report = call("plan", "--json", "rows.csv", "--attributes", "tier", "--max-rows-per-file", 1, cwd=rows, code=0).json
    assert [batch["rows"] for batch in report["batches"]] == [1, 1]


def test_rejects_path_gets_the_invalid_rows(call, rows):
    report = call("send", "--json", "rows.csv", "--rejects-path", "rejects", cwd=rows, code=0).json
    table = parquet.read_table(rows / report["rejects_path"])
    assert table["reject_reason"].to_pylist() == ["missing_id", "duplicate_id"]
    assert table["row_number"].to_pylist() == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rows.csv", "--fail-on-invalid"], "missing_id"),
        (["rows.csv", "--max-invalid-pct", "10"], "max_invalid_pct"),
        (["rows.csv", "--on-duplicate-id", "fail"], "on_duplicate_id"),
        (["rows.csv", "--id-column", "customer"], "customer"),
        (["rows.csv", "--attributes", "nothing"], "nothing"),
        (["empty.csv", "--on-no-rows", "fail"], "no rows"),
        (["*.orc"], "No file matches"),
        (["--sql", "SELECT * FROM nothing", "--sql-url", "sqlite:///rows.sqlite"], "statement"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("command", ["send", "plan"])
def test_invalid_rows_end_with_exit_code_1_and_nothing_sent(call, sandbox, rows, command, arguments, message):
    (rows / "empty.csv").write_text("thirdPartyId,tier\n")
    called = len(sandbox.calls)
    outcome = call(command, "--json", *arguments, cwd=rows, code=1)
    assert message in outcome.json["error"]
    assert (outcome.json["rows_sent"], outcome.json["batches"]) == (0, [])
    assert outcome.err.startswith("Error: ")
    assert not any(call.route == "submit" for call in sandbox.calls[called:])
    text = call(command, *arguments, code=1)
    assert (text.out, message in text.err) == ("", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give either files or --sql"),
        (["rows.csv", "--sql", "SELECT 1"], "Give either files or --sql"),
        (["--sql", "SELECT 1"], "requires either --sql-conn-id or --sql-url"),
        (["rows.csv", "--sql-url", "sqlite:///rows.sqlite"], "require --sql"),
        (["missing.csv"], "There is no file 'missing.csv'"),
        (["--sql", "SELECT 1", "--sql-url", "sqlite:///missing.sqlite"], "There is no file"),
        (["--sql", "SELECT 1", "--sql-url", "bogus://user:hunter2@host/x"], "not a URL that SQLAlchemy supports"),
        (["rows.csv", "--attributes", "a,,b"], "--attributes must be"),
        (["rows.csv", "--api-version", "v3"], "v3"),
        (["rows.csv", "--max-rows-per-file", "500000"], "--max-rows-per-file"),
        (["rows.csv", "--id-type", "pcId"], "pcId with api_version='v2'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("command", ["send", "plan"])
def test_wrong_arguments_end_with_exit_code_2(call, sandbox, rows, command, arguments, message):
    calls = len(sandbox.calls)
    outcome = call(command, "--json", *arguments, cwd=rows, code=2)
    assert message in outcome.json["error"]
    assert "hunter2" not in outcome.out + outcome.err
    assert len(sandbox.calls) == calls
    assert not (rows / "missing.sqlite").exists()


def test_a_missing_connection_ends_with_exit_code_2(run, environment, rows):
    environment.delenv("ADOBE_TARGET_CLIENT_CODE")
    outcome = run("send", "rows.csv", cwd=rows, code=2)
    assert "--conn-id" in outcome.err
    assert "ADOBE_TARGET_CLIENT_CODE" in outcome.err


def test_a_database_that_cannot_be_reached_is_an_outcome(call, environment):
    environment.setenv("ADOBE_TARGET_SQL_URL", "postgresql+psycopg://user:hunter2@127.0.0.1:1/x")
    outcome = call("send", "--json", "--sql", "SELECT 1", code=1)
    assert "The database cannot be opened" in outcome.json["error"]
    assert "hunter2" not in outcome.out + outcome.err


def test_a_failed_batch_ends_with_exit_code_1(call, environment, rows):
    with Sandbox(token="secret-token", processing_seconds=0, final_status="stuck") as sandbox:
        environment.setenv("ADOBE_TARGET_HOST", sandbox.url)
        outcome = call("send", "--json", "rows.csv", "--wait", "--poll-interval", "0.1", cwd=rows, code=1)
    assert "is stuck" in outcome.json["error"]
    assert outcome.json["rows_sent"] == 2
    assert [batch["status"] for batch in outcome.json["batches"]] == ["stuck"]


def test_a_wrong_token_ends_with_exit_code_1(call, environment, rows):
    environment.setenv("ADOBE_TARGET_TOKEN", "another-token")
    outcome = call("send", "--json", "rows.csv", cwd=rows, code=1)
    assert outcome.json["error_type"] == "TokenRefusedError"
    assert "another-token" not in outcome.out + outcome.err


@pytest.fixture
def slow_sandbox(environment):
    """A sandbox that processes a batch for an hour."""
    with Sandbox(token="secret-token", processing_seconds=3600, calls_per_minute=None) as sandbox:
        environment.setenv("ADOBE_TARGET_HOST", sandbox.url)
        yield sandbox


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_the_wait_reports_what_was_sent(start, slow_sandbox, rows, signal_number, code):
    process = start("send", "rows.csv", "--json", "--wait", "--max-rows-per-file", 1, cwd=rows)
    wait_until(lambda: len(slow_sandbox.batches) == 2)
    time.sleep(1)
    process.send_signal(signal_number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    result = json.loads(out)
    assert (result["error"], result["rows_sent"], result["files_unknown"]) == ("Interrupted.", 2, 0)
    assert {batch["batch_id"] for batch in result["batches"]} == {batch.batch_id for batch in slow_sandbox.batches}
    assert "Adobe Target accepted 2 files with 2 rows." in err
    assert err.count("adobe-target status '") == 2


def test_ctrl_c_while_sending_reports_accepted_and_unknown_files(start, slow_sandbox, tmp_path):
    """With ``--guaranteed-upload``, the second file waits for the first one."""
    (tmp_path / "many.csv").write_text("thirdPartyId,tier\n" + "".join(f"U{n},gold\n" for n in range(30)))
    process = start("send", "many.csv", "--max-rows-per-file", 10, "--guaranteed-upload", cwd=tmp_path)
    wait_until(lambda: len(slow_sandbox.batches) == 1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "Adobe Target accepted 1 files with 10 rows." in err
    assert len(slow_sandbox.batches) == 1
