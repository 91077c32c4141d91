"""Compaction, vacuum and erasure."""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_adobe_target.ledger.as_of import mask, numbers, seen_records
from airflow_provider_adobe_target.ledger.claims import PENDING, Claim, open_claims
from airflow_provider_adobe_target.ledger.columns import APPENDED, BASE_BUCKETS, conformed, profile_schema
from airflow_provider_adobe_target.ledger.errors import LedgerBusyError
from airflow_provider_adobe_target.ledger.hash_ranges import hashes_of, ranges_for, spill_by_range
from airflow_provider_adobe_target.ledger.lookup import Held, latest_of_each_id
from airflow_provider_adobe_target.ledger.table import Control, LedgerTable, Snapshot
from airflow_provider_adobe_target.ledger.versions import held_versions
from airflow_provider_adobe_target.ledger.writers import writers
from airflow_provider_adobe_target.spill import SpillFile

log = logging.getLogger(__name__)

_MAX_APPENDED_SHARE = 0.2
_MIN_APPENDED_ROWS = 20_000
_MAX_FILES = 24
_KEEP_DAYS = 30
_RANGE_ROWS = 65_536
"""Rows of a range of hashes that compaction holds in memory."""

_MAX_COMPACTIONS = 5


def compact_if_due(table: LedgerTable) -> None:
    """Compact the ledger if many versions were appended since. A conflict with other runs only postpones it."""
    snapshot = table.snapshot()
    files = snapshot.files()
    buckets = numbers(files["partition.bucket"]) if len(files) else np.zeros(0, np.int64)
    rows = numbers(files["num_records"]) if len(files) else buckets
    appended, base = int(rows[buckets == APPENDED].sum()), int(rows[buckets >= 0].sum())
    many_rows = appended > max(_MIN_APPENDED_ROWS, _MAX_APPENDED_SHARE * base)
    if not many_rows and (buckets < 0).sum() <= _MAX_FILES:
        return
    try:
        compact(table)
        vacuum(table, _KEEP_DAYS)
    except LedgerBusyError as error:
        log.warning("The ledger is not compacted now: %s", error)


def compact(table: LedgerTable, forgotten: pa.StringArray | None = None) -> int:
    """Rewrite the table with the latest version of each profile, and apply *seen* records.

    Each partition is one commit, so that a crash leaves a valid ledger. The last commit removes appended versions and
    control records that all partitions contain.

    :param forgotten: Ids to erase, as they are in the ledger.
    :return: Number of erased profiles.
    :raises LedgerBusyError: If other runs changed the ledger too often in between, or compacted it.
    """
    read = table.snapshot()
    erased: dict[int, int] = {}
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        ranges = ranges_for(read.rows, _RANGE_ROWS, least=BASE_BUCKETS)
        appended = spill_by_range(
            read.record_batches([APPENDED], read.version_schema.names), ranges, Path(folder, "appended")
        )
        for bucket in range(BASE_BUCKETS):

            def attempt(snapshot: Snapshot, bucket: int = bucket) -> None:
                _check_not_compacted(snapshot, read.seq)
                with tempfile.TemporaryDirectory(dir=folder) as work:
                    rows = SpillFile(Path(work, "rows"))
                    erased[bucket] = 0
                    for part in range(bucket * ranges // BASE_BUCKETS, (bucket + 1) * ranges // BASE_BUCKETS):
                        latest, gone = _latest_of_range(snapshot, part, ranges, appended[part], read.seq, forgotten)
                        erased[bucket] += gone
                        rows.write_table(latest)
                    if rows.rows or any(map(len, snapshot.record_batches([bucket], ["seq"]))):
                        schema = profile_schema(snapshot.attributes, snapshot.hash_columns)
                        table.commit(snapshot, rows.tables(), schema=schema, replaces=f"bucket = {bucket}")

            table.retry(attempt)
        table.retry(lambda snapshot: _drop_appended(table, snapshot, read.seq, forgotten))
    return sum(erased.values())


def vacuum(table: LedgerTable, keep_days: float) -> None:
    """Delete files that no version of the last days needs.

    Files that no commit refers to are deleted after a day at the earliest, because a commit may be in progress.
    """
    for hours, full in ((int(keep_days * 24), False), (max(24, int(keep_days * 24)), True)):
        table.snapshot().table.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False, full=full)


def forget(table: LedgerTable, ids: pa.StringArray) -> int:
    """Erase profiles from all versions of the ledger, from its log and from pending batches.

    :param ids: Ids, as they are in the ledger.
    :return: Number of erased profiles.
    """
    for claim in open_claims(table.location, table.snapshot()):
        _forget_in_claim(table, claim, ids)
    erased = _compacted(table, ids)
    vacuum(table, 0)
    _clean_log(table)
    return erased


def _compacted(table: LedgerTable, ids: pa.StringArray) -> int:
    """Compact, again if another run did so in the meantime."""
    for _ in range(_MAX_COMPACTIONS):
        try:
            return compact(table, ids)
        except LedgerBusyError as error:
            log.info("%s", error)
    return compact(table, ids)


