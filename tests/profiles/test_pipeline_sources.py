"""Tables, records, cursors and files of each kind, from the source to the exact body of a file."""

import gzip
import json
import sqlite3
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from decimal import Decimal
from urllib.parse import quote
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.cursors import read_cursor
from airflow_provider_adobe_target.profiles.sources.files import read_files
from support.pipeline import cursor_source, run_pipeline

BERLIN = ZoneInfo("Europe/Berlin")


# --------------------------------------------------------------------------------------------------------------- frames

U1 = {"thirdPartyId": "U1"}


def frame(**columns):
    return pd.DataFrame({"thirdPartyId": ["U1", "U2"], **columns})


def polars(**columns):
    return pl.DataFrame({"thirdPartyId": ["U1", "U2"], **columns}, strict=False)


def objects(*values):
    return pd.Series(values, dtype=object)


FRAMES = [
    ("pandas text", lambda: frame(v=["a", None]), ["U1,a"], 1),
    ("pandas nullable int", lambda: frame(v=pd.array([2**62 + 1, None], "Int64")), ["U1,4611686018427387905"], 1),
    ("pandas int that became float", lambda: frame(v=[3, None]), ["U1,3"], 1),
    ("pandas nullable bool", lambda: frame(v=pd.array([False, None], "boolean")), ["U1,false"], 1),
    ("pandas category", lambda: frame(v=pd.Categorical(["a", None], ["a", "unused"])), ["U1,a"], 1),
    ("pandas category of mixed types", lambda: frame(v=pd.Categorical(["a", 1])), ["U1,a", "U2,1"], 0),
    ("pandas arrow-backed", lambda: frame(v=pd.array(["ä", None], "string[pyarrow]")), ["U1,%C3%A4"], 1),
    (
        "pandas arrow decimal",
        lambda: frame(v=pd.array([Decimal("1.50"), None], pd.ArrowDtype(pa.decimal128(9, 2)))),
        ["U1,1.50"],
        1,
    ),
    (
        "pandas tz-aware",
        lambda: frame(v=pd.to_datetime(["2026-07-01", None]).tz_localize("Europe/Berlin")),
        ["U1,2026-07-01T00%3A00%3A00%2B02%3A00"],
        1,
    ),
    (
        "pandas mixed zones",
        lambda: frame(v=objects(datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 1, tzinfo=BERLIN))),
        ["U1,2026-01-01T00%3A00%3A00Z", "U2,2026-01-01T00%3A00%3A00%2B01%3A00"],
        0,
    ),
    ("pandas sparse", lambda: frame(v=pd.arrays.SparseArray([0, 7])), ["U1,0", "U2,7"], 0),
    ("pandas object of ints and bools", lambda: frame(v=objects(1, True)), ["U1,1", "U2,true"], 0),
    ("pandas object of dicts", lambda: frame(v=objects({"a": 1}, None)), ["U1,1"], 1),
    ("pandas nested dicts", lambda: frame(v=objects({"a": {"b": {"c": "x"}}}, {"a": None})), ["U1,x"], 1),
    ("pandas with an index that repeats", lambda: frame(v=["a", "b"]).set_axis([5, 5]), ["U1,a", "U2,b"], 0),
    ("pandas slice", lambda: pd.concat([frame(v=["x", "y"]), frame(v=["a", "b"])])[2:], ["U1,a", "U2,b"], 0),
    ("polars text", lambda: polars(v=["a", None]), ["U1,a"], 1),
    ("polars category", lambda: polars(v=pl.Series(["a", None], dtype=pl.Categorical)), ["U1,a"], 1),
    ("polars enum", lambda: polars(v=pl.Series(["a", None], dtype=pl.Enum(["b", "a"]))), ["U1,a"], 1),
    ("polars struct", lambda: polars(v=[{"a": {"b": 1}}, None]), ["U1,1"], 1),
    ("polars list", lambda: polars(v=[["a", None, "b"], []]), ["U1,a%7Cb"], 1),
    ("polars decimal", lambda: polars(v=pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(9, 2))), ["U1,1.50"], 1),
    (
        "polars zone",
        lambda: polars(v=pl.Series([datetime(2026, 7, 1), None]).dt.replace_time_zone("Europe/Berlin")),
        ["U1,2026-07-01T00%3A00%3A00%2B02%3A00"],
        1,
    ),
    ("polars int128", lambda: polars(v=pl.Series([2**100, None], dtype=pl.Int128)), [f"U1,{2**100}"], 1),
    ("polars lazy", lambda: polars(v=["a", "b"]).lazy(), ["U1,a", "U2,b"], 0),
    (
        "arrow table of many chunks",
        lambda: pa.concat_tables([pa.table({"thirdPartyId": [i], "v": [v]}) for i, v in [("U1", "a"), ("U2", "b")]]),
        ["U1,a", "U2,b"],
        0,
    ),
    (
        "arrow sliced",
        lambda: pa.table({"thirdPartyId": ["U0", "U1", "U2"], "v": ["x", "a,b", "b"]})[1:],
        ["U1,a%20b", "U2,b"],
        0,
    ),
    ("arrow reader", lambda: pa.table({"thirdPartyId": ["U1"], "v": ["a"]}).to_reader(), ["U1,a"], 0),
    ("arrow record batch", lambda: pa.record_batch({"thirdPartyId": ["U1"], "v": ["a"]}), ["U1,a"], 0),
    (
        "list of dicts with keys that come and go",
        lambda: [{**U1, "v": "a"}, {"v": "b"}, {"thirdPartyId": "U2"}],
        ["U1,a"],
        1,
    ),
    ("list of one row", lambda: [{**U1, "v": "a"}], ["U1,a"], 0),
    ("tuple of dicts", lambda: ({**U1, "v": "a"},), ["U1,a"], 0),
    ("dict that is empty in a row", lambda: [{**U1, "v": {"a": 1}}, {"thirdPartyId": "U2", "v": {}}], ["U1,1"], 1),
    ("all rows empty", lambda: frame(v=[None, ""]), [], 2),
    ("all rows bad", lambda: [{"thirdPartyId": "+", "v": 1}, {"thirdPartyId": None, "v": 1}], [], 0),
    ("no rows", lambda: frame(v=["a", "b"])[:0], [], 0),
    ("an empty list", lambda: [], [], 0),
    ("no rows, no columns", lambda: pd.DataFrame(), [], 0),
    ("no rows, no columns, polars", lambda: pl.DataFrame(), [], 0),
    ("no rows from a cursor", lambda: cursor_source(["thirdPartyId", "v"], []), [], 0),
]


