from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2.11
    from airflow.io.store import attach

from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.load.checkpoint import Checkpoint, SourceChangedError
from airflow_provider_adobe_target.load.checkpoint_store import CheckpointFile, StateStore, checkpoint_store
from airflow_provider_adobe_target.profiles.batch_files import BatchFile

OWNER = {"dag_id": "dag", "run_id": "run 1", "task_id": "up", "map_index": -1}


class TaskState(dict):
    """What Airflow 3.3 hands to a task: values go through JSON."""

    def set(self, key, value):
        assert value is not None
        self[key] = json.dumps(value)

    def get(self, key, default=None):
        return json.loads(self[key]) if key in self else default

    def delete(self, key):
        del self[key]


@pytest.fixture(params=["file", "state store"])
def store(request, tmp_path):
    """Open the same place again and again."""
    state, path = TaskState(), tmp_path / "new" / "receipts.json"
    return (lambda: StateStore(state)) if request.param == "state store" else lambda: CheckpointFile(str(path), OWNER)


def file(number, content="x"):
    return BatchFile(Path("unused"), 5, 50, f"checksum {content} of {number}")


def accepted(number, content="x"):
    url = f"https://acme.tt.omtrdc.net/m2/acme/profile/batchStatus?batchId=b{number}"
    return Batch(
        batch_id=f"b{number}",
        status_url=url,
        rows=5,
        bytes=50,
        sha256=f"checksum {content} of {number}",
        submitted_at="2026-01-01T00:00:00Z",
    )


def send(receipts, *numbers):
    for number in numbers:
        assert receipts.start(number, file(number)) is None
        receipts.accept(number, accepted(number))


def test_the_next_try_finds_what_was_accepted_and_nothing_else(store):
    send(Checkpoint(store(), "acme v2"), 0, 1)
    receipts = Checkpoint(store(), "acme v2")
    assert receipts.accepted == [accepted(0), accepted(1)]
    assert [receipts.start(number, file(number)) for number in range(3)] == [accepted(0), accepted(1), None]


def test_a_file_that_was_on_its_way_is_sent_again_and_says_so(store):
    Checkpoint(store(), "acme v2").start(0, file(0))
    receipts = Checkpoint(store(), "acme v2")
    assert receipts.start(0, file(0)) is None
    assert receipts.accept(0, accepted(0)).to_dict()["resubmitted_after"] == ["lost_answer"]


def test_a_file_that_did_not_arrive_counts_as_not_sent(store):
    receipts = Checkpoint(store(), "acme v2")
    receipts.start(0, file(0))
    receipts.discard(0)
    receipts = Checkpoint(store(), "acme v2")
    assert receipts.start(0, file(0)) is None
    assert receipts.accept(0, accepted(0)) == accepted(0)


def test_the_status_of_a_batch_is_kept(store):
    receipts = Checkpoint(store(), "acme v2")
    send(receipts, 0)
    complete = Batch.from_dict({**accepted(0).to_dict(), "status": "complete", "batch_size": 5})
    receipts.complete({0: complete})
    assert Checkpoint(store(), "acme v2").start(0, file(0)) == complete


def test_a_batch_that_is_sent_again_keeps_its_reasons(store):
    receipts = Checkpoint(store(), "acme v2")
    send(receipts, 0)
    receipts.reset(0, "stuck")
    receipts = Checkpoint(store(), "acme v2")
    assert receipts.start(0, file(0)) is None
    assert receipts.accept(0, accepted(0)).resubmitted_after == ("stuck",)
    receipts.reset(0, "torn")
    assert receipts.start(0, file(0)) is None
    assert receipts.accept(0, accepted(0)).resubmitted_after == ("torn", "stuck")


def test_a_changed_file_is_noticed(store):
    send(Checkpoint(store(), "acme v2"), 0, 1)
    receipts = Checkpoint(store(), "acme v2")
    receipts.check(0, file(0))
    with pytest.raises(SourceChangedError, match="File 2"):
        receipts.check(1, file(1, "y"))


@pytest.mark.parametrize("sent", [2, 1])
def test_a_file_that_is_no_longer_there_is_noticed(store, sent):
    receipts = Checkpoint(store(), "acme v2")
    send(receipts, *range(sent))
    receipts.start(sent, file(sent))
    receipts = Checkpoint(store(), "acme v2")
    receipts.check_count(sent + 1)
    with pytest.raises(SourceChangedError, match=f"{sent} files, and there were {sent + 1}"):
        receipts.check_count(sent)


@pytest.mark.parametrize("files", [3, 250])
def test_starting_over_forgets_all_but_what_was_sent_by_this_try(store, files):
    send(Checkpoint(store(), "acme v2"), *range(1, files))
    receipts = Checkpoint(store(), "acme v2")
    send(receipts, 0)
    receipts.clear()
    assert receipts.accepted == Checkpoint(store(), "acme v2").accepted == [accepted(0)]
    receipts.clear()
    send(receipts, 0, 120)
    assert Checkpoint(store(), "acme v2").accepted == [accepted(0), accepted(120)]


