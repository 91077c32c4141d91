"""Replay: send files of an archive again, without their source."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.client.endpoints.api_version import check_version
from airflow_provider_adobe_target.client.verdict import outcome_of
from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder
from airflow_provider_adobe_target.concurrency.worker_pool import run_pool
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.inputs.empty_source import check_row_counts
from airflow_provider_adobe_target.load.archived_files import unpack, verify
from airflow_provider_adobe_target.load.file_upload import FileUpload
from airflow_provider_adobe_target.load.full_disk import explain_full_disk
from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadOutputs, UploadResult
from airflow_provider_adobe_target.profiles.pipeline import COUNTS_WITHOUT_LEDGER

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.client.protocol import ApiVersion
    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.client.verdict import OutcomeLimits
    from airflow_provider_adobe_target.load.archive import ManifestFile
    from airflow_provider_adobe_target.load.checkpoint import Checkpoint
    from airflow_provider_adobe_target.profiles.batch_files import BatchFile

log = logging.getLogger(__name__)


def api_version_of(files: Sequence[ManifestFile]) -> ApiVersion:
    """Return the API version with which the files were sent.

    :raises ProfileDataError: If there are several.
    """
    versions = sorted({file.manifest.api_version for file in files})
    if len(versions) > 1:
        raise ProfileDataError(f"The files were sent with {' and '.join(versions)}. Set api_version, or choose fewer.")
    return "v1" if versions == ["v1"] else "v2"


class ReplayUpload(FileUpload):
    """The upload of archived files; see :class:`.FileUpload`.

    :param session: Client session.
    :param files: Files, in the order in which they are sent.
    :param options: Options of the upload.
    :param limits: Limits on the outcome of all batches together.
    :param checkpoint: Checkpoint that keeps the manifests up to date.
    :param outputs: Where the results go.
    """

    def __init__(
        self,
        session: Session,
        files: Sequence[ManifestFile],
        *,
        options: UploadOptions,
        limits: OutcomeLimits,
        checkpoint: Checkpoint,
        outputs: UploadOutputs,
    ) -> None:
        super().__init__(session, options=options, limits=limits, checkpoint=checkpoint, outputs=outputs)
        self._files = files
        self._replayed_ids = [file.manifest.batch.batch_id for file in files]

    def _send_once(self) -> UploadResult | None:
        self._check()
        stop = threading.Event()
        sender = self._sender(stop)
        self._folder = TempFolder()
        full_disk = explain_full_disk(
            lambda: sender.batches,
            rejects_path=None,
            files=self._options.max_workers + 1,
            max_bytes=max((file.manifest.batch.bytes or 0 for file in self._files), default=0),
        )
        with full_disk, self._folder as folder:
            try:
                run_pool(self._unpacked(folder), sender.send, max_workers=self._options.max_workers, stop=stop)
            finally:
                self._outputs.on_batches(sender.batches)
        if sender.must_restart:
            return None
        return UploadResult(self._report(sender.batches), sender.batches)

    def _check(self) -> None:
        """Check the files before the first call, and request an access token.

        :raises ProfileDataError: If there are no files and ``on_no_rows`` is ``fail``, or an archived file is damaged.
        :raises ConnectionSettingsError: If an id type does not fit the API version.
        """
        check_row_counts(len(self._files), 0, self._options.on_no_rows)
        for file in self._files:
            id_type = file.manifest.id_type
            check_version(self._options.api_version, id_type, self._session.settings.uses_ecid, id_type)
            verify(file)
        if self._files and not self._options.dry_run:
            self._session.authenticate()

    def _unpacked(self, folder: Path) -> Iterator[BatchFile]:
        for number, file in enumerate(self._files):
            unpacked = unpack(file, folder / f"batch-{number:06d}.txt")
            self._checkpoint.check(number, unpacked)
            yield unpacked

    def _report(self, batches: Sequence[Batch]) -> dict[str, Any]:
        rows = sum(batch.rows or 0 for batch in batches)
        id_types: Counter[str] = Counter()
        for file in self._files:
            id_types[file.manifest.id_type] += file.manifest.batch.rows or 0
        return {
            "client_code": self._session.settings.client_code,
            "api_version": self._options.api_version,
            "id_type": next(iter(id_types), None),
            "dry_run": self._options.dry_run,
            "outcome": "dry_run" if self._options.dry_run else outcome_of(batches, 0),
            "rows_read": rows,
            "rows_sent": rows,
            "rows_rejected": 0,
            "rows_empty": 0,
            **COUNTS_WITHOUT_LEDGER,
            "rejected_by_reason": {},
            "values_replaced": 0,
            "rejects_path": None,
            **({"rows_by_id_type": dict(id_types)} if len(id_types) > 1 else {}),
            "replay_of": self._replayed_ids,
            "batches": [batch.to_dict() for batch in batches],
        }
