"""Files that are broken or strange: each row is sent, rejected with its place, or the run ends with a clear error."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import time
import tracemalloc
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sources.files import read_files
from airflow_provider_adobe_target.profiles.sources.partitions import dataset_files

EXAMPLES = settings.default.max_examples
MIB = 1024 * 1024


def read_file(name, content):
    """Send the rows of a file nowhere, and check that each is counted once.

    :return: how many rows were read, sent and rejected, or the error the run ended with.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            run = ProfilePipeline(read_files([path]), ProfileOptions(id_column="id"), Path(folder), keep_rejects=True)
            lines = sum(file.path.read_bytes().count(b"\n") for file in run.files())
        except ProfileDataError as error:
            return error
        rejects = io.BytesIO()
        if run.rows_rejected:
            run.rejects.write_parquet(rejects)
            kept = pq.read_table(rejects)
            assert len(kept) == run.rows_rejected
            assert set(kept["row_number"].to_pylist()) <= set(range(run.rows_read))
            assert Counter(kept["reject_reason"].to_pylist()) == run.rejects.by_reason
        assert run.rows_read == run.rows_sent + run.rows_rejected + run.rows_empty
        assert lines == run.rows_sent
        return run.rows_read, run.rows_sent, run.rows_rejected


def damaged(draw, content):
    """Return content of which bytes are turned over, left out, doubled or zeroed."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        stop = start + draw(st.integers(1, 64))
        match draw(st.sampled_from(["flip", "cut", "double", "zero", "end"])):
            case "flip" if data:
                data[start] ^= draw(st.integers(1, 255))
            case "cut":
                del data[start:stop]
            case "double":
                data[start:start] = data[start:stop]
            case "zero":
                data[start:stop] = bytes(len(data[start:stop]))
            case "end":
                del data[start:]
    return bytes(data)


# Without floats: of a damaged column of those, pyarrow may end the process.
TABLE = pa.table(
    {
        "id": [f"U{number}" for number in range(50)],
        "tier": pa.array(["gold", "silver", None, "bronze", "grün"] * 10).dictionary_encode(),
        "count": list(range(50)),
        "on": pa.array(range(50), pa.timestamp("us")),
        "home": [{"city": "Zürich", "lines": ["a", "b"]}] * 50,
    }
)


def parquet(**options):
    file = io.BytesIO()
    pq.write_table(TABLE, file, **options)
    return file.getvalue()


PARQUET = [
    parquet(),
    parquet(compression="none", use_dictionary=False),
    parquet(compression="zstd", data_page_version="2.0", row_group_size=20),
    parquet(compression="gzip", write_page_checksum=True),
]


@given(st.data())
def test_a_parquet_file_that_is_damaged_is_named_or_loses_no_row(data):
    content = damaged(data.draw, data.draw(st.sampled_from(PARQUET)))
    outcome = read_file("rows.parquet", content)
    if not isinstance(outcome, ProfileDataError):
        assert outcome[0] == 50


@given(st.data())
def test_a_parquet_file_with_checksums_is_read_right_or_named(data):
    content = bytearray(PARQUET[3])
    length = int.from_bytes(content[-8:-4], "little")
    content[data.draw(st.integers(4, len(content) - length - 9))] ^= data.draw(st.integers(1, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder, "rows.parquet")
        path.write_bytes(content)
        with suppress(ProfileDataError):
            rows = [row for batch in read_files([path]).record_batches() for row in batch.to_pylist()]
            assert rows == TABLE.to_pylist()


@pytest.mark.parametrize(
    "damage",
    {
        "zero length": lambda data: b"",
        "only the magic": lambda data: b"PAR1",
        "twice the magic": lambda data: b"PAR1PAR1",
        "wrong magic": lambda data: data[:-4] + b"PARX",
        "an encrypted footer": lambda data: data[:-4] + b"PARE",
        "a footer of no length": lambda data: data[:-8] + bytes(4) + b"PAR1",
        "a footer longer than the file": lambda data: data[:-8] + len(data).to_bytes(4, "little") + b"PAR1",
        "a footer of 4 GB": lambda data: data[:-8] + b"\xff" * 4 + b"PAR1",
        "a footer that begins too late": lambda data: data[:-8] + (9).to_bytes(4, "little") + b"PAR1",
        "a footer alone": lambda data: data[-int.from_bytes(data[-8:-4], "little") - 8 :],
        "no pages": lambda data: data[:4] + bytes(len(data) // 4) + data[4 + len(data) // 4 :],
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.parametrize("content", PARQUET, ids=["snappy", "plain", "zstd", "checksums"])
def test_a_broken_parquet_file_is_named(content, damage):
    outcome = read_file("rows.parquet", damage[1](content))
    assert "The file is damaged" in str(outcome)


def test_parquet_text_that_is_no_utf8_is_never_sent():
    column = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff"))
    file = io.BytesIO()
    pq.write_table(pa.table({"id": ["1", "2"], "tier": column}), file)
    assert "The file is damaged" in str(read_file("rows.parquet", file.getvalue()))


PIECES = ['"', '""', ",", "\n", "\r", "\r\n", "\0", "a", "x y", " ", "\\", "é", "\ufeff", "\x1a", "\x85", "\u2028"]
PIECES += ['"q"', '"q,r"', '"q\nr"', '5"']


@settings(max_examples=4 * EXAMPLES)
@given(
    st.sampled_from(["id,v\n", "id,v\r", "id,v\r\n", '"id","v"\n', "\ufeffid,v\n", "\n\nid,v\n", "id\n", ""]),
    st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=12),
)
def test_a_csv_file_is_read_as_by_python_or_named_with_its_line(header, pieces):
    text = (header + "".join(pieces)).encode("utf-8", "replace").decode()
    with TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        path.write_text(text, encoding="utf-8", newline="")
        rows = read_files([path])
        try:
            got = [list(row.values()) for batch in rows.record_batches() for row in batch.to_pylist()]
        except ProfileDataError:
            return
    whole = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    names, *expected = [[cell or None for cell in cells] for cells in whole if cells]
    if any(map(partial(is_header, names), expected)):
        return  # a repeated header is rejected, see test_files.py
    assert got == expected


def is_header(names, cells):
    return [(cell or "").strip("\ufeff \t").lower() for cell in cells] == [
        (name or "").strip("\ufeff \t").lower() for name in names
    ]


@given(st.binary(max_size=60) | st.text(max_size=20).map(lambda text: text.encode("utf-16", "replace")))
def test_any_bytes_of_a_csv_file_add_up_or_the_file_is_named(content):
    for before in (b"", b"id,v\n", b"id,v\nU1,\xe9\n"):
        outcome = read_file("rows.csv", before + content)
        assert isinstance(outcome, (tuple, ProfileDataError))


LINES = 20_000
BROKEN_CSV = {
    "a quote that is never closed": (['1,"x'], "line 2 or after it"),
    "a quote that is never closed, after a lone one": (['1,5" disk', '2,"x'], "line 3 or after it"),
    "two quotes that are not closed": (['1,"x', "2,y", '3,"z'], "line 2 or after it"),
    "text behind a quote": (['1,"x" y'], "line 2 or after it"),
    "too many cells": (["1,x", "2,x,y"], "line 3: the row has 3 cells"),
    "too few cells": (["1,x", "2"], "line 3: the row has 1 cells"),
    "a row of 20 MiB": (["1," + "x" * 20 * MIB], "more than 8 MiB"),
    "a cell of many lines": (['1,"' + "x\n" * 10 * MIB + '"'], "line 2 or after it"),
}


@pytest.mark.parametrize("case", BROKEN_CSV)
@pytest.mark.parametrize("following", [0, LINES])
def test_a_broken_row_of_a_csv_file_is_named(case, following):
    rows, words = BROKEN_CSV[case]
    text = "\n".join(["id,v", *rows, *(f"U{number},gold" for number in range(following))])
    assert words in str(read_file("rows.csv", text.encode()))


@pytest.mark.parametrize("cell", ["x" * 200_000, '"' + "x\n" * 100_000 + '"'], ids=["long", "of many lines"])
def test_a_csv_file_with_a_lone_quote_and_a_long_cell_is_read(cell):
    text = f'id,v,w\n1,5" disk,{cell}\n2,x,y\n'
    assert read_file("rows.csv", text.encode())[0] == 2


@settings(max_examples=2 * EXAMPLES)
@given(st.data())
def test_a_damaged_ndjson_file_is_named_with_its_line_or_adds_up(data):
    lines = [{"id": f"U{number}", "tier": "gold", "home": {"city": "Zürich"}} for number in range(3)]
    content = damaged(data.draw, "\n".join(map(json.dumps, lines)).encode())
    for text in (content, content.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + content):
        outcome = read_file("rows.ndjson", text)
        if isinstance(outcome, ProfileDataError) and "JSON" in str(outcome):
            assert "NDJSON line " in str(outcome)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(["id", "a", "b", "c"]), json_values), max_size=5))
def test_any_values_of_an_ndjson_file_add_up_or_are_refused(records):
    outcome = read_file("rows.ndjson", "\n".join(map(json.dumps, records)).encode())
    assert isinstance(outcome, ProfileDataError) or outcome[0] == len(records)


@pytest.mark.parametrize("depth", [101, 200, 330, 500, 900, 5_000, 100_000])
def test_deeply_nested_ndjson_is_named_with_its_line(depth):
    for opening, closing in (('{"a":', "}"), ("[", "]"), ('[{"a":', "}]")):
        line = f'{{"id": "U1", "a": {opening * depth}1{closing * depth}}}'
        outcome = read_file("rows.ndjson", f'{{"id": "U0", "a": 1}}\n{line}'.encode())
        assert (isinstance(outcome, tuple) and outcome[0] == 2) or "NDJSON line 2" in str(outcome)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", b"id,v\nU1,%b\n"),
        ("rows.csv", b'id,v\nU1,"%b"\n'),
        ("rows.csv", b"%b\n"),
        ("rows.csv", b'"%b'),
        ("rows.ndjson", b'{"id": "U0", "v": 1}\n{"id": "U1", "v": "%b"}\n'),
        ("rows.ndjson", b"%b"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_line_of_a_hundred_megabytes_is_refused_in_little_memory(name, content, packed, tmp_path):
    path = tmp_path / (f"{name}.gz" if packed else name)
    with gzip.open(path, "wb", 1) if packed else path.open("wb") as file:
        before, _, after = content.partition(b"%b")
        file.write(before)
        for _ in range(100):
            file.write(b"x" * MIB)
        file.write(after)
    began = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(ProfileDataError, match="MiB|cannot be read"):
            list(read_files([path]).record_batches())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 90 * MIB
    assert time.process_time() - began < 5


@pytest.mark.parametrize("folder", ["day=%FF", "=", "day=", "%C3=ü", "day=a\nb", "x=__HIVE_DEFAULT_PARTITION__"])
def test_a_folder_of_any_name_is_a_column_or_none(folder, tmp_path):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "rows.csv").write_text("id,v\n1,x\n")
    rows = read_files(dataset_files(tmp_path, "**/*.csv"))
    assert sum(map(len, rows.record_batches())) == 1


def test_a_folder_whose_name_is_no_text_is_named(tmp_path):
    folder = os.fsencode(tmp_path) + b"/day=\xff"
    os.mkdir(folder)
    (Path(os.fsdecode(folder)) / "rows.csv").write_text("id,v\n1,x\n")
    with pytest.raises(ProfileDataError, match="UTF-8") as caught:
        list(read_files(dataset_files(tmp_path, "**/*.csv")).record_batches())
    assert str(caught.value).isascii()
