"""Random rows, and in plain words what is to become of them."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]

SOURCES = ("records", "arrow", "parquet", "csv", "sql")
_MAX_ID = {"thirdPartyId": 256, "pcId": 128}
_WORDS = (
    "gold",
    "Zürich",
    "50%",
    "%2C",
    "a&b=c",
    "x + y",
    "{{ ds }}",
    "<b>",
    '"quoted"',
    "\t",
    "€ 12",
    "😀",
    "NULL",
    "-",
)
_RISKY = ("gold, old", "line\nfeed", "return\r\nand feed", "only\rreturn")
_ARROW = {
    "text": pa.string(),
    "whole": pa.int64(),
    "fraction": pa.float64(),
    "flag": pa.bool_(),
    "day": pa.date32(),
    "list": pa.list_(pa.string()),
}
_SQL = {"text": "TEXT", "whole": "INTEGER", "fraction": "REAL"}
_FORBIDDEN = ("a+b", "a/b", "a\x07b")


@dataclass(frozen=True)
class Table:
    """Rows, and how they are kept.

    :param source: one of ``SOURCES``.
    :param id_column: the first column; ids are text, or whole numbers where ``id_kind`` says so.
    :param kinds: the other columns, and what their values are.
    """

    source: str
    id_column: str
    id_kind: str
    kinds: dict[str, str]
    rows: list[Row] = field(repr=False)


def random_table(random: Random, id_column: str, id_type: str, max_value_length: int) -> Table:
    """Make up some rows, of which some are bad."""
    source = random.choice(SOURCES)
    kinds = list(_SQL) if source == "sql" else list(_ARROW)
    columns = {
        name: random.choice(kinds)
        for name in random.sample(["tier", "score", "city", "last_seen", "a.b", "x-1"], random.randint(1, 5))
    }
    id_kind = "whole" if source != "csv" and random.random() < 0.2 else "text"
    count = random.choice([0, 1, random.randint(2, 60), random.randint(2, 400), random.randint(100, 3_000)])
    some_are_bad = random.random() < 0.6
    make_id = _id_maker(random, id_kind)
    rows: list[Row] = []
    for number in range(count):
        row: Row = {id_column: make_id(number)}
        if rows and random.random() < 0.04:
            row[id_column] = random.choice(rows)[id_column]
        row.update({name: _value(random, kind) for name, kind in columns.items()})
        if some_are_bad and random.random() < 0.08:
            _spoil(random, row, id_column, id_kind, columns, _MAX_ID[id_type], max_value_length)
        rows.append(row)
    return Table(source, id_column, id_kind, columns, rows)


def _id_maker(random: Random, kind: str) -> Any:
    if kind == "whole":
        return lambda number: 70_000_000 + number
    form = random.choice(
        ["U{}", "customer {}", "Ü-{}", "{:08d}", "{}@example.com", "a,{}" if random.random() < 0.2 else "{}"]
    )
    return lambda number: form.format(number)


def _value(random: Random, kind: str) -> Any:
    if random.random() < 0.1:
        return None
    if kind == "whole":
        return random.choice([0, -1, 7, 2**53 + 1, random.randint(0, 10**6)])
    if kind == "fraction":
        return random.randint(-4_000, 4_000) / 4
    if kind == "flag":
        return random.random() < 0.5
    if kind == "day":
        return date(2026, 1, 31) + timedelta(days=random.randint(-400, 400))
    if kind == "list":
        return [random.choice(["a", "b", "c", None]) for _ in range(random.randint(0, 4))]
    if random.random() < 0.05:
        return random.choice(_RISKY)
    return random.choice(_WORDS) + random.choice(["", " ", "ß"]) + random.choice(_WORDS)


def _spoil(
    random: Random, row: Row, id_column: str, id_kind: str, columns: Mapping[str, str], max_id: int, max_value: int
) -> None:
    """Make a row bad, or empty."""
    how = random.choice(["missing", "blank", "forbidden", "long id", "long value", "empty"])
    texts = [name for name, kind in columns.items() if kind == "text"]
    if how == "empty":
        row.update(dict.fromkeys(columns))
        row.update(dict.fromkeys(texts, ""))
    elif how == "long value" and texts:
        row[texts[0]] = "x" * (max_value + 1)
    elif how == "missing" or id_kind == "whole":
        row[id_column] = None
    elif how == "blank":
        row[id_column] = random.choice(["", "  "])
    elif how == "forbidden":
        row[id_column] = random.choice(_FORBIDDEN)
    else:
        row[id_column] = "L" * (max_id + 1)


def changed_table(random: Random, table: Table) -> Table:
    """Return the table after a change: other values, fewer rows, more rows."""
    rows = [dict(row) for row in table.rows if random.random() < 0.95]
    for row in rows:
        if random.random() < 0.2:
            row.update({name: _value(random, kind) for name, kind in table.kinds.items()})
    more = [{**row, table.id_column: f"new {row[table.id_column]}"} for row in rows[:7] if table.id_kind == "text"]
    return replace(table, rows=rows + more)


def arguments(table: Table, folder: Path) -> dict[str, Any]:
    """Return the operator's arguments that name the rows."""
    if table.source == "records":
        return {"data": table.rows}
    if table.source == "arrow":
        return {"data": _arrow(table)}
    if table.source == "sql":
        return {"sql": "SELECT * FROM profiles ORDER BY rowid", "sql_conn_id": "warehouse"}
    return {"path": str(folder / f"rows.{table.source}")}


