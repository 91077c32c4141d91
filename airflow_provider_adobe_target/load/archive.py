"""Archive of batch files: the exact body of each request, compressed, with a manifest.

Each upload has a folder below ``archive_path``. Each batch file has two files in it::

    batches-<dag>-<task>-<run>-<map index>-<digest>/
        000000-<first 16 digits of the SHA-256>.txt.gz     the body
        000000-<first 16 digits of the SHA-256>.json       the manifest

Both are written before the file is sent. The manifest is updated when Adobe Target accepts the file, and when its batch
is final. The names depend on the number and the checksum of the file, so another try of the task that sends the same
bytes updates the same manifest, and one that sends other bytes adds files.
"""

from __future__ import annotations

import gzip
import json
import logging
import shutil
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_adobe_target.client.batch import Batch, BatchStatus
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.exceptions import AdobeTargetError, ProfileDataError
from airflow_provider_adobe_target.load.output_files import task_folder
from airflow_provider_adobe_target.load.private_file import is_local, new_private_file
from airflow_provider_adobe_target.version_compat import ObjectStoragePath

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_adobe_target.profiles.batch_files import BatchFile

FORMAT = 1
_COMPRESSION = 1  # level 6 takes three times the time, for files that are 10 per cent smaller

_STATUS_FIELDS = tuple(field.name for field in fields(BatchStatus))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskKey:
    """The task instance that sends a file."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1

    @classmethod
    def of(cls, ti: Any) -> TaskKey:
        """Return the key of a task instance."""
        return cls(ti.dag_id, ti.task_id, ti.run_id, ti.map_index if ti.map_index is not None else -1)


@dataclass(frozen=True)
class Manifest:
    """Description of one archived batch file. It contains no id of a person and no value.

    :param client_code: Client code of the account.
    :param id_type: ``thirdPartyId`` or ``pcId``: the first column of the file.
    :param api_version: ``v1`` or ``v2``.
    :param number: Number of the file in its upload, counted from 0.
    :param file: Name of the compressed file, in the folder of the manifest.
    :param uses_ledger: Whether the upload has a ledger.
    :param upload: Task instance that made the file.
    :param sent_by: Task instance that sent it last.
    :param archived_at: UTC time at which the file was archived.
    :param updated_at: UTC time of the last change of the manifest.
    :param batch: Entry of the report. The status is ``sending`` while the call is made, and ``to_send`` if Adobe Target
        did not accept the file.
    :param earlier_batch_ids: Ids of earlier batches with the same bytes.
    """

    client_code: str
    id_type: str
    api_version: str
    number: int
    file: str
    uses_ledger: bool
    upload: TaskKey
    sent_by: TaskKey
    archived_at: str
    updated_at: str
    batch: Batch
    earlier_batch_ids: tuple[str, ...] = ()

    def sent(self, batch: Batch, sent_by: TaskKey | None = None) -> Manifest:
        """Return the manifest with a new state of the batch.

        :param sent_by: Task instance that sends the file now. Default: unchanged.
        """
        earlier = self.earlier_batch_ids
        before = self.batch.batch_id
        if before and before != batch.batch_id and before not in earlier:
            earlier = (*earlier, before)
        return replace(
            self, batch=batch, earlier_batch_ids=earlier, sent_by=sent_by or self.sent_by, updated_at=_utc_now()
        )

    def to_json(self) -> str:
        """Return the content of the manifest file."""
        return json.dumps({"format": FORMAT, **asdict(self), "batch": self.batch.to_dict()}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read the content of a manifest file. Unknown keys are ignored.

        :raises ProfileDataError: If it is not a manifest.
        """
        try:
            content = json.loads(text)
            if content["format"] > FORMAT:
                raise ProfileDataError("The manifest was written by a later version of this package. Update it.")
            values = {field.name: content[field.name] for field in fields(cls)}
            values["batch"] = Batch.from_dict(values["batch"])
            values["earlier_batch_ids"] = tuple(values["earlier_batch_ids"])
            for name in ("upload", "sent_by"):
                values[name] = TaskKey(**values[name])
        except ProfileDataError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, AdobeTargetError):
            raise ProfileDataError("The file is not a manifest of an archive.") from None
        return cls(**values)


