"""Ranges of hashes of ids: parts of the rows that fit in memory. Each part has the rows of whole ids."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from airflow_provider_adobe_target.ledger.as_of import numbers
from airflow_provider_adobe_target.ledger.hashing import Hashes
from airflow_provider_adobe_target.spill import SpillFile

_MOST_RANGES = 512  # each is an open file


def ranges_for(rows: int, most: int, *, least: int = 1) -> int:
    """Return a number of ranges, a power of 2 of at most 512.

    :param rows: Number of rows.
    :param most: Rows of a range, on average.
    :param least: Minimum number of ranges, a power of 2.
    """
    ranges = least
    while ranges * most < rows and ranges < _MOST_RANGES:
        ranges *= 2
    return ranges


def range_of(id_hashes: Hashes, ranges: int) -> Hashes:
    """Return the range of each hash among equal ones, by its upper bits. 16 ranges are the partitions of the table."""
    if ranges == 1:
        return np.zeros(len(id_hashes), np.int64)
    bits = ranges.bit_length() - 1
    return (id_hashes.view(np.uint64) >> np.uint64(64 - bits)).astype(np.int64)


def hashes_of(part: int, ranges: int) -> tuple[int, int]:
    """Return the first and the last hash of a range, as signed integers."""
    size = 2**64 // ranges
    first = part * size
    first -= 2**64 if first >= 2**63 else 0
    return first, first + size - 1


def spill_by_range(batches: Iterable[pa.RecordBatch], ranges: int, folder: Path) -> list[SpillFile]:
    """Write rows to one spill file for each range.

    :param batches: Rows with ``id_hash``.
    :param folder: Folder of the spill files. It is created.
    """
    folder.mkdir()
    spills = [SpillFile(folder / str(part)) for part in range(ranges)]
    for batch in batches:
        parts = range_of(numbers(batch.column("id_hash")), ranges)
        order = np.argsort(parts, kind="stable")
        batch = batch.take(pa.array(order))
        ends = np.searchsorted(parts[order], np.arange(ranges), side="right")
        for spill, start, end in zip(spills, [0, *ends], ends, strict=False):
            if end > start:
                spill.write(batch.slice(start, end - start))
    for spill in spills:
        spill.close()
    return spills
