"""Settle claims: append what Adobe Target confirmed, and mark what is uncertain."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.ledger.as_of import numbers, seen_records
from airflow_provider_adobe_target.ledger.claims import ACCEPTED, SENDING, Claim, SentFile
from airflow_provider_adobe_target.ledger.columns import TIME, attribute_names, is_hash_column, profile_schema
from airflow_provider_adobe_target.ledger.hashing import keyed_hashes
from airflow_provider_adobe_target.ledger.lookup import held_profiles
from airflow_provider_adobe_target.ledger.table import Control, LedgerTable, Snapshot
from airflow_provider_adobe_target.ledger.versions import uncertain_versions

log = logging.getLogger(__name__)

_PART_ROWS = 131_072
"""Rows of one commit. Delta Lake keeps much of a commit in memory."""


@dataclass(frozen=True)
class Outcome:
    """Final outcome of one batch.

    :param is_complete: Whether the batch ended ``complete``, with as many rows as were sent.
    :param failures: Rows that were not written, failed or not found.
    :param failed_ids: Ids of rows that Adobe Target named as failed.
    """

    is_complete: bool
    failures: int = 0
    failed_ids: Collection[str] = field(default_factory=frozenset)

    @property
    def confirms(self) -> bool:
        """Whether the rows that are not named as failed were written."""
        return self.is_complete and self.failures <= len(self.failed_ids)


UNKNOWN = Outcome(is_complete=False)
"""Outcome of a file that may have been queued, and whose batch is not known."""


def settle(
    table: LedgerTable, claim: Claim, outcomes: Mapping[int, Outcome], *, now: int, key: bytes | None = None
) -> None:
    """Settle a claim. If it is settled already, only remove its files.

    Rows of complete batches are appended, except those named as failed. Rows whose outcome is unknown keep the values
    that are held and are marked to be sent again. Rows that were certainly not sent are unchanged.

    Many rows are appended in several commits, of which the last one ends the claim. If the process ends before, the
    next run appends all rows again.

    :param claim: Claim whose owner sends nothing more.
    :param outcomes: Outcomes by number of the file. A file without one counts as unknown.
    :param now: Time of confirmation in microseconds.
    :param key: Key of the hashes, if the ledger keeps hashes.
    :raises LedgerBusyError: If other runs changed the ledger too often in between.
    """
    files = claim.files()
    _log_uncertain(files, outcomes)
    for start in range(0, max(1, claim.rows), _PART_ROWS):
        part = range(start, start + _PART_ROWS)

        def attempt(snapshot: Snapshot, part: range = part) -> None:
            if snapshot.ended(claim.uid):
                return
            is_last = part.stop >= claim.rows
            # Delta Lake cannot be read while it is written: these rows are read before.
            uncertain = list(_uncertain(snapshot, claim, files, outcomes, part))
            table.commit(
                snapshot,
                itertools.chain(_confirmed(claim, files, outcomes, now, key, part), uncertain),
                [Control(0, "end", {"uid": claim.uid})] if is_last else [],
                schema=_schema(claim, snapshot),
                ends=claim.uid if is_last else None,
            )

        table.retry(attempt)
    claim.discard()


def _schema(claim: Claim, snapshot: Snapshot) -> pa.Schema:
    """Return the schema of the claimed rows and of the table together."""
    names = claim.schema().names
    attributes = [*attribute_names(names), *snapshot.attributes]
    hash_columns = [*filter(is_hash_column, names), *snapshot.hash_columns]
    return profile_schema(list(dict.fromkeys(attributes)), list(dict.fromkeys(hash_columns)))


def _confirmed(
    claim: Claim, files: list[SentFile], outcomes: Mapping[int, Outcome], now: int, key: bytes | None, part: range
) -> Iterator[pa.Table]:
    """Yield the versions of a part that are confirmed, with the batch and the time."""
    confirmed = [file for file in files if file.state == ACCEPTED and outcomes.get(file.number, UNKNOWN).confirms]
    for file, batch in _rows_of(claim, confirmed, part):
        failed = outcomes[file.number].failed_ids
        if failed:
            names = pa.array(sorted(failed), pa.string())
            names = names if key is None else keyed_hashes(names, key)
            batch = batch.filter(pc.invert(pc.is_in(batch.column("id"), value_set=names)))
        rows = pa.Table.from_batches([batch])
        constants = {
            "confirmed_at": pa.scalar(now, pa.int64()).cast(TIME),
            "batch_id": pa.scalar(file.batch_id, pa.string()),
            "writer": pa.scalar(claim.content["writer"]),
            "run": pa.scalar(claim.content["run"]),
        }
        for name, value in constants.items():
            rows = rows.set_column(rows.schema.get_field_index(name), name, pa.repeat(value, len(rows)))
        yield rows.filter(rows["id"].is_valid())


def _unclear(files: list[SentFile], outcomes: Mapping[int, Outcome]) -> list[SentFile]:
    """Return the files whose rows may be at Adobe Target or not."""
    return [
        file
        for file in files
        if file.state == SENDING or (file.state == ACCEPTED and not outcomes.get(file.number, UNKNOWN).confirms)
    ]


def _log_uncertain(files: list[SentFile], outcomes: Mapping[int, Outcome]) -> None:
    rows = sum(file.rows for file in _unclear(files, outcomes))
    if rows:
        log.warning("%s rows have an unknown outcome. The next run sends them again.", f"{rows:,}")


def _uncertain(
    snapshot: Snapshot, claim: Claim, files: list[SentFile], outcomes: Mapping[int, Outcome], part: range
) -> Iterator[pa.Table]:
    """Yield versions that mark the profiles of a part whose state at Adobe Target is unknown."""
    seen = seen_records(snapshot.controls)
    for _, batch in _rows_of(claim, _unclear(files, outcomes), part):
        batch = batch.filter(batch.column("id").is_valid())
        id_hashes = numbers(batch.column("id_hash"))
        held = held_profiles(snapshot, batch.column("id"), id_hashes, seen, snapshot.attributes)
        yield uncertain_versions(held, id_hashes, snapshot.seq, claim.content["number"])


def _rows_of(claim: Claim, files: list[SentFile], part: range) -> Iterator[tuple[SentFile, pa.RecordBatch]]:
    """Yield the claimed versions of a part that belong to some files."""
    if not files:
        return
    for start, batch in claim.read_part(part):
        for file in files:
            first, last = max(file.start, start), min(file.start + file.rows, start + len(batch))
            if first < last:
                yield file, batch.slice(first - start, last - first)
