"""Claims: what runs have sent, or are about to send, and the ledger does not contain yet.

A claim is a folder below ``_pending`` beside the table: the rows, and one small file per event. It counts from the
commit that contains its record, which conflicts with every other commit. It ends with the commit that settles it. A
process may end at any moment: the events tell the next run which calls may have been made.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_adobe_target.ledger.as_of import numbers
from airflow_provider_adobe_target.ledger.columns import SCHEMA
from airflow_provider_adobe_target.ledger.errors import LedgerTakenOverError
from airflow_provider_adobe_target.ledger.hashing import Hashes
from airflow_provider_adobe_target.ledger.storage import Location
from airflow_provider_adobe_target.ledger.table import Control, Snapshot
from airflow_provider_adobe_target.spill import SpillFile

PENDING = "_pending"
SENDING, ACCEPTED, REFUSED = "sending", "accepted", "refused"

_BATCH_ROWS = 65_536
_PART_BATCH_ROWS = 16_384

LEASE_SECONDS = 20 * 60.0
"""Seconds after its last event until a run on another machine is considered dead. Longer than a call may last."""


@dataclass(frozen=True)
class Owner:
    """The process that made a claim.

    :param key: DAG, run, task and map index: another try of the same task instance has the same key.
    :param host: Name of the machine, with the time of its boot.
    :param process: Process id and start time.
    """

    key: str
    host: str
    process: str

    @classmethod
    def current(cls, key: str) -> Owner:
        """Return the owner for this process."""
        return cls(key, f"{socket.gethostname()} {_boot_id()}", _process(os.getpid()) or str(os.getpid()))

    def is_dead(self, other: Owner) -> bool | None:
        """Return whether this process has ended, as seen by ``other``; None if it runs on another machine."""
        if self.key == other.key:
            return True
        if self.host != other.host:
            return None
        pid = self.process.partition(" ")[0]
        return _process(int(pid)) != self.process


@dataclass(frozen=True)
class SentFile:
    """One batch file of a claim.

    :param number: Number of the file.
    :param start: Row of the claim that is the first of the file.
    :param rows: Number of rows.
    :param state: ``sending``, ``accepted`` or ``refused``.
    :param batch_id: Id of the batch, if the file was accepted.
    :param status_url: URL of its status.
    :param at: Time of the last event, in seconds since 1970.
    """

    number: int
    start: int
    rows: int
    state: str
    at: float
    batch_id: str | None = None
    status_url: str | None = None


class Claim:
    """Rows that one run has claimed.

    :param location: Folder of the ledger.
    :param uid: Name of the claim.
    :param content: Contents of its record: ``owner``, ``writer``, ``number``, ``run``, ``base``, ``at``.
    """

    def __init__(self, location: Location, uid: str, content: dict[str, Any]) -> None:
        self.uid = uid
        self.content = content
        self._location = location
        self._folder = f"{PENDING}/{uid}"
        self._rows = f"{self._folder}/rows.parquet"
        self._events: dict[int, int] = {}

    @property
    def owner(self) -> Owner:
        """The process that made the claim."""
        return Owner(**self.content["owner"])

    def to_control(self) -> Control:
        """Return the record for a commit."""
        return Control(0, "claim", {"uid": self.uid, **self.content})

    def write_rows(self, versions: SpillFile) -> None:
        """Write the versions that the ledger keeps if the rows are confirmed.

        :raises LedgerFullDiskError: If no space is left.
        """
        with self._location.explain_full_disk(), self._location.open_output(self._rows) as stream:
            writer = None
            for batch in versions.record_batches():
                if writer is None:
                    writer = pq.ParquetWriter(stream, batch.schema, compression="zstd", compression_level=1)
                writer.write_batch(batch)
            if writer is not None:
                writer.close()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.content["rows"])

    def read_rows(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the claimed versions, in the order in which they are sent. Without rows, nothing was sent."""
        try:
            stream = self._location.open_input(self._rows)
        except FileNotFoundError:
            return
        with stream:
            yield from pq.ParquetFile(stream).iter_batches(_BATCH_ROWS, columns=columns)

    def read_part(self, part: range) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield some of the claimed versions, with the number of the first row of each batch.

        :param part: Numbers of the rows.
        """
        try:
            stream = self._location.open_input(self._rows)
        except FileNotFoundError:
            return
        with stream:
            file = pq.ParquetFile(stream)
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                if start < part.stop and end > part.start:
                    for batch in file.iter_batches(_PART_BATCH_ROWS, row_groups=[group]):
                        first, last = max(start, part.start), min(start + len(batch), part.stop)
                        if first < last:
                            yield first, batch.slice(first - start, last - first)
                        start += len(batch)
                start = end

    def schema(self) -> pa.Schema:
        """Return the schema of the claimed versions."""
        try:
            with self._location.open_input(self._rows) as stream:
                return pq.read_schema(stream)
        except FileNotFoundError:
            return SCHEMA

    def id_hashes(self) -> Hashes:
        """Return the sorted hashes of the claimed ids."""
        found = [np.zeros(0, np.int64)]
        found += [numbers(batch.column("id_hash")) for batch in self.read_rows(["id_hash"])]
        hashes = np.concatenate(found)
        hashes.sort()
        return hashes

    def sending(self, number: int, start: int, rows: int) -> None:
        """Record that a file is about to be sent.

        :raises LedgerTakenOverError: If another run has settled this claim.
        """
        self._event(number, SENDING, start=start, rows=rows)
        # The other run writes its mark first and reads the events then: at least one of the two sees the other. When it
        # removes the claim, it removes the rows first, so that either the mark exists or the rows do not.
        if self.taken_at() is not None or not self._location.exists(self._rows):
            self._event(number, REFUSED, start=start, rows=rows)
            raise LedgerTakenOverError("Another run has settled the claim of this one. Nothing more is sent.")

    def accepted(self, number: int, start: int, rows: int, batch_id: str | None, status_url: str | None) -> None:
        """Record that Adobe Target queued a file."""
        self._event(number, ACCEPTED, start=start, rows=rows, batch_id=batch_id, status_url=status_url)

    def refused(self, number: int, start: int, rows: int) -> None:
        """Record that Adobe Target certainly did not queue a file."""
        self._event(number, REFUSED, start=start, rows=rows)

    def files(self) -> list[SentFile]:
        """Return the files with their latest state, by number."""
        latest = {name[:6]: name for name in self._location.names(self._folder) if name[:6].isdigit()}
        return [SentFile(**self._location.read_json(f"{self._folder}/{latest[number]}")) for number in sorted(latest)]

    def take_over(self) -> None:
        """Mark the claim, so that its owner sends nothing more."""
        if self.taken_at() is None:
            self._location.write_json(f"{self._folder}/taken.json", {"at": time.time()})

    def taken_at(self) -> float | None:
        """Return when another run took the claim over; None if none did."""
        mark = self._location.read_json(f"{self._folder}/taken.json")
        return mark["at"] if mark else None

    def stop(self) -> None:
        """Record that the owner sends nothing more, and that its calls have returned."""
        self._location.write_json(f"{self._folder}/stopped.json", {"at": time.time()})

    def sends_no_more(self, by: Owner) -> bool:
        """Return whether the owner cannot send another file of this claim.

        :param by: The process that asks.
        """
        if self._location.read_json(f"{self._folder}/stopped.json"):
            return True
        dead = self.owner.is_dead(by)
        files = self.files()
        last = max([self.content["at"], *(file.at for file in files)])
        if dead or (dead is None and time.time() - last > LEASE_SECONDS):
            self.take_over()
        if self.taken_at() is None:
            return all(file.state != SENDING for file in files) and self._is_complete(files)
        unclear = [file for file in self.files() if file.state == SENDING]
        # A call of another machine may still be in progress.
        return bool(dead) or all(time.time() - file.at > LEASE_SECONDS for file in unclear)

    def discard(self) -> None:
        """Remove the folder of the claim."""
        self._location.remove_file(self._rows)
        self._location.remove(self._folder)

    def _is_complete(self, files: list[SentFile]) -> bool:
        return sum(file.rows for file in files) == self.rows

    def _event(self, number: int, state: str, **content: Any) -> None:
        if number not in self._events:
            names = self._location.names(self._folder)
            self._events[number] = sum(name.startswith(f"{number:06d}-") for name in names)
        event = {"number": number, "state": state, "at": time.time(), **content}
        self._location.write_json(f"{self._folder}/{number:06d}-{self._events[number]:06d}.json", event)
        self._events[number] += 1


def new_claim(location: Location, owner: Owner, *, writer: str, number: int, run: str, base: int, rows: int) -> Claim:
    """Return a claim that is not written yet."""
    content = {
        "owner": vars(owner),
        "writer": writer,
        "number": number,
        "run": run,
        "base": base,
        "rows": rows,
        "at": time.time(),
    }
    return Claim(location, uuid.uuid4().hex, content)


def open_claims(location: Location, snapshot: Snapshot) -> list[Claim]:
    """Return the claims that are not settled, in the order of their commits."""
    ended = {control.content["uid"] for control in snapshot.controls if control.kind == "end"}
    found = []
    for control in snapshot.controls:
        if control.kind == "claim" and control.content["uid"] not in ended:
            content = dict(control.content)
            found.append(Claim(location, content.pop("uid"), content))
    return found


def remove_leftovers(location: Location, snapshot: Snapshot, older_than: float) -> None:
    """Remove folders of claims that are settled, or that were never committed.

    :param older_than: Seconds since the last change of a folder that was never committed.
    """
    is_open = {claim.uid for claim in open_claims(location, snapshot)}
    settled = {control.content["uid"] for control in snapshot.controls if control.kind == "end"}
    for uid in location.names(PENDING):
        if uid in is_open:
            continue
        if uid in settled or snapshot.ended(uid) or _age(location, uid) > older_than:
            location.remove(f"{PENDING}/{uid}")


def _age(location: Location, uid: str) -> float:
    if not location.is_local:
        mark = location.read_json(f"{PENDING}/{uid}/born.json")
        if mark is None:
            location.write_json(f"{PENDING}/{uid}/born.json", {"at": time.time()})
        return time.time() - mark["at"] if mark else 0.0
    with contextlib.suppress(FileNotFoundError):
        return time.time() - Path(location.uri, PENDING, uid).stat().st_mtime
    return 0.0


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _process(pid: int) -> str | None:
    """Return the process id and, on Linux, the start time of a process; None if it has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if stat[0] == "Z" else f"{pid} {stat[19]}"
    return str(pid)
