"""Read what the ledger holds: the source hashes of one task, and the latest versions of some ids."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.ledger.as_of import Mask, Seen, Times, among, effective_times, mask, numbers
from airflow_provider_adobe_target.ledger.columns import (
    APPENDED,
    BASE_BUCKETS,
    UNKNOWN_HASH,
    attribute_column,
    hash_column,
)
from airflow_provider_adobe_target.ledger.hashing import Hashes, flat
from airflow_provider_adobe_target.ledger.refresh import Refresh
from airflow_provider_adobe_target.ledger.table import Snapshot

VERSIONS = [*range(BASE_BUCKETS), APPENDED]
"""Partitions of versions of profiles."""


class SourceIndex:
    """Hashes of the rows that one task sent last: the sorted array in memory, with one mark per row.

    An incoming row with a hash in the index is unchanged. The hash covers the id, so that the ids are not compared.

    :param snapshot: Version of the table.
    :param number: Number of the task.
    :param refresh: Rule for rows that must be sent although they are unchanged; they are not in the index.
    """

    def __init__(self, snapshot: Snapshot, number: int, refresh: Refresh) -> None:
        self._snapshot = snapshot
        self._column = hash_column(number)
        self._refresh = refresh
        self.known = 0
        found = np.empty(snapshot.rows, np.int64)  # memory of the part that is not used is not allocated
        size = 0
        for batch in self._latest([]):
            hashes = numbers(batch.column(self._column))
            usable = hashes[self._usable(batch, hashes)]
            found[size : size + len(usable)] = usable
            size += len(usable)
            self.known += int((hashes != UNKNOWN_HASH).sum())
        self._hashes = found[:size]
        self._hashes.sort()
        pa.default_memory_pool().release_unused()
        self._hit = np.zeros(len(self._hashes), bool)

    @property
    def hits(self) -> int:
        """Number of rows that :meth:`look_up` found."""
        return int(self._hit.sum())

    def look_up(self, hashes: Hashes) -> Mask:
        """Return a mask of the hashes in the index, and mark them."""
        order, places, found = self._search(hashes)
        self._hit[places[found]] = True
        return _in_order(found, order)

    def seen(self, *, as_of: int, names: list[str]) -> Seen:
        """Return the record of the rows that :meth:`look_up` found."""
        number = int(self._column[2:])
        all_but = self.known - self.hits < self.hits
        found = [np.zeros(0, np.int64)]
        if not all_but or self.known > self.hits:
            for batch in self._latest([]):
                hashes = numbers(batch.column(self._column))
                hit = self._is_hit(hashes)
                chosen = (hashes != UNKNOWN_HASH) & ~hit if all_but else hit
                found.append(numbers(batch.column("id_hash"))[chosen])
        id_hashes = np.sort(np.concatenate(found))
        return Seen(number, as_of, self._snapshot.seq, names, all_but, id_hashes)

    def missing(self, present: Hashes) -> Iterator[pa.StringArray]:
        """Yield the ids that the task has sent, and that are neither marked nor among ``present``.

        :param present: Sorted hashes of ids.
        """
        for batch in self._latest(["id"]):
            sent = mask(batch.column(self._column).is_valid())
            gone = sent & ~self._is_hit(numbers(batch.column(self._column)))
            gone &= ~among(numbers(batch.column("id_hash")), present)
            if gone.any():
                yield batch.column("id").filter(pa.array(gone))

    def sent(self) -> int:
        """Return the number of ids that the task has sent and that have not left."""
        return sum(int(mask(batch.column(self._column).is_valid()).sum()) for batch in self._latest([]))

    def _usable(self, batch: pa.RecordBatch, hashes: Hashes) -> Mask:
        usable: Mask = hashes != UNKNOWN_HASH
        if self._refresh.days is not None:
            due = self._refresh.due(numbers(batch.column("confirmed_at")), numbers(batch.column("id_hash")))
            usable &= ~due
        return usable

    def _is_hit(self, hashes: Hashes) -> Mask:
        order, places, found = self._search(hashes)
        found[found] = self._hit[places[found]]
        return _in_order(found, order)

    def _search(self, hashes: Hashes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Mask]:
        """Return the order of hashes, and, in this order, their places in the index and a mask of those in it."""
        order = np.argsort(hashes)  # so that the binary searches are sequential
        ordered = hashes[order]
        places = np.searchsorted(self._hashes, ordered)
        found = places < len(self._hashes)
        found[found] = self._hashes[places[found]] == ordered[found]
        return order, places, found & (ordered != UNKNOWN_HASH)

    def _latest(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        confirmed = ["confirmed_at"] if self._refresh.days is not None else []
        yield from latest_versions(self._snapshot, [self._column, *confirmed, *columns])


def _in_order(sorted_mask: Mask, order: npt.NDArray[np.int64]) -> Mask:
    found = np.empty(len(order), bool)
    found[order] = sorted_mask
    return found


def latest_versions(snapshot: Snapshot, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield the latest version of each profile by the hash of the id.

    If two ids have one hash, the older version is omitted: callers must treat such a profile as unknown.

    :param columns: Columns in addition to ``id_hash`` and ``seq``.
    """
    columns = list(dict.fromkeys(["id_hash", "seq", *columns]))
    appended = snapshot.read([APPENDED], columns)
    superseded = np.zeros(0, np.int64)
    if len(appended):
        hashes = numbers(appended["id_hash"])
        order = np.lexsort((numbers(appended["seq"]), hashes))
        last = np.append(hashes[order][1:] != hashes[order][:-1], True)
        superseded = hashes[order][last]
        yield from appended.take(pa.array(order[last])).combine_chunks().to_batches()
    for batch in snapshot.record_batches(range(BASE_BUCKETS), columns):
        if len(superseded):
            batch = batch.filter(pa.array(~among(numbers(batch.column("id_hash")), superseded)))
        yield batch