class ManifestFile:
    """A manifest, and the batch file that it describes.

    :param path: Path of the manifest, an ``ObjectStoragePath``.
    """

    def __init__(self, path: Any, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def read(cls, path: Any) -> ManifestFile:
        """Read a manifest.

        :raises ProfileDataError: If the file is not a manifest.
        """
        try:
            return cls(path, Manifest.from_json(path.read_text()))
        except ProfileDataError as error:
            raise ProfileDataError(f"{path}: {error}") from None

    def update(self, batch: Batch, sent_by: TaskKey | None = None) -> None:
        """Write a new state of the batch."""
        if (batch, sent_by or self.manifest.sent_by) != (self.manifest.batch, self.manifest.sent_by):
            manifest = self.manifest.sent(batch, sent_by)
            self._write(manifest)
            self.manifest = manifest

    def write(self) -> None:
        """Write the manifest, atomically and readable for its owner only."""
        self._write(self.manifest)

    def _write(self, manifest: Manifest) -> None:
        content = manifest.to_json().encode()
        if is_local(self.path):
            with new_private_file(Path(self.path.path)) as stream:
                stream.write(content)
        else:
            self.path.fs.pipe_file(self.path.path, content)  # object storage writes objects atomically


class UploadArchive:
    """The archive of one upload. Methods may be called from several threads, for different files.

    :param folder: ``archive_path``, local or in object storage.
    :param ti: Task instance.
    :param client_code: Client code of the account.
    :param api_version: ``v1`` or ``v2``.
    :param uses_ledger: Whether the upload has a ledger.
    """

    def __init__(self, folder: str, ti: Any, *, client_code: str, api_version: str, uses_ledger: bool) -> None:
        self.folder = task_folder("batches", folder, ti)
        self._task = TaskKey.of(ti)
        self._account: dict[str, Any] = {
            "client_code": client_code,
            "api_version": api_version,
            "uses_ledger": uses_ledger,
        }
        self._manifests: dict[str, ManifestFile] = {}

    @property
    def location(self) -> str:
        """Folder of the upload."""
        return str(self.folder)

    def keep(self, number: int, file: BatchFile, batch: Batch) -> None:
        """Write a file that is about to be sent, and its manifest.

        :param batch: Entry of the file, whose status is ``sending``.
        :raises OSError: If the archive cannot be written. Errors of the storage propagate. The file must not be sent.
        """
        path = self._manifest_path(number, file.sha256)
        known = self._known(path)
        if known is not None:
            known.update(batch, self._task)
            return
        if is_local(self.folder):
            Path(self.folder.path).mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
        body = path.with_suffix(".txt.gz")
        _write_compressed(file.path, body)
        now = _utc_now()
        manifest = Manifest(
            **self._account,
            id_type=_id_type_of(file.path),
            number=number,
            file=body.name,
            upload=self._task,
            sent_by=self._task,
            archived_at=now,
            updated_at=now,
            batch=batch,
        )
        kept = ManifestFile(path, manifest)
        kept.write()
        self._manifests[path.name] = kept

    def note(self, number: int, batch: Batch) -> None:
        """Update the status of a batch. An error is a warning, because the file is archived already."""
        try:
            known = self._known(self._manifest_path(number, str(batch.sha256)))
            if known is not None:
                known.update(batch)
        except Exception as error:
            log.warning("The archive's manifest of batch %s cannot be updated: %s", batch.batch_id, error)

    def _known(self, path: Any) -> ManifestFile | None:
        if path.name not in self._manifests:
            if not path.exists():
                return None
            self._manifests[path.name] = ManifestFile.read(path)
        return self._manifests[path.name]

    def _manifest_path(self, number: int, sha256: str) -> Any:
        return self.folder / manifest_name(number, sha256)


def note_statuses(reports: Iterable[Mapping[str, Any]], batches: Iterable[Batch]) -> None:
    """Write the final status of batches to the manifests of their uploads. An error is a warning.

    :param reports: Reports of ``BulkProfileUpdateOperator``. Those without ``archive_folder`` are ignored.
    :param batches: Batches of these reports, and possibly others.
    """
    final = {batch.batch_id: batch for batch in batches if batch.final}
    for report in reports:
        if not report.get("archive_folder"):
            continue
        for number, entry in enumerate(report["batches"]):
            sent = Batch.from_dict(entry)
            if sent.batch_id in final:
                _note_status(report["archive_folder"], number, sent, final[sent.batch_id])


def _note_status(folder: str, number: int, sent: Batch, final: Batch) -> None:
    try:
        file = ManifestFile.read(ObjectStoragePath(folder) / manifest_name(number, str(sent.sha256)))
        if file.manifest.batch.batch_id == final.batch_id:  # otherwise the file was sent again since
            known = {name: getattr(final, name) for name in _STATUS_FIELDS}
            file.update(replace(file.manifest.batch, **known))
    except Exception as error:
        log.warning("The archive's manifest of batch %s cannot be updated: %s", final.batch_id, error)


def manifest_name(number: int, sha256: str) -> str:
    """Return the name of the manifest of a batch file."""
    return f"{number:06d}-{sha256[:16]}.json"


def _utc_now() -> str:
    return datetime.fromtimestamp(clocks.SYSTEM.now(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _id_type_of(file: Path) -> str:
    """Return the first column of a batch file: ``thirdPartyId`` of ``batch=thirdPartyId,tier``."""
    with file.open("rb") as stream:
        header = stream.readline()
    return header.removeprefix(b"batch=").partition(b",")[0].strip().decode("ascii")


def _write_compressed(source: Path, path: Any) -> None:
    """Compress a local file to a path, atomically."""
    if is_local(path):
        with new_private_file(Path(path.path)) as stream:
            _compress(source, stream)
        return
    compressed = source.with_suffix(".gz")  # in the private folder of the upload
    try:
        with compressed.open("xb") as stream:
            _compress(source, stream)
        path.fs.put_file(str(compressed), path.path)  # not a stream, which an error would leave incomplete
    finally:
        compressed.unlink(missing_ok=True)


def _compress(source: Path, stream: IO[bytes]) -> None:
    with (
        source.open("rb") as body,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=stream, mtime=0) as compressed,
    ):
        shutil.copyfileobj(body, compressed, 1024 * 1024)
