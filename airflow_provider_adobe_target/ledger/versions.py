"""Build new versions of profiles from merged or held rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from airflow_provider_adobe_target.ledger.as_of import NEVER, Mask, Times, mask, numbers, time_columns
from airflow_provider_adobe_target.ledger.columns import (
    UNKNOWN_HASH,
    attribute_column,
    conformed,
    hash_column,
    profile_schema,
)
from airflow_provider_adobe_target.ledger.hashing import Hashes
from airflow_provider_adobe_target.ledger.lookup import Held
from airflow_provider_adobe_target.ledger.merge import Merged
from airflow_provider_adobe_target.ledger.writers import Writer


def merged_versions(
    held: Held, merged: Merged, id_hashes: Hashes, hashes: pa.Array, base_seq: int, writer: Writer, others: list[Writer]
) -> pa.Table:
    """Return the versions that the ledger keeps if the merged rows are confirmed.

    :param hashes: Source hashes of the rows for ``writer``; null for ids that are no longer in the rows.
    :param base_seq: Commit that ``held`` was read at.
    :param writer: Task that sends the rows.
    :param others: All other tasks.
    """
    as_of, exceptions = time_columns(merged.times, len(held.ids))
    columns = {
        "id": held.ids,
        "id_hash": pa.array(id_hashes),
        "base_seq": pa.repeat(base_seq, len(held.ids)),
        "as_of": as_of,
        "as_of_except": exceptions,
        hash_column(writer.number): hashes,
    }
    for other in others:
        column = hash_column(other.number)
        if column in held.rows.column_names:
            columns[column] = _invalidated(held.rows[column], _altered(held, merged, other))
    columns |= {attribute_column(name): text for name, text in merged.held_texts.items()}
    hash_columns = [column for column in columns if column.startswith("h_")]
    return conformed(pa.table(columns), profile_schema(list(merged.held_texts), hash_columns))


def held_versions(held: Held, base_seq: int, times: Mapping[str, Times] | None = None) -> pa.Table:
    """Return new versions of what is held, with *seen* records applied.

    :param held: Versions. Each must be held.
    :param base_seq: Commit that ``held`` was read at.
    :param times: Times of the values; None for those of ``held``.
    """
    as_of, exceptions = time_columns(held.times if times is None else times, len(held.ids))
    rows = held.rows
    for name, column in {
        "as_of": as_of,
        "as_of_except": exceptions,
        "base_seq": pa.repeat(pa.scalar(base_seq, pa.int64()), len(rows)),
    }.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    hash_columns = [column for column in rows.column_names if column.startswith("h_")]
    return conformed(rows, profile_schema(list(held.times), hash_columns))


def uncertain_versions(held: Held, id_hashes: Hashes, base_seq: int, number: int) -> pa.Table:
    """Return versions with the values that are held, marked to be sent again.

    :param held: Versions, with rows for ids that are not held.
    :param number: Number of the task that sent the rows.
    """
    rows = held_versions(held, base_seq)
    columns = {name: rows[name] for name in rows.column_names}
    columns["id"], columns["id_hash"] = held.ids, pa.array(id_hashes)
    columns["uncertain"] = pa.repeat(True, len(rows))
    for column in [name for name in columns if name.startswith("h_")]:
        columns[column] = _invalidated(columns[column], np.ones(len(rows), bool))
    columns[hash_column(number)] = pa.repeat(pa.scalar(UNKNOWN_HASH, pa.int64()), len(rows))
    hash_columns = [column for column in columns if column.startswith("h_")]
    return conformed(pa.table(columns), profile_schema(list(held.times), hash_columns))


def with_hashes(rows: pa.Table, number: int, hashes: pa.Array) -> pa.Table:
    """Return rows with the source hashes of one task replaced."""
    column = hash_column(number)
    if column not in rows.column_names:
        return rows.append_column(column, hashes)
    return rows.set_column(rows.schema.get_field_index(column), column, hashes)


def source_hashes(hashes: Hashes, reproducible: Mask) -> npt.NDArray[np.int64]:
    """Return the hashes of rows that would be unchanged if they came again, and ``UNKNOWN_HASH`` for the others."""
    return np.where(reproducible, hashes, UNKNOWN_HASH)


def _altered(held: Held, merged: Merged, writer: Writer) -> Mask:
    altered = np.zeros(len(held.ids), bool)
    for name in writer.attributes:
        if name in merged.changed:
            dropped = (held.times.get(name, np.full(len(altered), NEVER)) != NEVER) & (merged.times[name] == NEVER)
            altered |= merged.changed[name] | dropped
    return altered


def _invalidated(column: pa.ChunkedArray, where: Mask) -> pa.Array:
    sent = mask(column.is_valid())
    return pa.array(np.where(where, UNKNOWN_HASH, numbers(column)), mask=~sent)
