"""``adobe-target send`` with ``--checkpoint`` and ``--ledger``, and ``plan`` with ``--ledger``."""

from __future__ import annotations

import json
import logging

import pytest

from airflow_provider_adobe_target.cli.progress import UploadProgress
from airflow_provider_adobe_target.cli.sent_files import SentFiles
from airflow_provider_adobe_target.sandbox import Sandbox

WAIT = ["--wait", "--poll-interval", "0.1"]


@pytest.fixture
def rows(tmp_path):
    """Three rows in ``rows.csv``."""
    (tmp_path / "rows.csv").write_text("thirdPartyId,tier\nU1,gold\nU2,silver\nU3,tin\n")
    return tmp_path


@pytest.fixture
def target(environment):
    """A sandbox without earlier batches."""
    with Sandbox(token="secret-token", processing_seconds=0, calls_per_minute=None) as sandbox:
        environment.setenv("ADOBE_TARGET_HOST", sandbox.url)
        yield sandbox


def test_a_checkpoint_sends_only_files_that_are_missing(call, target, rows):
    send = ["send", "rows.csv", "--json", "--max-rows-per-file", 1, "--checkpoint", "sent.json"]
    first = call(*send, cwd=rows, code=0).json
    content = json.loads((rows / "sent.json").read_text())
    del content["files"]["1"]  # as if the command had ended before this file
    (rows / "sent.json").write_text(json.dumps(content))
    second = call(*send, *WAIT, cwd=rows, code=0).json
    assert len(target.batches) == 4
    ids = [[batch["batch_id"] for batch in report["batches"]] for report in (first, second)]
    assert [number for number in range(3) if ids[0][number] != ids[1][number]] == [1]
    assert call(*send, *WAIT, cwd=rows, code=0).json["batches"] == second["batches"]
    assert len(target.batches) == 4
    assert "gold" not in (rows / "sent.json").read_text()


def test_a_checkpoint_of_another_source_ends_with_exit_code_2(call, target, rows):
    call("send", "rows.csv", "--checkpoint", "sent.json", cwd=rows, code=0)
    (rows / "other.csv").write_text("thirdPartyId,tier\nU1,gold\n")
    outcome = call("send", "other.csv", "--json", "--checkpoint", "sent.json", code=2)
    assert "not a checkpoint of this source" in outcome.json["error"]
    (rows / "text.json").write_text("no JSON")
    assert "not a checkpoint" in call("send", "rows.csv", "--checkpoint", "text.json", code=2).err
    assert len(target.batches) == 1


def test_a_checkpoint_file_that_fails_does_not_end_the_upload(caplog):
    class FullDisk:
        def read(self):
            return {}

        def write(self, entries, changed):
            raise OSError("No space left on device")

    sent = SentFiles(UploadProgress(None, sends=True, shown=False))
    sent.store = FullDisk()
    entry = {"status": "submitted", "status_url": "http://127.0.0.1/status?batchId=1", "rows": 5}
    with caplog.at_level(logging.WARNING):
        sent.write({0: entry}, 0)
    sent.write({0: entry, 1: entry}, 1)
    assert sum(batch.rows for batch in sent.accepted) == 10
    assert caplog.text.count("No space left on device") == 1


def test_a_ledger_sends_only_changed_rows(call, target, rows):
    ledger = ["--ledger", "ledger", "--json"]
    assert call("send", "rows.csv", *ledger, *WAIT, cwd=rows, code=0).json["rows_sent"] == 3
    (rows / "rows.csv").write_text("thirdPartyId,tier\nU1,gold\nU2,platinum\nU3,tin\n")
    planned = call("plan", "rows.csv", *ledger, code=0).json
    assert (planned["rows_sent"], planned["rows_unchanged"]) == (1, 2)
    assert len(target.batches) == 1
    assert call("send", "rows.csv", *ledger, *WAIT, code=0).json["rows_sent"] == 1
    assert target.profile("U2") == {"tier": "platinum"}
    shown = call("ledger", "show", "ledger", "--json", code=0).json
    assert shown["profiles_by_writer"] == {"adobe-target": 3}


