"""What ``send`` has sent so far: in memory, in a checkpoint file, and in a ledger."""

from __future__ import annotations

import json
import logging
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from airflow_provider_adobe_target.cli import output
from airflow_provider_adobe_target.cli.connection import prepare_airflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adobe_target.cli.progress import UploadProgress
    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.load.checkpoint import Checkpoint, Entries, Store
    from airflow_provider_adobe_target.load.ledger_stage import LedgerStage

log = logging.getLogger(__name__)


class SentFiles:
    """Store of checkpoint entries. It keeps them in memory, and in a second store if there is one.

    :param progress: Progress bars of the upload.
    """

    def __init__(self, progress: UploadProgress) -> None:
        self._progress = progress
        self._accepted: Entries = {}
        self.store: Store | None = None
        self.unknown = 0
        """Number of files that were being sent: whether Adobe Target accepted them is unknown."""

    def read(self) -> Entries:
        """Return the entries of the second store."""
        return self.store.read() if self.store else {}

    def write(self, entries: Entries, changed: int | None) -> None:
        """Save all entries. A second store that fails logs a warning and is not used again."""
        # An entry loses its status URL if the file may be sent again; the batch was accepted all the same.
        self._accepted.update((number, entry) for number, entry in entries.items() if entry["status_url"])
        self.unknown = sum(entry["status"] == "sending" for entry in entries.values())
        batches = self.accepted
        self._progress.sent(sum(batch.rows or 0 for batch in batches))
        self._progress.final(sum(batch.final for batch in batches))
        if self.store is None:
            return
        try:
            self.store.write(entries, changed)
        except Exception as error:
            log.warning("The checkpoint file cannot be written, so that files would be sent again: %s", error)
            self.store = None

    @property
    def accepted(self) -> list[Batch]:
        """Batches that Adobe Target accepted, in the order of the files."""
        from airflow_provider_adobe_target.client.batch import Batch

        return [Batch.from_dict(self._accepted[number]) for number in sorted(self._accepted)]


def checkpoint(sent: SentFiles, arguments: Mapping[str, Any], session: Session) -> Checkpoint:
    """Return the checkpoint of an upload.

    :param sent: Store of the entries. It gets the file of ``--checkpoint``.
    :param arguments: Options of ``send``.
    :raises click.UsageError: If the file is not a checkpoint of the same source.
    """
    from airflow_provider_adobe_target.exceptions import ProfileDataError
    from airflow_provider_adobe_target.load.checkpoint import Checkpoint

    path = arguments.get("checkpoint")
    if path:
        sent.store = _checkpoint_file(path, arguments)
    settings = session.settings
    try:
        return Checkpoint(sent, f"{settings.base_url} {settings.client_code} {arguments['api_version']}")
    except ProfileDataError:
        raise click.UsageError(
            f"--checkpoint: {path} is not a checkpoint of this source. Use another file, or delete it."
        ) from None


def _checkpoint_file(path: str, arguments: Mapping[str, Any]) -> Store:
    with output.airflow_on_stderr():
        prepare_airflow()
        from airflow_provider_adobe_target.load.checkpoint_store import CheckpointFile

    source = json.dumps([*arguments["files"], arguments["sql"]])
    return CheckpointFile(path, {"run_id": "", "source": source})


def ledger_stage(sent: SentFiles, arguments: Mapping[str, Any], session: Session) -> LedgerStage | None:
    """Return the stage of the ledger of ``--ledger``. None without it.

    :raises LedgerRefusedError: If ``plan`` names a folder without a ledger, which it must not create.
    """
    path = arguments["ledger"]
    if not path:
        return None
    from airflow_provider_adobe_target.ledger import ProfileLedger
    from airflow_provider_adobe_target.load.ledger_stage import LedgerStage

    ledger, now = ProfileLedger(path), datetime.now(timezone.utc)
    is_plan = bool(arguments.get("dry_run"))
    if is_plan:
        ledger.opened()
    return LedgerStage(
        ledger,
        session,
        writer=arguments["writer"],
        run=f"command line {now.isoformat(timespec='seconds')}",
        key=uuid.uuid4().hex,
        as_of=ledger.as_of_micros(None, now),
        poll_interval=arguments.get("poll_interval", 60),
        timeout=arguments.get("timeout", 0),
        dry_run=is_plan,
        store=sent,
    )


def ledger_client_code(path: str) -> str:
    """Return the client code of an existing ledger.

    :raises LedgerRefusedError: If there is none.
    """
    from airflow_provider_adobe_target.ledger import ProfileLedger

    return str(ProfileLedger(path).opened().open(creates=False)["client_code"])
