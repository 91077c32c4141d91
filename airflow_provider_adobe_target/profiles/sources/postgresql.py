"""Type adapters that make psycopg2 and psycopg 3 return the same values for PostgreSQL types.

Dates, and timestamps without time zone, are fetched as text, which Arrow parses many times faster than the drivers
create Python objects. Dates and times that Python's types cannot represent (``infinity``, years beyond 9999, BC,
``24:00``) become ``BEYOND_PYTHON``. Network addresses, composite values and multiranges are text, and arrays of types
without a Python type are lists of texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from airflow_provider_adobe_target.profiles.sources.arrow_cursors import json_value
from airflow_provider_adobe_target.profiles.sources.dicts import objects_column
from airflow_provider_adobe_target.profiles.sources.driver_errors import driver_name
from airflow_provider_adobe_target.profiles.values.python_values import BEYOND_PYTHON

_DATE, _TIMESTAMP = 1082, 1114
_FETCHED_AS_TEXT = {_DATE: pa.date32(), _TIMESTAMP: pa.timestamp("us")}
_TIMES = {1082: 1182, 1114: 1115, 1184: 1185, 1083: 1183, 1266: 1270}  # OID of the type to OID of its array
_DURATION = {1186: 1187}
# uuid, inet, cidr, macaddr, macaddr8, money, xml, bit, varbit, record, point, lseg, path, polygon, line, circle,
# tsvector, tsquery, jsonpath, pg_lsn, regclass, regtype, regproc, regprocedure, xid, cid, tid, int2vector, oidvector,
# multiranges
_TEXT_ARRAYS = (
    *(2951, 1041, 651, 1040, 775, 791, 143, 1561, 1563, 2287, 1017, 1018, 1019, 1027, 629, 719),
    *(3643, 3645, 4073, 3221, 2210, 2211, 1008, 2207, 1011, 1012, 1010, 1006, 1013),
    *(6150, 6151, 6152, 6153, 6155, 6157),
)
_UNUSED = 1 << 31  # added to the OID of a type, it gives an OID that no type has
_BOX_ARRAY = 1020  # its delimiter is a semicolon: text, as a type that psycopg2 does not know
_MULTIRANGES = ("int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange")
_PLAIN_YEAR = re.compile(r"\d{4}-(?!.*BC)|(?!24)\d\d:")

ColumnReader = Callable[[Sequence[object]], pa.Array]


def read_postgresql_values(connection: Any) -> None:
    """Register the type adapters on a connection of psycopg2 or psycopg 3. Other connections are unchanged."""
    register = _REGISTER.get(driver_name(connection))
    if register:
        register(connection)


def text_column_readers(cursor: Any) -> dict[str, ColumnReader]:
    """Return functions that convert the columns which :func:`read_postgresql_values` fetches as text, by column name.

    :param cursor: Cursor that has executed its statement. For those of other databases there are none.
    """
    parser = _PARSER.get(driver_name(cursor))
    if not parser:
        return {}
    return {
        name: partial(_parsed, name, _FETCHED_AS_TEXT[oid], parser(oid, cursor))
        for name, oid, *_ in cursor.description
        if oid in _FETCHED_AS_TEXT
    }


def _parsed(name: str, arrow_type: pa.DataType, parse: Callable[[str], object], values: Sequence[object]) -> pa.Array:
    try:
        return pa.array(values, pa.string()).cast(arrow_type)
    except pa.ArrowException:  # not a date of Arrow, another DateStyle, or not fetched as text
        return objects_column(name, [parse(value) if isinstance(value, str) else value for value in values])


def _register_psycopg2(connection: Any) -> None:
    from psycopg2 import extensions, extras  # type: ignore[import-untyped]

    for oid, array_oid in (_TIMES | _DURATION).items():
        name = f"ADOBE_TARGET_{oid}"
        caster = extensions.new_type((oid,), name, _guarded(extensions.string_types[oid], oid))
        extensions.register_type(extensions.new_array_type((array_oid,), f"{name}_ARRAY", caster), connection)
        if oid not in _FETCHED_AS_TEXT:
            extensions.register_type(caster, connection)
    texts = extensions.new_type(tuple(_FETCHED_AS_TEXT), "ADOBE_TARGET_TEXT", extensions.UNICODE)
    text_arrays = extensions.new_array_type(_TEXT_ARRAYS, "ADOBE_TARGET_TEXT_ARRAY", extensions.UNICODE)
    for text_type in (texts, text_arrays):
        extensions.register_type(text_type, connection)
    extras.register_default_json(connection, loads=json_value)
    extras.register_default_jsonb(connection, loads=json_value)


def _psycopg2_parser(oid: int, cursor: Any) -> Callable[[str], object]:
    from psycopg2 import extensions

    read = _guarded(extensions.string_types[oid], oid)
    return lambda text: read(text, cursor)


def _guarded(cast: Any, oid: int) -> Any:
    def read(text: str | None, cursor: Any) -> object:
        if text is not None and oid in _TIMES and not _PLAIN_YEAR.match(text):
            return BEYOND_PYTHON
        try:
            return cast(text, cursor)
        except (ValueError, OverflowError):
            return BEYOND_PYTHON

    return read


def _register_psycopg(connection: Any) -> None:
    from psycopg.pq import Format
    from psycopg.types import TypeInfo
    from psycopg.types.json import set_json_loads
    from psycopg.types.string import TextLoader

    for oid, array_oid in (_TIMES | _DURATION).items():
        element = oid + _UNUSED if oid in _FETCHED_AS_TEXT else oid
        connection.adapters.register_loader(element, _guarded_loader(connection.adapters.get_loader(oid, Format.TEXT)))
        if element != oid:
            TypeInfo(f"adobe_target_{oid}", element, array_oid).register(connection)
    for name in ("inet", "cidr", "record", _BOX_ARRAY, *_MULTIRANGES, *_FETCHED_AS_TEXT):
        connection.adapters.register_loader(name, TextLoader)
    set_json_loads(json_value, connection)


def _psycopg_parser(oid: int, cursor: Any) -> Callable[[str], object]:
    from psycopg.pq import Format

    loader = cursor.connection.adapters.get_loader(oid + _UNUSED, Format.TEXT)(oid, cursor.connection)
    return lambda text: loader.load(text.encode())


def _guarded_loader(loader: Any) -> Any:
    from psycopg import DataError
    from psycopg.abc import AdaptContext
    from psycopg.adapt import Loader

    class GuardedLoader(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._load = loader(oid, context).load

        def load(self, data: Any) -> object:
            try:
                return self._load(data)
            except (DataError, ValueError, OverflowError):
                return BEYOND_PYTHON

    return GuardedLoader


_REGISTER = {"psycopg2": _register_psycopg2, "psycopg": _register_psycopg}
_PARSER = {"psycopg2": _psycopg2_parser, "psycopg": _psycopg_parser}
