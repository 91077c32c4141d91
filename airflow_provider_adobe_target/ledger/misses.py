"""Rows that the first pass does not know to be unchanged, with what is held for their ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from airflow_provider_adobe_target.ledger.as_of import numbers
from airflow_provider_adobe_target.ledger.hash_ranges import ranges_for, spill_by_range
from airflow_provider_adobe_target.ledger.hashing import Hashes
from airflow_provider_adobe_target.ledger.lookup import versions_of
from airflow_provider_adobe_target.ledger.table import Snapshot
from airflow_provider_adobe_target.spill import SpillFile

_PART_ROWS = 32_768


class Misses:
    """Rows on disk, in parts that fit in memory.

    :param folder: Existing folder for spill files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows = SpillFile(folder / "misses")

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows with ``id_hash``."""
        self._rows.write(batch)

    def parts(self, snapshot: Snapshot) -> Iterator[tuple[pa.RecordBatch, list[pa.RecordBatch]]]:
        """Yield the rows in parts, each with all versions of its ids that the table has. The table is read once."""
        if not self._rows.rows:
            return
        if not snapshot.attributes:  # nothing is held
            yield from ((block, []) for block in self._rows.blocks(_PART_ROWS))
            return
        ranges = ranges_for(self._rows.rows, _PART_ROWS)
        rows = spill_by_range(self._rows.record_batches(), ranges, self._folder / "misses-by-hash")
        found = versions_of(snapshot, self._id_hashes())
        versions = spill_by_range(found, ranges, self._folder / "versions-by-hash")
        for some_rows, their_versions in zip(rows, versions, strict=True):
            for block in some_rows.blocks(_PART_ROWS):
                yield block, list(their_versions.record_batches())

    def _id_hashes(self) -> Hashes:
        hashes = np.concatenate([numbers(batch.column("id_hash")) for batch in self._rows.record_batches()])
        hashes.sort()
        return hashes
