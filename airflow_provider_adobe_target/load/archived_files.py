"""Choose, verify and unpack files of an archive, to send them again."""

from __future__ import annotations

import gzip
import hashlib
import logging
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.client.batch import COMPLETE, LOST, LOST_ANSWER, STUCK, SUBMITTED, TORN, Batch, named
from airflow_provider_adobe_target.client.verdict import failure_reason
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.load.archive import ManifestFile, TaskKey
from airflow_provider_adobe_target.load.checkpoint import SENDING, TO_SEND
from airflow_provider_adobe_target.profiles.batch_files import BatchFile
from airflow_provider_adobe_target.version_compat import ObjectStoragePath

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.load.checkpoint import Entries

FAILED = "failed"
STATES = (TO_SEND, SENDING, SUBMITTED, COMPLETE, FAILED, STUCK, LOST, TORN)
"""States of an archived file: see :func:`state_of`."""

NOT_COMPLETE = (TO_SEND, SENDING, STUCK, LOST, TORN)
"""States of the files that are sent again by default."""

_MANIFEST_NAME = re.compile(r"\d{6,}-[0-9a-f]{16}\.json")
_CHUNK = 1024 * 1024

log = logging.getLogger(__name__)


def state_of(batch: Batch) -> str:
    """Return the state of an archived file.

    :return: ``to_send`` (Adobe Target did not accept it), ``sending`` (its response is not known), ``submitted`` (the
        batch is not final), ``stuck``, ``status_lost``, ``torn`` (the number of rows differs), ``failed`` (complete,
        but rows failed) or ``complete``.
    """
    if reason := failure_reason(batch):
        return reason
    if batch.status == COMPLETE:
        return FAILED if batch.failures else COMPLETE
    return batch.status if batch.status in (TO_SEND, SENDING) else SUBMITTED


def read_manifests(paths: Iterable[str]) -> list[ManifestFile]:
    """Return the manifests of an archive, in the order in which the files were archived.

    :param paths: Manifests, or folders that contain them at any depth.
    :raises ProfileDataError: If a path does not exist, has no manifest, or is not a manifest.
    """
    found: dict[str, ManifestFile] = {}
    for text in paths:
        path = ObjectStoragePath(text)
        if path.is_dir():
            files = [file for file in sorted(path.glob("**/*.json"), key=str) if _MANIFEST_NAME.fullmatch(file.name)]
        elif path.exists():
            files = [path]
        else:
            raise ProfileDataError(f"There is no archive {text!r}.")
        if not files:
            raise ProfileDataError(f"There is no manifest in {text!r}.")
        found.update((str(file), ManifestFile.read(file)) for file in files)
    return sorted(found.values(), key=lambda file: (file.manifest.archived_at, str(file.path)))


def update_states(files: Iterable[ManifestFile], session: Session) -> None:
    """Request the status of the account's batches that are not final, and write it to their manifests."""
    client_code = session.settings.client_code.lower()
    open_files = [
        file
        for file in files
        if state_of(file.manifest.batch) == SUBMITTED and file.manifest.client_code.lower() == client_code
    ]
    batches = session.poll([file.manifest.batch for file in open_files]) if open_files else []
    for file, batch in zip(open_files, batches, strict=True):
        file.update(batch)


def chosen_files(
    files: Sequence[ManifestFile],
    *,
    batch_ids: Collection[str] | None,
    statuses: Collection[str] | None,
    task: TaskKey,
) -> list[ManifestFile]:
    """Return the files to send, in the order in which they were archived.

    Files that ``task`` sends already, in an earlier try, are always among them.

    :param batch_ids: Ids of batches, also earlier ones with the same bytes; None for any.
    :param statuses: States. Default: all that did not end complete, or any state if ``batch_ids`` is given.
    :param task: Task instance that sends the files.
    :raises ProfileDataError: If a batch id is not in the archive.
    """
    by_id = {batch_id: file for file in files for batch_id in _batch_ids(file)}
    unknown = sorted(set(batch_ids or ()) - set(by_id))
    if unknown:
        raise ProfileDataError(f"The archive does not have the batches {', '.join(unknown)}. Nothing was sent.")
    named_files = {id(by_id[batch_id]) for batch_id in batch_ids or ()}
    wanted = statuses if statuses is not None else STATES if batch_ids is not None else NOT_COMPLETE

    def is_chosen(file: ManifestFile) -> bool:
        is_named = batch_ids is None or id(file) in named_files
        return is_named and state_of(file.manifest.batch) in wanted

    chosen = [file for file in files if is_sent_by(file, task) or is_chosen(file)]
    _log_choice(files, chosen)
    return chosen


def is_sent_by(file: ManifestFile, task: TaskKey) -> bool:
    """Return whether a task instance sent a file that another one had archived."""
    return file.manifest.sent_by == task != file.manifest.upload


def _batch_ids(file: ManifestFile) -> list[str]:
    current = file.manifest.batch.batch_id
    return [*file.manifest.earlier_batch_ids, *([current] if current else [])]


def _log_choice(files: Sequence[ManifestFile], chosen: Sequence[ManifestFile]) -> None:
    states = Counter(state_of(file.manifest.batch) for file in chosen)
    log.info("Chosen from %s archived files: %s %s", f"{len(files):,}", f"{len(chosen):,}", dict(states))
    left = {id(file) for file in files} - {id(file) for file in chosen}
    open_batches = [file.manifest.batch for file in files if id(file) in left]
    open_batches = [batch for batch in open_batches if state_of(batch) == SUBMITTED]
    if open_batches:
        log.warning(
            "Not chosen, because Adobe Target has not finished them: %s. To send them again all the same, name them "
            "in batches.",
            named(open_batches),
        )


