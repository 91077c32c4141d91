from __future__ import annotations

import signal
import subprocess
import sys
import tempfile

import pytest

from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder

HOLD = """
import sys, time
from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder
with TempFolder() as folder:
    (folder / "batch-000000.txt").write_text("batch=thirdPartyId,tier")
    print(folder.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def parent(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def holder():
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as process:
        process.folder = process.stdout.readline().strip()
        yield process
        process.kill()


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_it_is_gone_after_use(parent):
    with TempFolder() as folder:
        assert folder.parent == parent
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "batch-000000.txt").touch()
    assert names(parent) == []


def test_it_is_gone_after_an_error(parent):
    with pytest.raises(LookupError), TempFolder():
        raise LookupError
    assert names(parent) == []


def test_it_can_be_removed_before_its_time(parent):
    scratch = TempFolder()
    with scratch:
        scratch.remove()
        assert names(parent) == []
    assert names(parent) == []


def test_what_a_killed_process_left_is_removed_by_the_next(parent, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert names(parent) == [holder.folder]
    with TempFolder() as folder:
        assert names(parent) == [folder.name]


def test_a_half_removed_folder_is_removed_by_the_next_process(parent):
    half_removed = parent / ".adobe-target-abc.removed"
    half_removed.mkdir()
    (half_removed / "batch-000000.txt").write_text("batch=thirdPartyId,tier")
    with TempFolder() as folder:
        assert names(parent) == [folder.name]


def test_what_another_process_uses_stays(parent, holder):
    with TempFolder() as folder:
        assert set(names(parent)) == {folder.name, holder.folder}
        with TempFolder() as another:
            assert set(names(parent)) == {folder.name, holder.folder, another.name}


def test_what_is_not_known_to_be_an_orphan_stays(parent):
    (parent / "adobe-target-1000").mkdir()
    (parent / "adobe-target-report.txt").touch()
    with TempFolder():
        pass
    assert set(names(parent)) == {"adobe-target-1000", "adobe-target-report.txt"}


def test_without_locks_it_is_used_all_the_same(parent, mocker):
    mocker.patch(
        "airflow_provider_adobe_target.concurrency.temp_folder.lock", side_effect=OSError("no locks available")
    )
    with TempFolder() as folder:
        with TempFolder():
            pass
        assert names(parent) == [folder.name]
        assert names(folder) == []
    assert names(parent) == []
