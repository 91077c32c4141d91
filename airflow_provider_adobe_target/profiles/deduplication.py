"""Exact deduplication by id over the whole input, in constant memory.

Adobe does not document which of two rows with the same id wins, and a later batch overwrites an earlier one. Therefore
each id is sent once.

Algorithm: a blocked Bloom filter of 32 MiB, with blocks of one 64-bit word and two bits per id, followed by an exact
comparison. If either bit was unset, the id is new: its row is yielded immediately and the id is written to disk.
If both bits were set, the row is a *candidate* duplicate and is spilled to disk, because another id may have set the
bits. After the input ends, candidates are compared with the ids on disk, block by block: the first row of an id that is
not on disk is yielded, the others are duplicates.

Invariant: a Bloom filter has no false negatives, so every duplicate is a candidate. Reference: Putze, Sanders and
Singler, "Cache-, hash- and space-efficient Bloom filters", 2007.

Disk usage: four bytes plus the bytes of the id per profile, plus the candidates. With 10 million ids, 1 in 120 unique
rows is a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.profiles.encoding import cell_starts, string_bytes
from airflow_provider_adobe_target.spill import SpillFile

_FILTER_WORDS = 2**22  # 64-bit words: 32 MiB
_CANDIDATE_BLOCK_ROWS = 65_536
_KNOWN_BLOCK_ROWS = 262_144


def first_of_each_id(
    batches: Iterable[pa.RecordBatch], folder: Path, reject: Callable[[pa.RecordBatch], None]
) -> Iterator[pa.RecordBatch]:
    """Yield the first row of each id.

    :param batches: Rows with a column ``id`` of type string, without nulls.
    :param folder: Existing folder for spill files.
    :param reject: Function that is called with the other rows.
    """
    seen, candidates = BloomFilter(folder), SpillFile(folder / "candidates")
    for batch in batches:
        new = seen.add_if_absent(batch.column("id"))
        if new.all():
            yield batch
            continue
        candidates.write(batch.filter(pa.array(~new)))
        yield batch.filter(pa.array(new))
    for block in candidates.blocks(_CANDIDATE_BLOCK_ROWS):
        first = seen.resolve_candidates(block.column("id"))
        reject(block.filter(pa.array(~first)))
        yield block.filter(pa.array(first))


def last_of_each_id(
    batches: Iterable[pa.RecordBatch], folder: Path, reject: Callable[[pa.RecordBatch], None]
) -> Iterator[pa.RecordBatch]:
    """Yield the last row of each id, in the order of the rows.

    All batches are spilled to disk before the first one is yielded. The last row of an id is the first one in reverse
    order, so the ids are deduplicated backwards and the result is kept in a bitmap with one bit per row.

    :param batches: As :func:`first_of_each_id`, with an increasing column ``row_number`` of type int64.
    :param folder: Existing folder for spill files.
    :param reject: Function that is called with the other rows.
    """
    rows = SpillFile(folder / "rows")
    rows_read = 0
    for batch in batches:
        rows.write(batch)
        rows_read = batch.column("row_number")[len(batch) - 1].as_py() + 1 if len(batch) else rows_read
    last = np.zeros(rows_read // 8 + 1, np.uint8)  # bitmap: one bit per row
    backwards = (
        batch.select(["row_number", "id"]).take(pa.array(np.arange(len(batch))[::-1]))
        for batch in rows.record_batches(backwards=True)
    )
    for batch in first_of_each_id(backwards, folder, reject=lambda _: None):
        _set_bits(last, batch.column("row_number").to_numpy())
    for batch in rows.record_batches():
        is_last = _read_bits(last, batch.column("row_number").to_numpy())
        reject(batch.filter(pa.array(~is_last)))
        yield batch.filter(pa.array(is_last))


class BloomFilter:
    """Set of ids: a blocked Bloom filter in memory, and the ids themselves on disk.

    :param folder: Existing folder for the spill file of ids.
    """

    def __init__(self, folder: Path) -> None:
        self._bits = np.zeros(_FILTER_WORDS, np.uint64)
        self._known = SpillFile(folder / "ids")

    def add_if_absent(self, ids: pa.StringArray) -> npt.NDArray[np.bool_]:
        """Add the ids that are certainly new.

        The hash selects the word by its upper bits and the two bits in it by its lower 12 bits. Sorting by hash makes
        the accesses to the filter sequential and puts equal ids next to each other.

        :param ids: Ids without nulls.
        :return: Mask of ``ids``; True for ids that are new. False means that the id, or another id with the same bits,
            was added before or occurs earlier in ``ids``.
        """
        hashes = hash_strings(ids)
        order = np.argsort(hashes)
        repeats = hashes[order[1:]] == hashes[order[:-1]]
        if repeats.any():
            order = np.argsort(hashes, kind="stable")  # slower, but keeps the order of rows with equal hashes
        hashes = hashes[order]
        words = hashes // np.uint64(2**64 // _FILTER_WORDS)
        bits = np.uint64(1) << (hashes & np.uint64(63)) | np.uint64(1) << (hashes >> np.uint64(6) & np.uint64(63))
        unset = self._bits[words] & bits != bits
        unset[1:] &= ~repeats
        self._set(words, bits)
        new = np.empty(len(ids), bool)
        new[order] = unset
        self._write(ids if new.all() else ids.filter(pa.array(new)))
        return new

    def resolve_candidates(self, ids: pa.StringArray) -> npt.NDArray[np.bool_]:
        """Compare candidates with the ids on disk, and add the new ones.

        :param ids: Ids without nulls for which :meth:`add_if_absent` returned False.
        :return: Mask of ``ids``; True for the first occurrence of each id that was not added before.
        """
        encoded = ids.dictionary_encode()
        known = np.zeros(len(encoded.dictionary), bool)
        for block in self._known.blocks(_KNOWN_BLOCK_ROWS):
            hits = pc.index_in(block.column("id"), value_set=encoded.dictionary).drop_null()
            known[hits.to_numpy()] = True
        first_rows = np.unique(encoded.indices.to_numpy(), return_index=True)[1]
        first = np.zeros(len(ids), bool)
        first[first_rows[~known]] = True
        self._write(ids.filter(pa.array(first)))
        return first

    def _set(self, words: npt.NDArray[np.uint64], bits: npt.NDArray[np.uint64]) -> None:
        """Set bits in words of the filter.

        :param words: Sorted indices of words, possibly repeated. The bits of equal words are combined first, because
            NumPy's indexed assignment applies only one of several updates of an element.
        :param bits: Bits to set, one value per index.
        """
        starts = np.flatnonzero(np.diff(words, prepend=words[:1] + np.uint64(1)))
        self._bits[words[starts]] |= np.bitwise_or.reduceat(bits, starts) if len(starts) else bits

    def _write(self, ids: pa.StringArray) -> None:
        self._known.write(pa.record_batch([ids], names=["id"]))


def hash_strings(strings: pa.StringArray) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each string, stable across machines and versions.

    Algorithm: a multiply-xorshift hash over 8-byte little-endian words, seeded with the length. The loop runs over word
    positions and processes all strings that reach the position at once. The first multiplier is 2**64 divided by the
    golden ratio (Fibonacci hashing, Knuth, TAOCP vol. 3, 6.4). The hash is not cryptographic: the caller must compare
    strings with equal hashes.

    :param strings: Strings without nulls.
    """
    offsets = cell_starts(strings)
    data = np.append(string_bytes(strings), np.zeros(8, np.uint8))
    words = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))  # overlapping view: the 8 bytes from each offset
    starts, lengths = offsets[:-1], np.diff(offsets)
    hashes = lengths.astype(np.uint64)
    shortest = lengths.min() if len(lengths) else 0
    rows: npt.NDArray[np.int64] | slice = slice(None)
    for done in range(0, int(lengths.max(initial=0)), 8):
        if shortest <= done:
            rows = np.flatnonzero(lengths > done)
        word = words[starts[rows] + done]
        if shortest < done + 8:
            left = np.minimum(lengths[rows] - done, 8)
            word <<= np.uint64(8) * (8 - left).astype(np.uint64)  # shift out bytes of the next string
        mixed = (hashes[rows] ^ word) * np.uint64(0x9E3779B97F4A7C15)
        hashes[rows] = mixed ^ (mixed >> np.uint64(32))
    return hashes * np.uint64(0xD6E8FEB86659FD93)


def _read_bits(bitmap: npt.NDArray[np.uint8], positions: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    bits: npt.NDArray[np.bool_] = (bitmap[positions >> 3] >> (positions & 7).astype(np.uint8)) & 1 == 1
    return bits


def _set_bits(bitmap: npt.NDArray[np.uint8], positions: npt.NDArray[np.integer]) -> None:
    np.bitwise_or.at(bitmap, positions >> 3, np.uint8(1) << (positions & 7).astype(np.uint8))