def check_files(files: Sequence[ManifestFile], *, client_code: str, in_order: bool) -> None:
    """Check that files may be sent again by one task.

    :param files: Chosen files.
    :param client_code: Client code of the connection.
    :param in_order: Whether each file is sent after Adobe Target has finished the previous one.
    :raises ProfileDataError: If they may not be. Nothing was sent.
    """
    manifests = [file.manifest for file in files]
    others = sorted({it.client_code for it in manifests if it.client_code.lower() != client_code.lower()})
    if others:
        raise ProfileDataError(
            f"The archive has files of the account {', '.join(others)}, and the connection is for {client_code}. "
            "Nothing was sent."
        )
    if any(manifest.uses_ledger for manifest in manifests):
        raise ProfileDataError(
            "The upload has a ledger, which would not contain what is sent here. Nothing was sent. Run the upload "
            "again: it sends the rows of failed batches, with their current values."
        )
    runs = {(manifest.upload.dag_id, manifest.upload.run_id) for manifest in manifests}
    if len(runs) > 1 and not in_order:
        raise ProfileDataError(
            f"The files belong to {len(runs)} DAG runs, which may have written the same ids, and Adobe Target does not "
            "order batches. Nothing was sent. Set guaranteed_upload=True, or choose the files of one run."
        )


def warn_of_later_files(files: Sequence[ManifestFile], chosen: Sequence[ManifestFile]) -> None:
    """Log a warning if the archive has later files of other runs, whose values may be overwritten."""
    if not chosen:
        return
    first = chosen[0].manifest
    runs = {(file.manifest.upload.dag_id, file.manifest.upload.run_id) for file in chosen}
    later = [
        file
        for file in files
        if file.manifest.archived_at > first.archived_at
        and file.manifest.client_code.lower() == first.client_code.lower()
        and (file.manifest.upload.dag_id, file.manifest.upload.run_id) not in runs
        and file.manifest.batch.status not in (TO_SEND, SENDING)
    ]
    if later:
        log.warning(
            "The archive has %s later files of other runs. For the ids that are in both, the values of the older files "
            "overwrite the newer ones.",
            f"{len(later):,}",
        )


def verify(file: ManifestFile) -> None:
    """Compare an archived file with the checksum in its manifest.

    :raises ProfileDataError: If it is missing or differs.
    """
    for _ in _verified(file):
        pass


def unpack(file: ManifestFile, path: Path) -> BatchFile:
    """Decompress an archived file, and return it as a batch file.

    :param path: New local file.
    :raises ProfileDataError: If it is missing, or differs from the checksum in its manifest.
    """
    with path.open("xb") as body:
        for chunk in _verified(file):
            body.write(chunk)
    batch = file.manifest.batch
    return BatchFile(path, batch.rows or 0, batch.bytes or 0, str(batch.sha256))


def _verified(file: ManifestFile) -> Iterator[bytes]:
    """Yield the decompressed bytes. At the end, compare their checksum."""
    batch = file.manifest.batch
    body = file.path.with_name(Path(file.manifest.file).name)
    checksum, size = hashlib.sha256(), 0
    try:
        with body.open("rb") as stream, gzip.GzipFile(fileobj=stream) as content:
            while chunk := content.read(_CHUNK):
                size += len(chunk)
                if size > (batch.bytes or 0):
                    break
                checksum.update(chunk)
                yield chunk
    except FileNotFoundError:
        raise ProfileDataError(f"The archive does not have the file {body}. Nothing of it was sent.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ProfileDataError(f"The archived file {body} is damaged. Nothing of it was sent.") from None
    if (size, checksum.hexdigest()) != (batch.bytes, batch.sha256):
        raise ProfileDataError(f"The archived file {body} differs from its manifest. Nothing of it was sent.")


class ManifestStore:
    """Checkpoint entries of a replay: the manifests of the chosen files.

    The entries of an earlier try of the same task are those of the files that it sent.

    :param files: Chosen files, in the order of their numbers.
    :param task: Task instance that sends them.
    :param account: Key of the connection, as in the checkpoint.
    """

    def __init__(self, files: Sequence[ManifestFile], task: TaskKey, account: str) -> None:
        self._files = files
        self._task = task
        self._account = account

    def read(self) -> Entries:
        """Return the entries."""
        entries = {}
        for number, file in enumerate(self._files):
            batch = file.manifest.batch
            if reason := _reason(batch):
                entries[number] = _to_send_again(batch, reason, self._account)
            elif is_sent_by(file, self._task):
                entries[number] = {**batch.to_event(), "account": self._account}
        return entries

    def write(self, entries: Mapping[int, Mapping[str, Any]], changed: int | None) -> None:
        """Write the entries to the manifests. A file that waits to be sent again keeps the state of its last batch."""
        for number, entry in entries.items():
            file = self._files[number]
            waits = entry["status"] == TO_SEND and _reason(file.manifest.batch) in (STUCK, LOST, TORN)
            if changed in (None, number) and not waits:
                file.update(Batch.from_dict(entry), self._task)


def _reason(batch: Batch) -> str | None:
    """Return why the file is sent again, as in ``resubmitted_after``."""
    state = state_of(batch)
    return LOST_ANSWER if state == SENDING else state if state in (STUCK, LOST, TORN) else None


def _to_send_again(batch: Batch, reason: str, account: str) -> dict[str, Any]:
    again = Batch(rows=batch.rows, bytes=batch.bytes, sha256=batch.sha256, status=TO_SEND)
    return {**again.sent_before(reason, *batch.resubmitted_after).to_event(), "account": account}