@pytest.mark.parametrize(("data", "lines", "empty"), [pytest.param(*rest, id=name) for name, *rest in FRAMES])
def test_a_table_of_any_make_is_sent_row_by_row(data, lines, empty):
    outcome = run_pipeline(data())
    assert outcome.lines == lines
    assert outcome.empty == empty


WRONG_DATA = [
    ("a generator", lambda: (row for row in [U1]), "cannot be read from generator. Give a pandas"),
    ("a text", lambda: "thirdPartyId,v", "cannot be read from str"),
    ("bytes", lambda: b"thirdPartyId,v", "cannot be read from bytes"),
    ("a dict", lambda: {"thirdPartyId": ["U1"]}, "cannot be read from dict"),
    ("none", lambda: None, "cannot be read from NoneType"),
    ("a number", lambda: 7, "cannot be read from int"),
    ("a numpy array", lambda: np.array([["U1", "a"]]), "cannot be read from ndarray"),
    ("a pandas series", lambda: pd.Series(["U1"]), "cannot be read from Series"),
    ("a polars series", lambda: pl.Series(["U1"]), "cannot be read from Series"),
    ("a chunked array", lambda: pa.chunked_array([["U1"]]), "cannot be read from ChunkedArray"),
    ("a list of tuples", lambda: [("U1", "a")], "Item 0 of the list.*is tuple, not a dict"),
    ("a list with a none", lambda: [{**U1, "v": 1}, None], "Item 1 of the list.*NoneType"),
    ("a key that is no text", lambda: [{**U1, 1: "a"}], "Column 'int 1' cannot be the attribute"),
    ("a key with half a surrogate pair", lambda: [{**U1, "\ud800": "a"}], "an unpaired surrogate"),
    (
        "pandas columns that share a name",
        lambda: pd.DataFrame([["U1", 1, 2]], columns=["thirdPartyId", "a", "a"]),
        "2 columns named 'a'",
    ),
    (
        "pandas columns that are ints",
        lambda: pd.DataFrame([["U1", 1]], columns=["thirdPartyId", 0]),
        "Column 'int 0' cannot be the attribute",
    ),
    (
        "pandas columns of two levels",
        lambda: pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_product([["a"], ["b", "c"]])),
        "MultiIndex.*join",
    ),
    (
        "pandas with its ids in the index",
        lambda: frame(v=[1, 2]).set_index("thirdPartyId"),
        "No id column was found",
    ),
    ("pandas rows without columns", lambda: pd.DataFrame(index=range(3)), "No id column was found"),
    (
        "arrow columns that share a name",
        lambda: pa.table([["U1"], ["a"]], names=["thirdPartyId", "thirdPartyId"]),
        "2 columns named 'thirdPartyId'",
    ),
    (
        "no rows, wrong columns",
        lambda: pd.DataFrame({"customer": [], "v": []}),
        "No id column was found.*'customer', 'v'",
    ),
    ("pandas ids that became float", lambda: pd.DataFrame({"thirdPartyId": [1, None], "v": 1}), "became double"),
    (
        "pandas category of float ids",
        lambda: pd.DataFrame({"thirdPartyId": pd.Categorical([1.0]), "v": 1}),
        "became double",
    ),
    ("polars float ids", lambda: pl.DataFrame({"thirdPartyId": [1.0], "v": [1]}), "became double"),
    (
        "a column of dicts and texts",
        lambda: [{**U1, "v": {"a": 1}}, {**U1, "v": "b"}],
        "'v' has nested fields in some rows",
    ),
    (
        "a pandas column of dicts and texts",
        lambda: frame(v=objects({"a": 1}, "b")),
        "'v' has nested fields in some rows",
    ),
    (
        "cursor columns that share a name",
        lambda: cursor_source(["thirdPartyId", "a", "a"], [("U1", 1, 2)]),
        "2 columns named 'a'",
    ),
    ("cursor with float ids", lambda: cursor_source(["thirdPartyId", "a"], [(1.0, 1)]), "became double"),
]