def _check_not_compacted(snapshot: Snapshot, since: int) -> None:
    """Check that no other run has compacted the ledger, and perhaps erased profiles, since its versions were read.

    :raises LedgerBusyError: If another run has.
    """
    if any(control.kind == "compacted" and control.seq > since for control in snapshot.controls):
        raise LedgerBusyError("Another run has compacted the ledger in the meantime.")


def _latest_of_range(
    snapshot: Snapshot, part: int, ranges: int, appended: SpillFile, until: int, forgotten: pa.StringArray | None
) -> tuple[pa.Table, int]:
    """Return the rows of a range of a compacted partition, sorted by hash, and the number of erased profiles."""
    bucket = part * BASE_BUCKETS // ranges
    kept = snapshot.version_schema
    parts = list(snapshot.record_batches([bucket], kept.names, hashes=hashes_of(part, ranges)))
    tables = [conformed(pa.Table.from_batches([part]), kept) for part in [*parts, *appended.record_batches()]]
    rows = pa.concat_tables([kept.empty_table(), *tables])
    rows = rows.take(pa.array(latest_of_each_id(rows))).sort_by("id_hash")
    erased = 0
    if forgotten is not None:
        gone = mask(pc.is_in(rows["id"], value_set=forgotten))
        rows, erased = rows.filter(pa.array(~gone)), int(gone.sum())
    if not len(rows):
        return rows, erased
    seen = [record for record in seen_records(snapshot.controls) if record.seq <= until]
    held = Held(rows["id"].combine_chunks(), rows, seen, snapshot.attributes)
    base_seq = np.maximum(numbers(rows["base_seq"]), until)
    folded = held_versions(held, 0)
    places = {name: folded.schema.get_field_index(name) for name in ("base_seq", "bucket")}
    folded = folded.set_column(places["base_seq"], "base_seq", pa.array(base_seq))
    return folded.set_column(places["bucket"], "bucket", pa.repeat(pa.scalar(bucket, pa.int16()), len(rows))), erased


def _drop_appended(table: LedgerTable, snapshot: Snapshot, until: int, forgotten: pa.StringArray | None) -> None:
    schema = profile_schema(snapshot.attributes, snapshot.hash_columns)

    def later() -> Iterator[pa.Table]:
        for batch in snapshot.record_batches_since(until, schema.names):
            if forgotten is not None:
                batch = batch.filter(pc.invert(pc.is_in(batch.column("id"), value_set=forgotten)))
            yield pa.Table.from_batches([batch.filter(pc.equal(batch.column("bucket"), APPENDED))])

    controls = list(_kept_controls(snapshot, until))
    table.commit(snapshot, list(later()), controls, schema=schema, replaces="bucket < 0")


def _kept_controls(snapshot: Snapshot, until: int) -> Iterator[Control]:
    """Yield the control records that are still needed."""
    ended = {control.content["uid"] for control in snapshot.controls if control.kind == "end"}
    for writer in writers(snapshot.controls).values():
        yield writer.to_control()
    latest: dict[str, Control] = {}
    for control in snapshot.controls:
        if control.kind == "snapshot":
            before = latest.get(control.content["writer"])
            if before is None or control.content["as_of"] > before.content["as_of"]:
                latest[control.content["writer"]] = control
        elif (control.kind == "claim" and control.content["uid"] not in ended) or (
            control.kind == "seen" and control.seq > until
        ):
            yield control
    yield from latest.values()
    yield Control(0, "compacted", {"until": until})


def _forget_in_claim(table: LedgerTable, claim: Claim, ids: Collection[str] | pa.StringArray) -> None:
    """Blank forgotten rows of a claim. The places of the other rows stay, because files refer to them."""
    name = f"{PENDING}/{claim.uid}/rows.parquet"
    new = f"{PENDING}/{claim.uid}/rows-{uuid.uuid4().hex}.parquet"
    try:
        rows = pa.Table.from_batches(list(claim.read_rows()))
    except FileNotFoundError:
        return
    gone = pc.is_in(rows["id"], value_set=ids)
    if not pc.any(gone).as_py():
        return
    columns = [pc.if_else(gone, pa.scalar(None, column.type), column) for column in rows.columns]
    with table.location.open_output(new) as stream:
        pq.write_table(pa.table(columns, schema=rows.schema), stream)
    data = table.location.read(new)
    if data is not None:
        table.location.write(name, data)
    table.location.remove_file(new)


def _clean_log(table: LedgerTable) -> None:
    """Remove log entries of earlier versions, which may contain statistics of erased rows."""
    dt = table.snapshot().table
    dt.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    dt = table.snapshot().table
    dt.create_checkpoint()
    dt.cleanup_metadata()
    dt.alter.set_table_properties({"delta.logRetentionDuration": f"interval {_KEEP_DAYS} days"})