def test_checkpoints_of_another_account_are_ignored(store):
    send(Checkpoint(store(), "acme v2"), 0)
    assert Checkpoint(store(), "globex v2").accepted == []
    assert Checkpoint(store(), "acme v1").accepted == []


def test_the_state_of_hundreds_of_files_stays_small():
    state = TaskState()
    send(Checkpoint(StateStore(state), "https://acme.tt.omtrdc.net acme v2"), *range(300))
    assert len(Checkpoint(StateStore(state), "https://acme.tt.omtrdc.net acme v2").accepted) == 300
    assert max(map(len, state.values())) < 65_535


def test_the_file_of_an_earlier_run_is_overwritten(tmp_path):
    path = str(tmp_path / "receipts.json")
    send(Checkpoint(CheckpointFile(path, OWNER), "acme v2"), 0)
    receipts = Checkpoint(CheckpointFile(path, {**OWNER, "run_id": "run 2"}), "acme v2")
    assert receipts.accepted == []
    send(receipts, 0)
    assert Checkpoint(CheckpointFile(path, OWNER), "acme v2").accepted == []


@pytest.mark.parametrize("other", [{"dag_id": "other"}, {"task_id": "other"}, {"map_index": 1}])
def test_the_file_of_another_task_is_refused(tmp_path, other):
    path = str(tmp_path / "receipts.json")
    send(Checkpoint(CheckpointFile(path, OWNER), "acme v2"), 0)
    with pytest.raises(ProfileDataError, match=r"another task.*map_index"):
        CheckpointFile(path, {**OWNER, **other}).read()


@pytest.mark.parametrize("other", [{"dag_id": "other"}, {"task_id": "other"}, {"map_index": 1}])
@pytest.mark.parametrize("scheme", ["", "memory://receipts"])
def test_a_path_of_two_tasks_is_refused_before_either_has_sent(tmp_path, scheme, other):
    if scheme:
        attach("memory", fs=fsspec.filesystem("memory"))
    path = f"{scheme}{tmp_path}/receipts.json"
    assert CheckpointFile(path, {**OWNER, "map_index": 0}).read() == {}
    with pytest.raises(ProfileDataError, match=r"another task.*map_index"):
        CheckpointFile(path, {**OWNER, "map_index": 0, **other}).read()


def test_the_file_is_private_and_no_symbolic_link_is_followed(tmp_path):
    path, victim = tmp_path / "receipts.json", tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "receipts.json.new").symlink_to(victim)
    send(Checkpoint(CheckpointFile(str(path), OWNER), "acme v2"), 0)
    assert victim.read_text() == "untouched"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {file.name for file in tmp_path.iterdir()} == {"receipts.json", "receipts.json.new", "victim"}


def test_two_processes_of_one_task_do_not_disturb_each_other(tmp_path, caplog):
    path = str(tmp_path / "receipts.json")
    both = [Checkpoint(CheckpointFile(path, OWNER), "acme v2") for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda receipts: send(receipts, *range(50)), both))
    assert "cannot be kept" not in caplog.text
    assert len(Checkpoint(CheckpointFile(path, OWNER), "acme v2").accepted) == 50


def test_a_folder_that_cannot_be_written_does_not_end_the_task(tmp_path, caplog):
    (tmp_path / "file").touch()
    receipts = Checkpoint(CheckpointFile(f"{tmp_path}/file/receipts.json", OWNER), "acme v2")
    send(receipts, 0)
    assert receipts.accepted == [accepted(0)]
    assert "cannot be kept" in caplog.text


@pytest.mark.parametrize("content", ["", "no JSON", "[]", "{}", '{"owner": 1, "files": []}', '{"files": {}}'])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "receipts.json"
    path.write_text(content)
    with pytest.raises(ProfileDataError, match="is not a checkpoint file"):
        CheckpointFile(str(path), OWNER).read()
    assert path.read_text() == content


def test_a_store_that_fails_does_not_end_the_task(caplog):
    class Broken(TaskState):
        def set(self, key, value):
            raise OSError("no database")

    receipts = Checkpoint(StateStore(Broken()), "acme v2")
    send(receipts, 0, 1)
    assert receipts.accepted == [accepted(0), accepted(1)]
    assert caplog.text.count("a retry would send files again: no database") == 1


def test_a_named_file_is_used_before_airflow_s_own_place(tmp_path):
    context = {"ti": SimpleNamespace(**OWNER), "task_state_store": TaskState()}
    assert isinstance(checkpoint_store(context, str(tmp_path / "receipts.json")), CheckpointFile)
    assert isinstance(checkpoint_store(context, None), StateStore)
    assert checkpoint_store({"ti": context["ti"]}, None) is None
