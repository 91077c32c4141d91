"""The time of each value: row times with exceptions, and *seen* records of unchanged rows.

A run that finds rows unchanged confirms their values as of a later time. It does not write the rows again: it appends
one record with the hashes of their ids, or of all other ids if these are fewer. Compaction applies the records.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.ledger.columns import TIME, UNKNOWN_HASH, attribute_column, hash_column
from airflow_provider_adobe_target.ledger.hashing import Hashes, flat
from airflow_provider_adobe_target.ledger.table import Control

Times = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NEVER = np.iinfo(np.int64).min
"""Time of a value that is not held."""


def to_micros(time: datetime) -> int:
    """Return microseconds since 1970 of a time with a zone."""
    delta = time.astimezone(timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


@dataclass(frozen=True)
class Seen:
    """Ids whose rows a run found unchanged.

    :param number: Number of the task.
    :param as_of: Time of the rows, in microseconds.
    :param base: Commit that the run read. Later versions of a profile are not covered.
    :param names: Attributes that the rows have.
    :param all_but: Whether ``hashes`` are the ids that are not covered, among those with a source hash of the task.
    :param hashes: Sorted hashes of ids.
    :param seq: Number of the commit of the record; 0 before it is committed.
    """

    number: int
    as_of: int
    base: int
    names: Sequence[str]
    all_but: bool
    hashes: Hashes
    seq: int = 0

    @classmethod
    def from_control(cls, control: Control) -> Seen:
        """Read a record."""
        content = control.content
        hashes = np.frombuffer(zlib.decompress(control.blob), np.int64)
        fields = {name: content[name] for name in ("number", "as_of", "base", "names", "all_but")}
        return cls(**fields, hashes=hashes, seq=control.seq)

    def to_control(self) -> Control:
        """Return the record for a commit."""
        names = ("number", "as_of", "base", "names", "all_but")
        content = {name: getattr(self, name) for name in names} | {"names": list(self.names)}
        return Control(self.seq, "seen", content, zlib.compress(self.hashes.tobytes(), 1))

    def covers(self, rows: pa.Table) -> Mask:
        """Return a mask of versions that this record raises.

        :param rows: Versions with ``id_hash``, ``seq``, ``base_seq`` and the hash column of the task.
        """
        seq, base_seq = numbers(rows["seq"]), numbers(rows["base_seq"])
        covered: Mask = (seq <= self.base) & (base_seq < self.seq)
        if not covered.any():
            return covered
        listed = among(numbers(rows["id_hash"]), self.hashes)
        if not self.all_but:
            return covered & listed
        column = hash_column(self.number)
        known = numbers(rows[column]) if column in rows.column_names else np.full(len(rows), UNKNOWN_HASH)
        covered &= ~listed & (known != UNKNOWN_HASH)
        return covered


def seen_records(controls: Iterable[Control]) -> list[Seen]:
    """Return the seen records among control records."""
    return [Seen.from_control(control) for control in controls if control.kind == "seen"]


def effective_times(rows: pa.Table, names: Sequence[str], seen: Sequence[Seen]) -> dict[str, Times]:
    """Return the time of each value, in microseconds; ``NEVER`` for values that are not held.

    :param rows: Versions of profiles, all columns.
    :param names: Attributes.
    :param seen: All seen records of the ledger.
    """
    row_times = numbers(rows["as_of"])
    times = {}
    exceptions = _exceptions(rows["as_of_except"])
    for name in names:
        column = attribute_column(name)
        held = mask(rows[column].is_valid()) if column in rows.column_names else np.zeros(len(rows), bool)
        time = row_times.copy()
        if name in exceptions:
            places, values = exceptions[name]
            time[places] = values
        times[name] = np.where(held, time, NEVER)
    for record in seen:
        covered = record.covers(rows)
        if covered.any():
            for name in record.names:
                if name in times:
                    raised = covered & (times[name] != NEVER) & (times[name] < record.as_of)
                    times[name][raised] = record.as_of
    return times


def time_columns(times: Mapping[str, Times], rows: int) -> tuple[pa.Array, pa.Array]:
    """Return the columns ``as_of`` and ``as_of_except`` for the times of values.

    :param times: Times of each attribute, ``NEVER`` for values that are not held.
    :param rows: Number of rows.
    """
    latest = np.full(rows, NEVER)
    for time in times.values():
        np.maximum(latest, time, out=latest)
    places, keys, values = [np.zeros(0, np.int64)], [], [np.zeros(0, np.int64)]
    for name, time in times.items():
        differs = np.flatnonzero((time != latest) & (time != NEVER))
        places.append(differs)
        keys.append(pa.repeat(name, len(differs)))
        values.append(time[differs])
    place = np.concatenate(places)
    order = pa.array(np.argsort(place, kind="stable"))
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(np.bincount(place, minlength=rows), out=offsets[1:])
    key = pa.concat_arrays(keys) if keys else pa.array([], pa.string())
    exceptions = pa.MapArray.from_arrays(
        pa.array(offsets), key.take(order), pa.array(np.concatenate(values)).cast(TIME).take(order)
    )
    return pa.array(latest, mask=latest == NEVER).cast(TIME), exceptions


def numbers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a column of integers or times as 64-bit integers; 0 for null."""
    if not pa.types.is_integer(column.type):
        column = column.cast(pa.int64())
    array: npt.NDArray[np.int64] = pc.fill_null(column, 0).to_numpy()
    return array


def mask(column: pa.Array | pa.ChunkedArray) -> Mask:
    """Return a column of booleans as a mask; False for null."""
    found: Mask = pc.fill_null(flat(column), False).to_numpy(zero_copy_only=False)
    return found


def among(values: Hashes, sorted_values: Hashes) -> Mask:
    """Return a mask of the values that occur among sorted values. Algorithm: binary search."""
    if not len(sorted_values):
        return np.zeros(len(values), bool)
    places = np.searchsorted(sorted_values, values)
    places[places == len(sorted_values)] = 0
    found: Mask = sorted_values[places] == values
    return found


def _exceptions(column: pa.ChunkedArray) -> dict[str, tuple[npt.NDArray[np.int64], Times]]:
    """Return rows and times of the exceptions of each attribute."""
    array = flat(column)
    if array.null_count == len(array):
        return {}
    entries = _as_list(array)
    rows = np.repeat(np.arange(len(array)), numbers(pc.list_value_length(entries)))
    if not len(rows):
        return {}
    items = entries.flatten()
    keys, values = items.field(0), numbers(items.field(1))
    found = {}
    for name in keys.unique().to_pylist():
        chosen = mask(pc.equal(keys, name))
        found[name] = (rows[chosen], values[chosen])
    return found


def _as_list(array: pa.MapArray) -> pa.ListArray:
    """Return the map as a list of structs, which has the functions of lists."""
    item = pa.struct([pa.field("key", array.type.key_type, nullable=False), pa.field("value", array.type.item_type)])
    return array.cast(pa.list_(pa.field("entries", item, nullable=False)))