def count_profiles(snapshot: Snapshot) -> int:
    """Return the number of profiles of which at least one value is held. Reads three small columns."""
    batches = latest_versions(snapshot, ["as_of"])
    return sum(len(batch) - int(batch.column("as_of").null_count) for batch in batches)


class Held:
    """Latest versions of some ids, aligned with them.

    :param ids: Ids, as they are in the ledger.
    :param rows: One row per id, all columns; null if the id is not held.
    :param found: Mask of the ids that are held.
    :param times: Time of each value; ``NEVER`` for values that are not held.
    """

    def __init__(self, ids: pa.StringArray, rows: pa.Table, seen: list[Seen], names: list[str]) -> None:
        self.ids = ids
        self.rows = rows
        self.found: Mask = mask(rows["id"].is_valid())
        self.uncertain: Mask = mask(rows["uncertain"])
        self.times: dict[str, Times] = effective_times(rows, names, seen)

    def text(self, name: str) -> pa.StringArray:
        """Return the values of an attribute; null if it is not held."""
        column = attribute_column(name)
        if column not in self.rows.column_names:
            return pa.nulls(len(self.rows), pa.string())
        return flat(self.rows[column])


def held_profiles(
    snapshot: Snapshot, ids: pa.StringArray, id_hashes: Hashes, seen: list[Seen], names: list[str]
) -> Held:
    """Return the latest versions of some ids. The ids themselves are compared, not only their hashes."""
    return latest_held(snapshot.version_schema, list(versions_of(snapshot, np.sort(id_hashes))), ids, seen, names)


def versions_of(snapshot: Snapshot, id_hashes: Hashes) -> Iterator[pa.RecordBatch]:
    """Yield all versions of some ids, and of ids with the same hashes.

    :param id_hashes: Sorted hashes of the ids.
    """
    for batch in snapshot.record_batches(VERSIONS, snapshot.version_schema.names):
        chosen = among(numbers(batch.column("id_hash")), id_hashes)
        if chosen.any():
            yield batch.filter(pa.array(chosen))


def latest_held(
    schema: pa.Schema, versions: list[pa.RecordBatch], ids: pa.StringArray, seen: list[Seen], names: list[str]
) -> Held:
    """Return the latest versions of some ids among ``versions``, which have all columns of ``schema``."""
    if not versions:
        return Held(ids, schema.empty_table().take(pa.nulls(len(ids), pa.int64())), seen, names)
    rows = pa.Table.from_batches(versions)
    rows = rows.take(pa.array(latest_of_each_id(rows)))
    places = pc.index_in(ids, value_set=flat(rows["id"]))
    return Held(ids, rows.take(places), seen, names)


def latest_of_each_id(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Return the places of the version with the highest ``seq`` of each id."""
    codes = flat(rows["id"]).dictionary_encode().indices.to_numpy()
    order = np.lexsort((numbers(rows["base_seq"]), numbers(rows["seq"]), codes))
    last = np.ones(len(order), bool)
    last[:-1] = codes[order][1:] != codes[order][:-1]
    places: npt.NDArray[np.int64] = order[last]
    return places
