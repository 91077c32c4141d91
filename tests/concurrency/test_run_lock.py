from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from airflow_provider_adobe_target.client.settings import TargetSettings, account_digest
from airflow_provider_adobe_target.concurrency import file_lock
from airflow_provider_adobe_target.concurrency.clock import SystemClock
from airflow_provider_adobe_target.concurrency.run_lock import run_lock

SETTINGS = TargetSettings.from_fields("acme", None, None, None, {})


class WaitedError(Exception):
    pass


class ImpatientClock(SystemClock):
    """Raise instead of waiting."""

    def sleep(self, seconds):
        raise WaitedError


class QuickClock(SystemClock):
    def sleep(self, seconds):
        super().sleep(0.01)


def turn(clock=None, settings=SETTINGS, **names):
    names = {"dag_id": "loyalty", "task_id": "upload", "run_id": "monday", **names}
    return run_lock(account_digest(settings), **names, clock=clock or ImpatientClock())


def test_two_runs_of_a_task_do_not_overlap():
    with turn(), pytest.raises(WaitedError), turn(run_id="tuesday"):
        pass
    with turn(run_id="tuesday"):
        pass


def test_tasks_of_one_run_share_the_lock_until_the_last_ends():
    with turn():
        with turn():
            pass
        with turn(), pytest.raises(WaitedError), turn(run_id="tuesday"):
            pass
    with turn(run_id="tuesday"), turn(run_id="tuesday"):
        pass


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "other"},
        {"task_id": "other"},
        {"settings": TargetSettings.from_fields("other", None, None, None, {})},
    ],
    ids=["dag", "task", "account"],
)
def test_runs_of_another_task_or_account_do_not_wait(other):
    with turn(), turn(run_id="tuesday", **other):
        pass


def test_a_waiting_run_logs_once_and_names_the_setting(caplog):
    with turn():
        thread = threading.Thread(target=lambda: turn(QuickClock(), run_id="tuesday").__enter__())
        thread.start()
        time.sleep(0.3)
        assert thread.is_alive()
    thread.join(10)
    [record] = caplog.records
    assert "upload of DAG loyalty" in record.getMessage()
    assert "max_active_runs=1" in record.getMessage()


def test_an_error_releases_the_lock():
    with pytest.raises(ZeroDivisionError), turn():
        1 / 0  # noqa: B018
    with turn(run_id="tuesday"):
        pass


def test_without_a_usable_folder_no_run_waits(shared_folder, caplog):
    shared_folder.write_text("a file")
    with turn(), turn(run_id="tuesday"):
        pass
    assert "max_active_runs=1" in caplog.text


def test_the_files_contain_no_names(shared_folder):
    with turn():
        text = "".join(file.name + file.read_text() for file in shared_folder.iterdir())
    assert not any(name in text for name in ("loyalty", "upload", "monday", "acme"))


PROCESS = """
import os, sys, time
from airflow_provider_adobe_target.concurrency.clock import SystemClock
from airflow_provider_adobe_target.client.settings import TargetSettings, account_digest
from airflow_provider_adobe_target.concurrency.run_lock import run_lock

class QuickClock(SystemClock):
    def sleep(self, seconds):
        super().sleep(0.02)

run_id, times, log = sys.argv[1], int(sys.argv[2]), os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
settings = TargetSettings.from_fields("acme", None, None, None, {})
for _ in range(times):
    with run_lock(account_digest(settings), dag_id="loyalty", task_id="upload", run_id=run_id, clock=QuickClock()):
        os.write(log, f"{run_id} begins\\n".encode())
        time.sleep(0.03 if times > 1 else 60)
        os.write(log, f"{run_id} ends\\n".encode())
"""


def process(run_id, times, log):
    return subprocess.Popen([sys.executable, "-c", PROCESS, run_id, str(times), str(log)], stderr=subprocess.DEVNULL)


def test_three_runs_of_two_tasks_each_run_one_after_another(tmp_path):
    log = tmp_path / "log"
    processes = [process(run_id, 10, log) for run_id in ("monday", "tuesday", "wednesday") for _ in range(2)]
    assert [one.wait(60) for one in processes] == [0] * 6
    inside = []
    for run_id, event in map(str.split, log.read_text().splitlines()):
        (inside.append if event == "begins" else inside.remove)(run_id)
        assert len(set(inside)) <= 1
    assert inside == []


def test_a_killed_process_releases_the_lock(tmp_path):
    log = tmp_path / "log"
    with process("monday", 1, log) as holder:
        try:
            while not (log.exists() and log.read_text()):
                time.sleep(0.01)
            with pytest.raises(WaitedError), turn(run_id="tuesday"):
                pass
        finally:
            holder.kill()
    with turn(run_id="tuesday"):
        pass


def test_a_lock_that_others_hold_for_a_moment_is_no_reason_to_warn(shared_folder, caplog):
    with turn():
        pass
    with file_lock.locked(shared_folder / "turns"), pytest.raises(WaitedError), turn():
        pass
    assert caplog.records == []
