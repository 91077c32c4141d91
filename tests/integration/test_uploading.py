"""What happens between the first file and the last, seen from Adobe Target's side and from the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from real_airflow import connection

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.profiles.batch_files import BatchFile
from airflow_provider_adobe_target.profiles.run import ProfileRun
from airflow_provider_adobe_target.sandbox import Answer

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
    files = ProfileRun.files

    def noted(run, batches):
        for number, file in enumerate(files(run, batches)):
            happened.append(("made", number))
            assert isinstance(file, BatchFile)
            yield file

    monkeypatch.setattr(ProfileRun, "files", noted)

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
def test_nothing_is_sent_before_all_rows_are_checked_where_a_rule_may_end_the_task(upload, sandbox, events, rule):
    upload(**rule)
    assert [event for event, _ in events[:4]] == ["made"] * 4
    assert len(sandbox.batches) == 4


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


def test_a_task_that_airflow_2_terminates_leaves_no_file_and_tells_what_was_accepted(terminated, sandbox, tmp_path):
    with terminated("2") as process:
        said = process.stdout.read()
    assert "pushed 2" in said
    assert "terminated" in said
    assert len(sandbox.calls) == 2
    assert os.listdir(tmp_path) == []


def test_a_task_that_airflow_3_kills_after_its_warning_leaves_no_file(terminated, tmp_path):
    with terminated("3") as process:
        time.sleep(0.5)
        process.kill()
    assert os.listdir(tmp_path) == []
