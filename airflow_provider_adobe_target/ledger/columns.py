"""Schema of the ledger's table, and the names of its columns.

A row of the table is one version of a profile, or a control record. The latest version of an id is what Adobe Target
was last confirmed to hold. ``docs/explanation/ledger.md`` describes the table.
"""

from __future__ import annotations

import pyarrow as pa

FORMAT = 1
BASE_BUCKETS = 16
APPENDED, CONTROL = -1, -2
"""Partitions of versions that are not compacted yet, and of control records."""

UNKNOWN_HASH = 0
"""Source hash of an id that the task has sent, if its next row must be compared value by value."""

TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        ("bucket", pa.int16()),
        ("id", pa.string()),
        ("id_hash", pa.int64()),
        ("seq", pa.int64()),
        ("base_seq", pa.int64()),
        ("as_of", TIME),
        ("as_of_except", pa.map_(pa.string(), TIME)),
        ("confirmed_at", TIME),
        ("batch_id", pa.string()),
        ("writer", pa.string()),
        ("run", pa.string()),
        ("uncertain", pa.bool_()),
        ("control", pa.string()),
        ("blob", pa.binary()),
    ]
)
"""Columns of every ledger.

``seq`` is the number of the commit, and ``base_seq`` the commit up to which *seen* records are applied to the row.
``uncertain`` marks a profile that must be sent again, because the outcome of a batch is unknown.
"""

_ATTRIBUTE, _HASH, _CASE = "a_", "h_", "$"


def attribute_column(name: str) -> str:
    """Return the column of an attribute.

    Delta Lake compares the names of columns without case, Adobe Target with it. Therefore the positions of upper-case
    letters follow the name as a hexadecimal bitmap.
    """
    upper = sum(1 << place for place, letter in enumerate(name) if letter.isupper())
    return f"{_ATTRIBUTE}{name}{_CASE}{upper:x}" if upper else _ATTRIBUTE + name


def attribute_names(columns: list[str]) -> list[str]:
    """Return the names of the attributes among the columns of a ledger."""
    return [column[len(_ATTRIBUTE) :].partition(_CASE)[0] for column in columns if column.startswith(_ATTRIBUTE)]


def hash_column(number: int) -> str:
    """Return the column with the hashes of the rows of one task."""
    return f"{_HASH}{number}"


def is_hash_column(column: str) -> bool:
    """Return whether a column contains hashes of rows."""
    return column.startswith(_HASH)


def profile_schema(attributes: list[str], hash_columns: list[str]) -> pa.Schema:
    """Return the schema of versions of profiles with some attributes and hash columns."""
    fields = [pa.field(attribute_column(name), pa.string()) for name in attributes]
    return pa.schema([*SCHEMA, *fields, *(pa.field(column, pa.int64()) for column in hash_columns)])


def conformed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the columns of a schema. Columns that the rows do not have are null."""
    columns = [
        rows[field.name].cast(field.type) if field.name in rows.column_names else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
