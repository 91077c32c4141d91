"""The archive of batch files: nothing is sent that is not in it."""

from __future__ import annotations

import gzip
import hashlib
import json
import stat
from types import SimpleNamespace

import pytest

from airflow_provider_adobe_target.client.session import Session
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import BatchOutcomeError, ProfileDataError, TargetRefusedError
from airflow_provider_adobe_target.load.archive import Manifest, UploadArchive
from airflow_provider_adobe_target.load.archived_files import read_manifests, state_of
from airflow_provider_adobe_target.load.bulk_upload import BulkUpload
from airflow_provider_adobe_target.load.checkpoint import Checkpoint
from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadSource
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.sandbox import Answer, Sandbox

ROWS = [{"thirdPartyId": f"SECRET-{number}", "tier": "gold" * number} for number in range(1, 4)]
STUCK = Answer(200, "<response><status>stuck</status><batchSize>1</batchSize></response>")
REAL = Answer.real()


@pytest.fixture
def sandbox():
    with Sandbox(processing_seconds=0, calls_per_minute=None) as sandbox:
        yield sandbox


@pytest.fixture
def upload(sandbox, tmp_path):
    """Upload one file per row with an archive in ``tmp_path``."""

    def upload(rows=ROWS, *, checkpoint=None, map_index=-1, run_id="run", **options):
        session = Session(TargetSettings.from_fields("acme", None, sandbox.url, None, {"calls_per_minute": 50}))
        ti = SimpleNamespace(dag_id="dag", task_id="up", run_id=run_id, map_index=map_index)
        folder = str(tmp_path / "archive")
        return BulkUpload(
            session,
            UploadSource(lambda folder: read_data(rows)),
            ProfileOptions(max_rows_per_file=1),
            options=UploadOptions(**{"poll_interval": 0.01, "max_concurrent_uploads": 1, **options}),
            checkpoint=checkpoint,
            archive=UploadArchive(folder, ti, client_code="acme", api_version="v2", uses_ledger=False),
        ).run()

    return upload


@pytest.fixture
def states(tmp_path):
    return lambda: [state_of(file.manifest.batch) for file in read_manifests([str(tmp_path / "archive")])]


def test_the_archive_has_the_exact_body_of_each_request(upload, sandbox, tmp_path, states):
    report = upload()
    files = sorted((tmp_path / "archive").rglob("*.txt.gz"))
    bodies = [gzip.decompress(file.read_bytes()) for file in files]
    assert [body.decode() for body in bodies] == [
        f"batch=thirdPartyId,tier\nSECRET-{n},{'gold' * n}" for n in (1, 2, 3)
    ]
    assert [hashlib.sha256(body).hexdigest() for body in bodies] == [it["sha256"] for it in report["batches"]]
    assert states() == ["complete"] * 3
    for file in files:
        manifest = json.loads(file.with_name(file.name.replace(".txt.gz", ".json")).read_text())
        assert manifest["batch"] == report["batches"][manifest["number"]]
        assert (manifest["client_code"], manifest["id_type"], manifest["api_version"]) == ("acme", "thirdPartyId", "v2")
        assert manifest["upload"] == {"dag_id": "dag", "task_id": "up", "run_id": "run", "map_index": -1}
        assert "SECRET" not in json.dumps(manifest)
        assert "gold" not in json.dumps(manifest)


def test_files_are_readable_for_their_owner_only(upload, tmp_path):
    upload()
    [folder] = (tmp_path / "archive").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) == 6


@pytest.mark.parametrize("uploads", [1, 3])
def test_no_file_is_sent_if_the_archive_cannot_be_written(upload, sandbox, tmp_path, uploads):
    (tmp_path / "archive").write_text("not a folder")
    with pytest.raises(OSError, match="archive"):
        upload(max_concurrent_uploads=uploads)
    assert not sandbox.batches


def test_a_file_is_in_the_archive_before_its_call_is_made(upload, sandbox, states):
    sandbox.script("submit", REAL, Answer(400))
    with pytest.raises(TargetRefusedError):
        upload()
    assert len(sandbox.batches) == 1
    assert states() == ["submitted", "to_send"]


def test_a_retry_with_a_checkpoint_updates_the_same_manifests(upload, sandbox, states, tmp_path):
    store = SimpleNamespace(entries={})
    store.read = lambda: dict(store.entries)
    store.write = lambda entries, changed: store.entries.update(entries)
    sandbox.script("submit", REAL, Answer(400))
    with pytest.raises(TargetRefusedError):
        upload(checkpoint=Checkpoint(store, "account"))
    upload(checkpoint=Checkpoint(store, "account"))
    assert len(sandbox.batches) == 3
    assert states() == ["complete"] * 3
    assert len(list(tmp_path.rglob("*.gz"))) == 3


def test_a_resubmitted_file_keeps_the_id_of_its_first_batch(upload, sandbox, tmp_path):
    sandbox.script("status", REAL, STUCK, REAL)
    report = upload(on_stuck="resubmit")
    [manifest] = [
        it.manifest for it in read_manifests([str(tmp_path / "archive")]) if it.manifest.batch.resubmitted_after
    ]
    assert manifest.batch.batch_id == report["batches"][1]["batch_id"]
    assert manifest.batch.resubmitted_after == ("stuck",)
    assert len(manifest.earlier_batch_ids) == 1
    assert manifest.earlier_batch_ids[0] != manifest.batch.batch_id


@pytest.mark.parametrize("is_guaranteed", [False, True])
def test_a_stuck_batch_is_noted(upload, sandbox, states, is_guaranteed):
    sandbox.script("status", REAL, STUCK, REAL)
    with pytest.raises(BatchOutcomeError):
        upload(guaranteed_upload=is_guaranteed)
    assert states() == ["complete", "stuck"] if is_guaranteed else ["complete", "stuck", "complete"]


def test_mapped_tasks_and_runs_have_folders_of_their_own(upload, tmp_path):
    for map_index, run_id in ((0, "run"), (1, "run"), (0, "other")):
        upload(ROWS[:1], map_index=map_index, run_id=run_id)
    assert len(list((tmp_path / "archive").iterdir())) == 3
    assert len(read_manifests([str(tmp_path / "archive")])) == 3


def test_an_archive_that_cannot_be_updated_is_a_warning(upload, sandbox, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Manifest, "sent", lambda *_: (_ for _ in ()).throw(OSError("full")))
    assert upload()["outcome"] == "complete"
    assert caplog.text.count("cannot be updated: full") >= 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a manifest"),
        ("[]", "not a manifest"),
        ('{"format": 1, "batch": {"rows": "SECRET"}}', "not a manifest"),
        ('{"format": 2}', "later version"),
    ],
)
def test_another_file_is_not_a_manifest(tmp_path, content, message):
    file = tmp_path / "a.json"
    file.write_text(content)
    with pytest.raises(ProfileDataError, match=message) as error:
        read_manifests([str(file)])
    assert "SECRET" not in str(error.value)


def test_a_missing_or_empty_archive_is_an_error(tmp_path):
    with pytest.raises(ProfileDataError, match="There is no archive"):
        read_manifests([str(tmp_path / "none")])
    with pytest.raises(ProfileDataError, match="There is no manifest"):
        read_manifests([str(tmp_path)])