@pytest.mark.parametrize(("data", "error"), [pytest.param(*rest, id=name) for name, *rest in WRONG_DATA])
def test_what_cannot_be_rows_is_named(data, error):
    with pytest.raises(ProfileDataError, match=error):
        run_pipeline(data())


# -------------------------------------------------------------------------------------------------------- every source

TEXT_ROWS = [
    ("00042", "gold", "kept unchanged"),
    ("U1", "a,b", "comma"),
    ("U2", "line\nbreak", None),
    ("U3", 'say "hi"', "quotes"),
    (None, "gold", "no id"),
    ("a+b", "gold", "forbidden"),
    ("U4", None, None),
    ("U5", "Zürich 😀", "50% & more = +"),
    (" U6 ", "{{ ds }}", "null"),
    ("U1", "later", "duplicate"),
    ("U7", "x" * 5001, None),
]
LF = chr(10)
TEXT_LINES = [
    f"{quote(id_, safe='')},{quote(a.replace(',', ' ').replace(LF, ' '), safe='')},{quote(b or '', safe='')}"
    for number, (id_, a, b) in enumerate(TEXT_ROWS)
    if number not in (4, 5, 6, 9, 10)
]
COLUMNS = ["thirdPartyId", "a", "b"]


def text_table():
    return pa.table([pa.array(column, pa.string()) for column in zip(*TEXT_ROWS)], COLUMNS)


def parquet_files(folder):
    pa.parquet.write_table(text_table(), folder / "rows.parquet", row_group_size=3)
    return read_files([folder / "rows.parquet"])


def csv_files(folder):
    pa.csv.write_csv(text_table(), folder / "rows.csv")
    return read_files([folder / "rows.csv"])


def zipped_csv_files(folder):
    csv_files(folder)
    (folder / "rows.csv.gz").write_bytes(gzip.compress((folder / "rows.csv").read_bytes()))
    return read_files([folder / "rows.csv.gz"])


def ndjson_files(folder):
    (folder / "rows.ndjson").write_text("\n".join(json.dumps(row) for row in text_table().to_pylist()))
    return read_files([folder / "rows.ndjson"])


def one_file_of_each(folder):
    """Cut the rows into a Parquet, a CSV and an NDJSON file."""
    table = text_table()
    pa.parquet.write_table(table[:3], folder / "1.parquet")
    pa.csv.write_csv(table[3:8], folder / "2.csv")
    (folder / "3.jsonl").write_text("\n".join(json.dumps(row) for row in table[8:].to_pylist()))
    return read_files([folder / name for name in ("1.parquet", "2.csv", "3.jsonl")])


def sqlite_cursor(folder):
    with closing(sqlite3.connect(folder / "rows.db")) as connection, connection:
        connection.execute("CREATE TABLE profiles (thirdPartyId TEXT, a TEXT, b TEXT)")
        connection.executemany("INSERT INTO profiles VALUES (?, ?, ?)", TEXT_ROWS)

    @contextmanager
    def opened():
        with closing(sqlite3.connect(folder / "rows.db")) as connection, closing(connection.cursor()) as db_cursor:
            yield db_cursor.execute("SELECT * FROM profiles ORDER BY rowid")

    return read_cursor(opened, fetch_size=4)


