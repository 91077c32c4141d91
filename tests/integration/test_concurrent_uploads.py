"""What happens between the first file and the last, seen from Adobe Target's side and from the disk."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.client.session import Session
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.profiles.batch_files import BatchFile
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.rejects import Rejects
from airflow_provider_adobe_target.sandbox import Answer
from airflow_provider_adobe_target.version_compat import AirflowFailException
from support.real_airflow import connection

ROWS = [{"thirdPartyId": f"U{number}", "tier": "gold"} for number in range(4)]
CONTEXT = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}


@pytest.fixture
def upload(sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox))

    def run(**arguments):
        operator = BulkProfileUpdateOperator(
            task_id="up", data=ROWS, max_rows_per_file=1, wait_for_completion=False, deferrable=False, **arguments
        )
        return operator.execute(CONTEXT)

    return run


@pytest.fixture
def events(sandbox, monkeypatch):
    """In their order: files that are finished, and submits that have come in."""
    happened: list[tuple[str, int]] = []
    files = ProfilePipeline.write_files

    def noted(pipeline, profiles):
        for number, file in enumerate(files(pipeline, profiles)):
            happened.append(("made", number))
            assert isinstance(file, BatchFile)
            yield file

    monkeypatch.setattr(ProfilePipeline, "write_files", noted)

    def watch(stop: threading.Event) -> None:
        seen = 0
        while not stop.wait(0.005):
            for _ in sandbox.calls[seen:]:
                happened.append(("submitted", seen))
                seen += 1

    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(stop,))
    thread.start()
    yield happened
    stop.set()
    thread.join()


def test_the_next_file_is_made_while_one_is_on_its_way(upload, sandbox, events):
    sandbox.script("submit", *[Answer.real(delay=0.3)] * 4)
    upload(max_concurrent_uploads=1)
    # Two are made before the first answer is there, and no more than one is ahead.
    assert events[0] == ("made", 0)
    assert events.index(("made", 1)) < events.index(("submitted", 1))
    assert events.index(("made", 2)) < events.index(("submitted", 2))
    assert events.index(("submitted", 0)) < events.index(("made", 2))
    assert events.index(("submitted", 1)) < events.index(("made", 3))


@pytest.mark.parametrize(
    "rule", [{"skip_invalid_records": False}, {"max_invalid_pct": 50}, {"on_duplicate_id": "last"}]
)
def test_all_rows_are_checked_first_if_a_rule_may_fail_the_task(upload, sandbox, events, rule):
    upload(**rule)
    assert [event for event, _ in events[:4]] == ["made"] * 4
    assert len(sandbox.batches) == 4


# ------ several at once

NUMBERED = [{"thirdPartyId": f"U{number}", "tier": "x" * (number + 1)} for number in range(30)]
SIZES = [len(f"batch=thirdPartyId,tier\nU{number},") + number + 1 for number in range(30)]


@pytest.fixture
def run_numbered(sandbox, monkeypatch, tmp_path):
    """Upload files that are told by their size; return what was pushed, and the report or the error."""
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def run(files, **arguments):
        pushed = {}
        ti = SimpleNamespace(dag_id="dag", task_id="up", run_id="run", map_index=-1)
        ti.xcom_push = lambda key, value: pushed.update({key: value})
        defaults = {"data": NUMBERED[:files], "max_rows_per_file": 1, "wait_for_completion": False}
        operator = BulkProfileUpdateOperator(task_id="up", deferrable=False, **{**defaults, **arguments})
        try:
            outcome = operator.execute({"ti": ti})
        except Exception as error:
            outcome = error
        assert os.listdir(tmp_path) == []
        assert not [thread for thread in threading.enumerate() if re.match("adobe-target-(files|upload)", thread.name)]
        return [batch["bytes"] for batch in pushed.get("batches", ())], outcome

    return run


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_no_more_files_are_on_disk_than_are_in_progress_and_one(run_numbered, sandbox, monkeypatch, tmp_path, at_once):
    sandbox.script("submit", *[Answer.real(delay=delay) for delay in (0.05, 0.01, 0.1)] * 10)
    counts = []
    submit = Session.submit

    def counted(session, file, *arguments):
        counts.append(len(list(file.path.parent.glob("batch-*"))))
        return submit(session, file, *arguments)

    monkeypatch.setattr(Session, "submit", counted)
    pushed, report = run_numbered(30, max_concurrent_uploads=at_once)
    assert pushed == [batch["bytes"] for batch in report["batches"]] == SIZES
    assert len(counts) == 30
    assert max(counts) <= at_once + 1


def test_batches_are_reported_in_the_order_of_the_files(run_numbered, sandbox):
    sandbox.script("submit", Answer.real(delay=0.6), *[Answer.real()] * 5)
    pushed, report = run_numbered(6)
    assert pushed == SIZES[:6]
    sizes = {batch.batch_id: len(batch.body) for batch in sandbox.batches}
    assert [sizes[batch["batch_id"]] for batch in report["batches"]] == SIZES[:6]


def test_a_refused_file_fails_the_task_and_reports_accepted_files(run_numbered, sandbox):
    refused = Answer(400, "no")
    sandbox.script("submit", Answer.real(), Answer.real(delay=1), refused, *[Answer.real()] * 10)
    pushed, error = run_numbered(12)
    assert isinstance(error, AirflowFailException)
    assert pushed == SIZES[:2]
    assert len(sandbox.calls) == 3


def test_guaranteed_upload_sends_one_at_a_time_whatever_is_set(run_numbered, sandbox):
    pushed, _ = run_numbered(3, guaranteed_upload=True, max_concurrent_uploads=5, poll_interval=0.1)
    assert pushed == SIZES[:3]
    routes = " ".join(call.route for call in sandbox.calls)
    assert re.fullmatch("submit( status)+ submit( status)+ submit", routes)


def test_a_wrong_number_of_uploads_fails_before_any_call(upload, sandbox):
    with pytest.raises(AirflowFailException, match="max_concurrent_uploads must be between 1 and 10"):
        upload(max_concurrent_uploads=0, guaranteed_upload=True)
    assert sandbox.calls == []


# ------ a full disk


@pytest.fixture
def _full_at_file(monkeypatch):
    """Let the disk be full when the sixth batch file is written."""
    opened = Path.open

    def open_one(path, *arguments, **options):
        if path.name == "batch-000005.txt":
            return opened(Path("/dev/full"), "wb")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_one)


@pytest.fixture
def _full_for_ids(monkeypatch):
    """Let the disk be full when the ids are noted."""
    create = pa.ipc.new_file
    monkeypatch.setattr(
        pa.ipc, "new_file", lambda path, schema: create("/dev/full" if "/ids/" in path else path, schema)
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk can be had that is full")
@pytest.mark.usefixtures("_full_at_file")
def test_a_full_disk_is_explained_with_space_and_batches(run_numbered, sandbox, tmp_path):
    sandbox.script("submit", *[Answer.real()] * 4, Answer.real(delay=0.5))
    pushed, error = run_numbered(12, max_bytes_per_file=1_000_000)
    assert type(error) is OSError  # which Airflow retries
    assert error.errno == errno.ENOSPC
    assert pushed == SIZES[:5]
    for part in (str(tmp_path), "3 files of max_bytes_per_file=1,000,000", "TMPDIR", "accepted 5 files with 5 rows"):
        assert part in str(error)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk can be had that is full")
@pytest.mark.usefixtures("_full_for_ids")
def test_a_disk_that_is_full_of_ids_is_explained(run_numbered):
    data = pa.table({"thirdPartyId": [f"U{number:0100}" for number in range(20_000)], "tier": ["gold"] * 20_000})
    pushed, error = run_numbered(0, data=data, max_rows_per_file=50_000)
    assert type(error) is OSError
    assert "TMPDIR" in str(error)
    assert "accepted 0 files" in str(error)
    assert pushed == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk can be had that is full")
@pytest.mark.usefixtures("_full_at_file")
def test_unwritable_rejects_do_not_hide_the_first_error(run_numbered, monkeypatch, tmp_path_factory):
    monkeypatch.setattr(Rejects, "write_parquet", lambda *_: (_ for _ in ()).throw(OSError("no room here either")))
    rows = [{"thirdPartyId": None, "tier": "gold"}, *NUMBERED[:12]]
    _, error = run_numbered(0, data=rows, rejects_path=str(tmp_path_factory.mktemp("rejects")))
    assert "TMPDIR" in str(error)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk can be had that is full")
def test_a_disk_that_is_full_of_rejects_is_explained(run_numbered, monkeypatch, tmp_path_factory):
    write = Rejects.write_parquet

    def write_to_full_disk(rejects, file):
        with open("/dev/full", "wb") as full:
            write(rejects, full)

    monkeypatch.setattr(Rejects, "write_parquet", write_to_full_disk)
    rejects_path = str(tmp_path_factory.mktemp("rejects"))
    rows = [{"thirdPartyId": None, "tier": "gold"}, *NUMBERED[:3]]
    pushed, error = run_numbered(0, data=rows, rejects_path=rejects_path)
    assert error.errno == errno.ENOSPC
    assert rejects_path in str(error)
    assert "accepted 3 files" in str(error)
    assert pushed == SIZES[:3]


# ------ a task that is ended

PROGRAM = """
import signal, sys, tempfile
from types import SimpleNamespace
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

