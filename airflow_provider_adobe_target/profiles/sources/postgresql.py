"""Type adapters that make psycopg2 and psycopg 3 return the same values for PostgreSQL types.

Dates and times that Python's types cannot represent (``infinity``, years beyond 9999, BC, ``24:00``) become
``BEYOND_PYTHON``. Network addresses, composite values and multiranges are text, and arrays of types without a Python
type are lists of texts.
"""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_adobe_target.profiles.sources.arrow_cursors import json_value
from airflow_provider_adobe_target.profiles.values.python_values import BEYOND_PYTHON

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
_BOX_ARRAY = 1020  # its delimiter is a semicolon: text, as a type that psycopg2 does not know
_MULTIRANGES = ("int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange")
_PLAIN_YEAR = re.compile(r"\d{4}-(?!.*BC)|(?!24)\d\d:")


def read_postgresql_values(connection: Any) -> None:
    """Register the type adapters on a connection of psycopg2 or psycopg 3. Other connections are unchanged."""
    register = _REGISTER.get(type(connection).__module__.partition(".")[0])
    if register:
        register(connection)


def _register_psycopg2(connection: Any) -> None:
    from psycopg2 import extensions, extras  # type: ignore[import-untyped]

    for oid, array_oid in (_TIMES | _DURATION).items():
        name = f"ADOBE_TARGET_{oid}"
        caster = extensions.new_type((oid,), name, _guarded(extensions.string_types[oid], oid))
        extensions.register_type(caster, connection)
        extensions.register_type(extensions.new_array_type((array_oid,), f"{name}_ARRAY", caster), connection)
    texts = extensions.new_array_type(_TEXT_ARRAYS, "ADOBE_TARGET_TEXT_ARRAY", extensions.UNICODE)
    extensions.register_type(texts, connection)
    extras.register_default_json(connection, loads=json_value)
    extras.register_default_jsonb(connection, loads=json_value)


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
    from psycopg import DataError
    from psycopg.pq import Format
    from psycopg.types.json import set_json_loads
    from psycopg.types.string import TextLoader

    def guarded(loader: Any) -> Any:
        class Loader(loader):  # type: ignore[misc]
            def load(self, data: Any) -> object:
                try:
                    return super().load(data)
                except (DataError, ValueError, OverflowError):
                    return BEYOND_PYTHON

        return Loader

    for oid in _TIMES | _DURATION:
        loader = connection.adapters.get_loader(oid, Format.TEXT)
        connection.adapters.register_loader(oid, guarded(_python_loader(loader)))
    for name in ("inet", "cidr", "record", _BOX_ARRAY, *_MULTIRANGES):
        connection.adapters.register_loader(name, TextLoader)
    set_json_loads(json_value, connection)


def _python_loader(loader: Any) -> Any:
    """Return psycopg's Python implementation of a loader. Loaders implemented in C cannot be subclassed."""
    import psycopg.types.datetime as module

    return getattr(module, loader.__name__, loader)


_REGISTER = {"psycopg2": _register_psycopg2, "psycopg": _register_psycopg}