SOURCES = {
    "list of dicts": lambda folder: text_table().to_pylist(),
    "pandas": lambda folder: text_table().to_pandas(),
    "pandas objects": lambda folder: pd.DataFrame(TEXT_ROWS, columns=COLUMNS, dtype=object),
    "polars": lambda folder: pl.DataFrame(TEXT_ROWS, schema=COLUMNS, orient="row"),
    "arrow": lambda folder: text_table(),
    "arrow reader": lambda folder: text_table().to_reader(max_chunksize=2),
    "parquet": parquet_files,
    "csv": csv_files,
    "gzipped csv": zipped_csv_files,
    "ndjson": ndjson_files,
    "one file of each kind": one_file_of_each,
    "sqlite cursor": sqlite_cursor,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_same_rows_are_the_same_bytes_from_every_source(source, tmp_path):
    outcome = run_pipeline(source(tmp_path))
    assert outcome.bodies == ["\n".join(["batch=thirdPartyId,a,b", *TEXT_LINES])]
    assert outcome.reject_reasons == [
        (4, "missing_id"),
        (5, "id_forbidden_character"),
        (9, "duplicate_id"),
        (10, "value_too_long"),
    ]
    assert outcome.empty == 1


def test_ndjson_numbers_keep_their_digits_and_csv_cells_are_text(tmp_path):
    (tmp_path / "rows.ndjson").write_text('{"thirdPartyId": 12345678901234567890, "v": 1e2, "w": 3.10, "x": null}\n')
    (tmp_path / "rows.csv").write_text("thirdPartyId,v,w,x\n007,1e2,3.10,\n")
    assert run_pipeline(read_files([tmp_path / "rows.ndjson"])).lines == ["12345678901234567890,100,3.1,"]
    assert run_pipeline(read_files([tmp_path / "rows.csv"])).lines == ["007,1e2,3.10,"]


WRONG_FILES = [
    ("csv, latin-1", "rows.csv", "thirdPartyId,v\nU1,Zürich\n".encode("latin-1"), "is not UTF-8"),
    ("csv, a cell too many", "rows.csv", b"thirdPartyId,v\nU1,a\nU2,SECRET,b\n", "line 3.*3 cells, the header 2"),
    ("csv, a column twice", "rows.csv", b"thirdPartyId,v,v\nU1,a,b\n", "2 columns named 'v'"),
    ("csv, empty", "rows.csv", b"", "has no header"),
    ("csv, an open quote", "rows.csv", b'thirdPartyId,v\nU1,"SECRET\nU2,b\n', "quoted cell is not closed"),
    ("csv, separated by semicolons", "rows.csv", b"thirdPartyId;v\nU1;a\n", "No id column was found"),
    ("csv.gz, not gzipped", "rows.csv.gz", b"thirdPartyId,v\nU1,a\n", "damaged"),
    ("ndjson, an array", "rows.json", b'[{"thirdPartyId": "SECRET"}]\n', "line 1.*not a JSON object"),
    ("ndjson, cut short", "rows.ndjson", b'{"thirdPartyId": "U1", "v": 1}\n{"thirdPartyId": "SECR', "line 2"),
    ("ndjson, a key twice", "rows.ndjson", b'{"thirdPartyId": "U1", "v": 1, "v": 2}\n', "line 1: an object has a dup"),
    ("ndjson, float ids", "rows.ndjson", b'{"thirdPartyId": 1.0, "v": 1}\n', "became"),
    (
        "ndjson, dicts and texts",
        "rows.ndjson",
        b'{"thirdPartyId":"U1","v":{"a":1}}\n{"thirdPartyId":"U2","v":"SECRET"}',
        "nested fields in some rows",
    ),
    ("parquet, not parquet", "rows.parquet", b"thirdPartyId,v\nSECRET,a\n", "damaged"),
    ("a name of no known kind", "rows.xlsx", b"", "has an unknown suffix"),
]


@pytest.mark.parametrize(("name", "content", "error"), [pytest.param(*rest, id=name) for name, *rest in WRONG_FILES])
def test_a_file_that_cannot_be_read_is_named(name, content, error, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProfileDataError, match=error) as raised:
        run_pipeline(read_files([tmp_path / name]))
    assert "SECRET" not in str(raised.value)
