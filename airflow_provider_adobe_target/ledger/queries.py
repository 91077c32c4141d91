"""Queries of a ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_provider_adobe_target.ledger.as_of import NEVER, mask, seen_records
from airflow_provider_adobe_target.ledger.columns import TIME, attribute_column, profile_schema
from airflow_provider_adobe_target.ledger.errors import LedgerRefusedError
from airflow_provider_adobe_target.ledger.hashing import hash_ids, keyed_hashes
from airflow_provider_adobe_target.ledger.lookup import Held, held_profiles, latest_versions
from airflow_provider_adobe_target.ledger.table import LedgerTable, Snapshot

if TYPE_CHECKING:
    from airflow_provider_adobe_target.ledger import ProfileLedger

_ATTRIBUTES = pa.map_(pa.string(), pa.string())
READ_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("attributes", _ATTRIBUTES),
        ("as_of", TIME),
        ("confirmed_at", TIME),
        ("batch_id", pa.string()),
        ("writer", pa.string()),
    ]
)


def read_profiles(table: LedgerTable, columns: Sequence[str] | None) -> pa.RecordBatchReader:
    """Return the profiles of a ledger; see ``ProfileLedger.read``."""
    names = list(READ_SCHEMA.names if columns is None else columns)
    unknown = [name for name in names if name not in READ_SCHEMA.names]
    if unknown or not names:
        raise LedgerRefusedError(f"columns must be among {', '.join(READ_SCHEMA.names)}.")
    schema = pa.schema([READ_SCHEMA.field(name) for name in names])
    return pa.RecordBatchReader.from_batches(schema, _profiles(table.snapshot(), names))


def get_profile(table: LedgerTable, id: str, key: bytes | None) -> dict[str, Any] | None:
    """Return one profile; see ``ProfileLedger.get``."""
    snapshot = table.snapshot()
    ids = pa.array([id], pa.string())
    ids = ids if key is None else keyed_hashes(ids, key)
    held = held_profiles(snapshot, ids, hash_ids(ids), seen_records(snapshot.controls), snapshot.attributes)
    found = _public(held)
    if not len(found):
        return None
    profile = dict(found.to_pylist()[0])
    profile["id"] = id
    profile["attributes"] = dict(profile["attributes"])
    profile["as_of_by_attribute"] = {
        name: pa.scalar(int(times[0]), pa.int64()).cast(TIME).as_py()
        for name, times in held.times.items()
        if times[0] != NEVER
    }
    return profile


def _profiles(snapshot: Snapshot, names: list[str]) -> Iterator[pa.RecordBatch]:
    schema = profile_schema(snapshot.attributes, snapshot.hash_columns)
    columns = [column for column in schema.names if column not in ("bucket", "control", "blob")]
    seen = seen_records(snapshot.controls)
    for batch in latest_versions(snapshot, columns):
        rows = pa.Table.from_batches([batch]).select(columns)
        held = Held(rows["id"].combine_chunks(), rows, seen, snapshot.attributes)
        yield from _public(held).select(names).combine_chunks().to_batches()


def _public(held: Held) -> pa.Table:
    """Return the profiles that have at least one attribute."""
    rows = len(held.ids)
    names = sorted(held.times)
    latest = np.full(rows, NEVER)
    places, keys, values = [np.zeros(0, np.int64)], [pa.array([], pa.string())], [pa.array([], pa.string())]
    for name in names:
        np.maximum(latest, held.times[name], out=latest)
        text = held.text(name)
        given = np.flatnonzero(mask(text.is_valid()))
        places.append(given)
        keys.append(pa.repeat(name, len(given)))
        values.append(text.drop_null())
    place = np.concatenate(places)
    order = pa.array(np.argsort(place, kind="stable"))
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(np.bincount(place, minlength=rows), out=offsets[1:])
    attributes = pa.MapArray.from_arrays(
        pa.array(offsets), pa.concat_arrays(keys).take(order), pa.concat_arrays(values).take(order)
    )
    has_values = latest != NEVER
    columns = [held.ids, attributes, pa.array(latest, mask=~has_values).cast(TIME)]
    columns += [held.rows[name] for name in ("confirmed_at", "batch_id", "writer")]
    return pa.table(columns, schema=READ_SCHEMA).filter(pa.array(has_values))


class LedgerIds:
    """Rows with the ids for which a ledger holds at least one of some attributes.

    :param ledger: Settings of the ledger. There are no rows if it does not exist yet.
    :param client_code: Client code that it must have.
    :param attributes: Names of the attributes.
    """

    schema = pa.schema([("id", pa.string())])

    def __init__(self, ledger: ProfileLedger, client_code: str, attributes: Sequence[str]) -> None:
        self._ledger = ledger
        self._client_code = client_code
        self._attributes = attributes

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the ids.

        :param columns: Ignored.
        """
        table = self._ledger.opened_if_exists(self._client_code)
        if table is None:
            return
        names = [attribute_column(name) for name in self._attributes]
        for batch in latest_versions(table.snapshot(), ["id", *names]):
            held = np.zeros(len(batch), bool)
            for name in names:
                held |= mask(batch.column(name).is_valid())
            yield batch.select(["id"]).filter(pa.array(held))
