"""Read the result of database cursors that support Arrow, without a Python object per value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa

from airflow_provider_adobe_target.profiles.sources.dicts import json_number, objects_column
from airflow_provider_adobe_target.profiles.sources.driver_errors import call_driver, read_driver
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_ROWS, check_schema, record_batch
from airflow_provider_adobe_target.profiles.values.object_columns import from_objects
from airflow_provider_adobe_target.profiles.values.python_values import BEYOND_PYTHON

_Batches = Iterator[pa.RecordBatch]


def arrow_batches(cursor: Any) -> _Batches | None:
    """Return the result of a cursor as Arrow record batches.

    The driver is detected by method names, without importing it: DuckDB (``to_arrow_reader``, in older versions
    ``fetch_arrow_reader``), ADBC (``fetch_record_batch``), Snowflake (``fetch_arrow_batches``), Databricks
    (``fetchmany_arrow``) and BigQuery (``query_job``, or Airflow's ``job_id``).

    :param cursor: DB-API cursor that has executed its statement, or a DuckDB relation.
    :return: Record batches; None if the cursor does not support Arrow.
    :raises SourceReadError: If the driver fails.
    """
    for method, read in _READERS.items():
        if callable(getattr(cursor, method, None)):
            return map(_plain, read_driver(call_driver(partial(read, cursor), "before the first row")))
    job = _bigquery_job(cursor)
    if not job:
        return None
    batches = call_driver(lambda: job.result().to_arrow_iterable(), "before the first row")
    return map(_plain, map(_normalized_decimals, read_driver(batches)))


def _bigquery_job(cursor: Any) -> Any | None:
    """Return the query job of a BigQuery cursor, of Google's DB-API or of Airflow's hook; otherwise None."""
    if job := getattr(cursor, "query_job", None):
        return job
    get_client = getattr(getattr(cursor, "hook", None), "get_client", None)
    if get_client and getattr(cursor, "job_id", None):
        return get_client(project_id=cursor.project_id, location=cursor.location).get_job(cursor.job_id)
    return None


def _normalized_decimals(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Remove trailing zeros of NUMERIC, as BigQuery's text form does: in Arrow, 12.5 is 12.500000000."""
    columns = [
        from_objects([None if value is None else value.normalize() for value in column.to_pylist()])
        if pa.types.is_decimal(column.type)
        else column
        for column in batch.columns
    ]
    return record_batch(dict(zip(batch.schema.names, columns, strict=True)), batch.num_rows)


def _fetched_tables(cursor: Any) -> _Batches:
    while (table := cursor.fetchmany_arrow(MAX_ROWS)).num_rows:
        yield from table.to_batches()


def _fetched_batches(cursor: Any) -> _Batches:
    for part in cursor.fetch_arrow_batches():
        yield from part.to_batches() if isinstance(part, pa.Table) else [part]


_READERS: dict[str, Callable[[Any], _Batches]] = {
    "fetch_arrow_batches": _fetched_batches,
    "fetchmany_arrow": _fetched_tables,
    "to_arrow_reader": lambda cursor: iter(cursor.to_arrow_reader(MAX_ROWS)),
    "fetch_arrow_reader": lambda cursor: iter(cursor.fetch_arrow_reader(MAX_ROWS)),
    "fetch_record_batch": lambda cursor: iter(cursor.fetch_record_batch()),
}


def columns_that_differ(schema: pa.Schema, *, is_utc: bool) -> list[str]:
    """Return the names of columns whose text would differ between ADBC and PostgreSQL's DB-API drivers.

    They include arrays, because ADBC flattens nested ones; timestamps with a time zone, unless the session's zone is
    UTC, because ADBC returns UTC; and types that ADBC returns as bytes or in its own encoding, such as money.

    :param schema: Schema from the ADBC driver for PostgreSQL, with the database types as field metadata.
    :param is_utc: Whether the session's time zone is UTC.
    """
    same = _SAME_IN_POSTGRESQL | ({b"timestamptz"} if is_utc else set())
    return [field.name for field in schema if _postgresql_type(field) not in same]


def json_value(text: str | bytes) -> object:
    """Parse a JSON value.

    :return: The value; ``BEYOND_PYTHON`` if Python cannot represent it, such as an integer of 5,000 digits.
    """
    try:
        return json.loads(text, parse_float=json_number)
    except (ValueError, RecursionError):
        return BEYOND_PYTHON


_SAME_IN_POSTGRESQL = frozenset(
    b"bool int2 int4 int8 float4 float8 numeric text varchar bpchar name date time timestamp uuid json jsonb".split()
)
_PARSERS: dict[bytes | None, Callable[[str], Any]] = {b"numeric": Decimal, b"json": json_value, b"jsonb": json_value}


def _postgresql_type(field: pa.Field) -> bytes | None:
    name: bytes | None = (field.metadata or {}).get(b"POSTGRESQL:type")
    return name


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Convert columns that Arrow represents as text or as maps to the values of the same database's DB-API cursor."""
    check_schema(batch.schema, "The statement's result")
    columns = [_plain_column(field, column) for field, column in zip(batch.schema, batch.columns, strict=True)]
    return record_batch(dict(zip(batch.schema.names, columns, strict=True)), batch.num_rows)


def _plain_column(field: pa.Field, column: pa.Array) -> pa.Array:
    if pa.types.is_map(field.type):
        return objects_column(field.name, column.to_pylist(maps_as_pydicts="strict"))
    if parse := _PARSERS.get(_postgresql_type(field)):
        return objects_column(field.name, [None if text is None else parse(text) for text in column.to_pylist()])
    return column