def test_batches_that_were_not_awaited_are_settled_by_the_next_run(call, target, rows):
    call("send", "rows.csv", "--ledger", "ledger", cwd=rows, code=0)
    assert call("ledger", "show", "ledger", "--json", code=0).json["profiles"] == 0
    report = call("send", "rows.csv", "--ledger", "ledger", "--json", *WAIT, code=0).json
    assert (report["rows_sent"], report["rows_unchanged"]) == (0, 3)
    assert len(target.batches) == 1


def test_plan_with_a_ledger_needs_no_connection_and_changes_nothing(call, environment, target, rows):
    call("send", "rows.csv", "--ledger", "ledger", *WAIT, cwd=rows, code=0)
    environment.delenv("ADOBE_TARGET_CLIENT_CODE")
    before = sorted(path.name for path in (rows / "ledger").rglob("*"))
    assert call("plan", "rows.csv", "--ledger", "ledger", "--json", code=0).json["rows_unchanged"] == 3
    assert sorted(path.name for path in (rows / "ledger").rglob("*")) == before


def test_plan_does_not_create_a_ledger(call, rows):
    outcome = call("plan", "rows.csv", "--ledger", "nothing", "--json", cwd=rows, code=1)
    assert "ledger" in outcome.json["error"]
    assert not (rows / "nothing").exists()


@pytest.mark.parametrize("command", ["plan", "send"])
def test_a_ledger_of_another_account_is_refused(call, environment, target, rows, command):
    call("send", "rows.csv", "--ledger", "ledger", *WAIT, cwd=rows, code=0)
    environment.setenv("ADOBE_TARGET_CLIENT_CODE", "other")
    outcome = call(command, "rows.csv", "--ledger", "ledger", "--json", code=1)
    assert outcome.json["error_type"] == "LedgerRefusedError"
    assert "acme" in outcome.json["error"]
    assert outcome.json["rows_sent"] == 0
    assert len(target.batches) == 1


def test_a_plan_with_a_ledger_has_the_numbers_of_the_run_that_follows(call, target, rows):
    call("send", "rows.csv", "--ledger", "ledger", *WAIT, cwd=rows, code=0)
    (rows / "rows.csv").write_text("thirdPartyId,tier\nU1,gold\nU2,platinum\nU4,tin\nU5,\n,x\nU1,y\na/b,z\n")
    planned = call("plan", "rows.csv", "--ledger", "ledger", "--json", code=0).json
    assert planned["dry_run"] is True
    numbers = ("rows_read", "rows_sent", "rows_unchanged", "rows_empty")
    assert [planned[name] for name in numbers] == [7, 2, 1, 1]
    assert planned["rejected_by_reason"] == {"missing_id": 1, "duplicate_id": 1, "id_forbidden_character": 1}
    assert planned["rows_sent_because"] == {"new": 1, "changed": 1, "refreshed": 0, "forced": 0}
    assert [(batch["status"], batch["rows"]) for batch in planned["batches"]] == [("dry_run", 2)]
    text = call("plan", "rows.csv", "--ledger", "ledger", code=0).out
    counts = dict(line.rsplit(None, 1) for line in text.splitlines() if line.startswith("  rows"))
    assert {name.strip(): int(count) for name, count in counts.items()} == {
        "rows read": 7,
        "rows to send": 2,
        "rows rejected": 3,
        "rows empty": 1,
        "rows unchanged": 1,
    }
    assert not {"U1", "platinum"} & set(text.split())
    assert len(target.batches) == 1
    sent = call("send", "rows.csv", "--ledger", "ledger", "--json", *WAIT, code=0).json
    same = (*numbers, "rejected_by_reason", "rows_sent_because")
    assert {name: sent[name] for name in same} == {name: planned[name] for name in same}
    assert (sent["batches"][0]["bytes"], sent["batches"][0]["sha256"]) == tuple(
        planned["batches"][0][name] for name in ("bytes", "sha256")
    )


def test_a_checkpoint_and_a_ledger_end_with_exit_code_2(call, rows):
    outcome = call("send", "rows.csv", "--ledger", "a", "--checkpoint", "b", "--json", cwd=rows, code=2)
    assert "--checkpoint cannot be combined with --ledger" in outcome.json["error"]