def _arrow(table: Table) -> pa.Table:
    kinds = {table.id_column: table.id_kind, **table.kinds}
    return pa.Table.from_pylist(table.rows, pa.schema([(name, _ARROW[kind]) for name, kind in kinds.items()]))


def write(table: Table, folder: Path) -> None:
    """Put the rows where they are read from, in permit of others."""
    columns = [table.id_column, *table.kinds]
    if table.source == "parquet":
        pq.write_table(_arrow(table), folder / "rows.parquet", row_group_size=500)
    elif table.source == "csv":
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows([[text_of(row[name]) for name in columns] for row in table.rows])
    elif table.source == "sql":
        with closing(sqlite3.connect(folder / "rows.sqlite")) as database, database:
            kinds = {table.id_column: _SQL[table.id_kind], **{name: _SQL[kind] for name, kind in table.kinds.items()}}
            declared = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
            database.execute("DROP TABLE IF EXISTS profiles")
            database.execute(f"CREATE TABLE profiles ({declared})")
            marks = ", ".join("?" * len(columns))
            values = [[row[name] for name in columns] for row in table.rows]
            database.executemany(f"INSERT INTO profiles VALUES ({marks})", values)


def text_of(value: Any) -> str:
    """Write a value as the interface says."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, list):
        return "|".join(part for part in value if part is not None)
    return value.isoformat() if isinstance(value, date) else str(value)


@dataclass(frozen=True)
class Expected:
    """What is to become of the rows.

    :param profiles: by id, the values as text.
    :param rejected: how many rows are bad, by reason.
    :param empty: how many rows say nothing.
    :param refusal: why nothing may be sent, or None.
    """

    profiles: dict[str, dict[str, str]] = field(repr=False)
    rejected: Counter[str]
    empty: int
    refusal: str | None


def expected(table: Table, id_type: str, arguments: Mapping[str, Any]) -> Expected:
    """Say what is to become of the rows, one after the other."""
    rejected: Counter[str] = Counter()
    empty = 0
    good: dict[str, list[dict[str, str]]] = {}
    for row in table.rows:
        profile_id = text_of(row[table.id_column])
        values = {name: text_of(row[name]) for name in table.kinds if text_of(row[name])}
        reason = _id_reason(profile_id, id_type, arguments["on_risky_value"]) or _value_reason(
            values.values(), arguments
        )
        if reason:
            rejected[reason] += 1
        elif not values:
            empty += 1
        else:
            good.setdefault(profile_id, []).append({name: _sent(value, arguments) for name, value in values.items()})
    bad = rejected.total()
    repeated = sum(len(same) - 1 for same in good.values())
    refusal = None
    if bad and not arguments["skip_invalid_records"]:
        refusal = "cannot be sent"
    elif repeated and arguments["on_duplicate_id"] == "fail":
        refusal = "the same id as an earlier row"
    elif arguments["max_invalid_pct"] is not None and bad * 100 > arguments["max_invalid_pct"] * len(table.rows):
        refusal = "max_invalid_pct"
    elif bad and bad == len(table.rows):
        refusal = "Every row was rejected"
    if repeated:
        rejected["duplicate_id"] = repeated
    which = -1 if arguments["on_duplicate_id"] == "last" else 0
    return Expected({profile_id: same[which] for profile_id, same in good.items()}, rejected, empty, refusal)


def _id_reason(profile_id: str, id_type: str, on_risky_value: str) -> str | None:
    if not profile_id.strip():
        return "missing_id"
    if len(profile_id) > _MAX_ID[id_type]:
        return "id_too_long"
    if any(character in "+/\x07" for character in profile_id):
        return "id_forbidden_character"
    return "id_forbidden_character" if "," in profile_id and on_risky_value != "encode" else None


def _value_reason(values: Sequence[str] | Any, arguments: Mapping[str, Any]) -> str | None:
    for value in values:
        if arguments["on_risky_value"] == "reject" and any(character in ",\r\n" for character in value):
            return "risky_value"
        if len(_sent(value, arguments)) > arguments["max_value_length"]:
            return "value_too_long"
    return None


def _sent(value: str, arguments: Mapping[str, Any]) -> str:
    if arguments["on_risky_value"] != "replace":
        return value
    if not set(value) & set(",\r\n"):
        return value
    parts = re.split(r" *[,\r\n][ ,\r\n]*", value)
    return " ".join(part for part in parts if part)