class Terminated(BaseException):
    pass

def terminate(number, frame):
    operator.on_kill()
    if sys.argv[2] == "2":
        raise Terminated  # as Airflow 2 does, where Airflow 3 kills the process five seconds later

signal.signal(signal.SIGTERM, terminate)
tempfile.tempdir = sys.argv[1]
rows = [{"thirdPartyId": f"U{number}", "tier": "gold"} for number in range(4)]
operator = BulkProfileUpdateOperator(
    task_id="up", data=rows, max_rows_per_file=1, max_concurrent_uploads=1, deferrable=False
)
pushed = SimpleNamespace(xcom_push=lambda key, value: print("pushed", len(value)))
try:
    operator.execute({"ti": pushed})
except Terminated:
    print("terminated")
"""


@pytest.fixture
def terminated(sandbox, tmp_path):
    """Send SIGTERM to a task whose second file is on its way."""
    sandbox.script("submit", Answer.real(), Answer.real(delay=1.5), Answer(500), forever=True)
    environment = {
        **os.environ,
        "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": connection(sandbox),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }

    @contextmanager
    def run(generation: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), generation]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 60
            while len(sandbox.calls) < 2 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.2)  # it is waiting for the second answer now
            assert os.listdir(tmp_path)
            process.send_signal(signal.SIGTERM)
            yield process

    return run


def test_a_terminated_task_leaves_no_file_and_logs_its_batches(terminated, sandbox, tmp_path):
    with terminated("2") as process:
        said = process.stdout.read()
    assert "pushed 2" in said
    assert "terminated" in said
    assert len(sandbox.calls) == 2
    assert os.listdir(tmp_path) == []


def test_a_task_that_airflow_3_kills_leaves_no_file(terminated, tmp_path):
    with terminated("3") as process:
        time.sleep(0.5)
        process.kill()
    assert os.listdir(tmp_path) == []
