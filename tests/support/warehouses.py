"""One table of types for all databases: the expression of each, and the text that is sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

# A text that every format between a database and Target could take for something else.
HOSTILE = """x, y {{ 7*7 }} & z=1+2%41 <b> "q" #;|"""

# The text of an attribute; None if the attribute is not sent.
TEXTS: dict[str, str | None] = {
    "whole": "42",
    "large": "9223372036854775807",
    "amount": "12.345",
    "ratio": "0.1",
    "flag": "true",
    "day": "2026-01-31",
    "moment": "2026-01-31T23:59:59.12",
    "instant": "2026-01-31T21:59:59.12Z",
    "clock": "10:00:00.5",
    "letters": "Zürich 😀",
    "hostile": HOSTILE.replace(", ", " "),
    "json": '{"city": "Zürich"}',
    "nothing": None,
    "empty": None,
}
COMMON = {
    "whole": "42",
    "large": "9223372036854775807",
    "amount": "CAST(12.345 AS DECIMAL(10, 3))",
    "flag": "TRUE",
    "day": "DATE '2026-01-31'",
    "moment": "TIMESTAMP '2026-01-31 23:59:59.12'",
    "clock": "TIME '10:00:00.5'",
    "letters": "'Zürich 😀'",
    "hostile": f"'{HOSTILE}'",
    "nothing": "NULL",
    "empty": "''",
}
EXPRESSIONS: dict[str, dict[str, str]] = {
    "duckdb": {
        **COMMON,
        "ratio": "0.1::DOUBLE",
        "instant": "TIMESTAMPTZ '2026-01-31 23:59:59.12+02'",
        "json": """'{"city": "Zürich"}'""",
    },
    "postgresql": {
        **COMMON,
        "ratio": "0.1::float8",
        "instant": "TIMESTAMPTZ '2026-01-31 23:59:59.12+02'",
        "json": """'{"city": "Zürich"}'::json""",
    },
    "mysql": {**COMMON, "ratio": "0.1e0", "json": """JSON_OBJECT('city', 'Zürich')"""},
    "sqlite": {
        **{name: COMMON[name] for name in ("whole", "large", "flag", "letters", "hostile", "nothing", "empty")},
        "ratio": "0.1",
        "day": "'2026-01-31'",
        "json": """'{"city": "Zürich"}'""",
    },
    "snowflake": {
        **COMMON,
        "amount": "12.345::NUMBER(10, 3)",
        "ratio": "0.1::FLOAT",
        "moment": "'2026-01-31 23:59:59.12'::TIMESTAMP_NTZ",
        "instant": "'2026-01-31 23:59:59.12 +0200'::TIMESTAMP_TZ",
        "clock": "'10:00:00.5'::TIME",
        "json": """PARSE_JSON('{"city": "Zürich"}')""",
        "nothing": "NULL::TEXT",
    },
    "bigquery": {
        **COMMON,
        "amount": "NUMERIC '12.345'",
        "ratio": "0.1",
        "moment": "DATETIME '2026-01-31 23:59:59.12'",
        "instant": "TIMESTAMP '2026-01-31 23:59:59.12+02'",
        "json": """JSON '{"city": "Zürich"}'""",
        "nothing": "CAST(NULL AS STRING)",
    },
}
# Where a database has no such type, or writes it in another way.
OTHER_TEXTS: dict[str, dict[str, str]] = {
    "mysql": {"flag": "1"},
    "sqlite": {"flag": "1"},
    "postgresql": {"json.city": "Zürich"},  # the driver returns JSON parsed
    "snowflake": {"json": '{"city":"Zürich"}'},
    "bigquery": {"json": '{"city":"Zürich"}'},
}


def statement(database: str, rows: str = "", id_column: str = "third_party_id") -> str:
    """Return a SELECT of every type.

    :param rows: what follows the select list
    """
    columns = ", ".join(f"{expression} AS {name}_" for name, expression in EXPRESSIONS[database].items())
    return f"SELECT 'U1' AS {id_column}, {columns} {rows}"


def texts(database: str) -> dict[str, Any]:
    """Return the attributes that the profile has then."""
    expected = {name: TEXTS[name] for name in EXPRESSIONS[database]}
    other = OTHER_TEXTS.get(database, {})
    for name in other:
        expected.pop(name.partition(".")[0], None)
    named = {**expected, **other}
    return {name.replace(".", "_.", 1) if "." in name else f"{name}_": text for name, text in named.items() if text}


def profile(outcome: Any) -> dict[str, str]:
    """Return the attributes of the only row of a batch file that are sent."""
    [line] = outcome.lines
    header = unquote(outcome.bodies[0].partition("\n")[0]).removeprefix("batch=").split(",")
    values = dict(zip(header, map(unquote, line.split(",")), strict=True))
    return {name: value for name, value in values.items() if value and name != "thirdPartyId"}
