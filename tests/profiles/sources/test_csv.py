"""Rows of CSV files: delimiters, encodings, quotes, compression and repeated headers."""

from __future__ import annotations

import csv
import gzip
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions
from airflow_provider_adobe_target.profiles.sources.files import read_files
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_BYTES, MAX_ROWS
from airflow_provider_adobe_target.profiles.values.to_text import to_text
from support.files import error_of, records_of, texts

MIB = 1024 * 1024


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_csv_cells_are_unchanged_text(write, name, bom):
    path = write(name, f'{bom}id,a,b\r\n007, x ,1.50\r\nNULL,"a ""b"", c","line\nbreak"\r\n\r\nnan,true,NA')
    rows = read_files([path])
    assert rows.schema.names == ["id", "a", "b"]
    assert records_of(rows) == [
        {"id": "007", "a": " x ", "b": "1.50"},
        {"id": "NULL", "a": 'a "b", c', "b": "line\nbreak"},
        {"id": "nan", "a": "true", "b": "NA"},
    ]


def test_blank_csv_cells_are_null(write):
    assert records_of(read_files([write("a.csv", 'a,b,c\n1,,""\n')])) == [{"a": "1", "b": None, "c": None}]


def test_only_requested_csv_columns_are_read(write):
    rows = read_files([write("a.csv", "a,b,c\n1,2,3\n")])
    assert records_of(rows, ["c", "a"]) == [{"a": "1", "c": "3"}]
    assert [batch.num_rows for batch in rows.record_batches([])] == [1]


def test_a_csv_row_of_a_megabyte_is_read(write):
    assert len(records_of(read_files([write("a.csv", f'a\n{"x" * MIB}\n"{"y" * MIB}"\n')]))) == 2


def test_a_longer_csv_row_is_refused(write):
    path = write("a.csv", f"a\n{'x' * 17 * MIB}\n")
    message = error_of(path)
    assert str(path) in message
    assert "xx" not in message


def test_wide_csv_rows_come_in_batches_of_limited_bytes(write):
    wide = "x" * 64_000
    rows = [batch.num_rows for batch in read_files([write("a.csv", f"a\n{(wide + chr(10)) * 1_000}")]).record_batches()]
    assert sum(rows) == 1_000
    assert max(rows) * 64_000 <= MAX_BYTES


def test_csv_rows_come_in_order_in_batches_of_limited_rows(write):
    path = write("a.csv", "n,t\n" + "".join(f"{number},{'x' * 50}\n" for number in range(200_000)))
    batches = list(read_files([path]).record_batches(["n"]))
    assert max(batch.num_rows for batch in batches) <= MAX_ROWS
    numbers = [int(text) for batch in batches for text in batch["n"].to_pylist()]
    assert numbers == list(range(200_000))


def test_a_csv_file_of_a_header_has_no_rows(write):
    rows = read_files([write("a.csv", "a,b")])
    assert rows.schema.names == ["a", "b"]
    assert records_of(rows) == []


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_csv_needs_a_header(write, content):
    assert "has no header" in error_of(write("a.csv", content))


@pytest.mark.parametrize(("row", "cells"), [("secret", 1), ("secret,2,3", 3)], ids=["too few cells", "too many cells"])
def test_a_ragged_csv_row_is_named_by_its_line(write, row, cells):
    path = write("a.csv", f'a,b\n1,"x\ny"\n\n{row}\n')
    message = error_of(path)
    assert message.startswith(f"CSV line 5: the row has {cells} cells, the header 2")
    assert str(path) in message
    assert "secret" not in message


def test_a_ragged_csv_row_in_a_later_block_is_named_by_its_line(write):
    content = "a,b\n" + f"1,{'x' * 1_000}\n" * 20_000 + "secret\n"
    assert "line 20002:" in error_of(write("a.csv", content))


def test_a_csv_quote_that_is_never_closed_loses_no_rows_silently(write):
    path = write("a.csv", 'a,b\n1,2\n3,"secret\n4,5\n6,7\n')
    message = error_of(path)
    assert message.startswith("CSV line 3 ")
    assert "secret" not in message


def test_a_csv_quote_within_a_plain_cell_is_text(write):
    assert records_of(read_files([write("a.csv", 'a,b\n1,6" pipe\n')])) == [{"a": "1", "b": '6" pipe'}]


@pytest.mark.parametrize(
    "content",
    ["a,ö\n1,2\n".encode("latin-1"), "a,b\n1,ö\n".encode("latin-1"), "a,b\n1,2\n".encode("utf-16")],
    ids=["header", "cell", "utf-16"],
)
def test_csv_in_another_encoding_is_refused(write, content):
    path = write("a.csv", content)
    assert error_of(path).startswith(f"The CSV file is not UTF-8: {path}")


def test_csv_columns_of_one_name_are_refused(write):
    path = write("a.csv", "a,b,a\n1,2,3\n")
    assert error_of(path).startswith(f"Duplicate column: {path} has 2 columns named 'a'")


@pytest.mark.parametrize("suffix", ["csv.gz", "ndjson.gz"])
@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"plain,text\n"], ids=["cut", "plain"])
def test_a_broken_gzip_file_is_named(write, tmp_path, suffix, damage):
    lines = b"".join(b'{"a": "%d"}\n' % number for number in range(10_000))
    data = lines if suffix.startswith("nd") else b"a\n" + lines.replace(b'"', b"")
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(damage(gzip.compress(data)))
    assert error_of(path).startswith(f"The file is damaged, truncated, or not in the format of its suffix: {path}")


# Python 3.10's csv module writes no NUL.
@given(st.lists(st.tuples(texts, texts), max_size=10))
def test_csv_round_trips_what_the_csv_module_writes(cells):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
            writer.writerow(["a", "b"])
            writer.writerows(cells)
        records = records_of(read_files([path]))
    assert records == [{"a": a or None, "b": b or None} for a, b in cells]


# Formats, delimiters, encodings, compression


def options_of(file_format=None, **csv_options):
    return FileOptions.checked(file_format, csv_options)


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "\x01"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16", "utf-16-be", "utf-8-sig", "iso8859-15"])
def test_csv_of_any_delimiter_and_encoding_is_read(tmp_path, delimiter, encoding):
    lines = [["id", "city"], ["U1", "Zürich"], ["U2", f'"a{delimiter}b, ""c"""'], ["U3", ""]] + [["U", "ü"]] * 90_000
    path = tmp_path / "a.csv"
    path.write_bytes("\n".join(delimiter.join(cells) for cells in lines).encode(encoding))
    rows = read_files([path], options_of(delimiter=delimiter, encoding=encoding))
    found = records_of(rows)
    assert [record["city"] for record in found[:4]] == ["Zürich", f'a{delimiter}b, "c"', None, "ü"]
    assert len(found) == 90_003


def test_a_quote_in_a_cell_with_another_delimiter_is_still_found(write):
    path = write("a.csv", 'id;v\nU1;a"b\nU2;c"d\nU3;e\n')
    assert [record["id"] for record in records_of(read_files([path], options_of(delimiter=";")))] == [
        "U1",
        "U2",
        "U3",
    ]


@pytest.mark.parametrize(
    ("encoding", "content"), [("cp1252", b"a\n\x81\n"), ("utf-16", b"a\n\xff\xfe\n"), ("ascii", b"\xc3")]
)
def test_csv_that_does_not_have_the_named_encoding_is_refused(write, encoding, content):
    with pytest.raises(ProfileDataError, match=f"is not {encoding}"):
        records_of(read_files([write("a.csv", content)], options_of(encoding=encoding)))


def test_csv_that_is_not_utf8_names_the_option(write):
    assert "csv_options={'encoding': 'cp1252'}" in error_of(write("a.csv", "a\nZürich\n".encode("latin-1")))


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_named_where_the_header_shows_it(write, delimiter):
    assert f"csv_options={{'delimiter': {delimiter!r}}}" in error_of(
        write("a.csv", f"id{delimiter}v\nU1{delimiter}a\n")
    )


@pytest.mark.parametrize("name", ["a.csv", "a.csv.zst", "a.CSV.ZST", "b.csv.gz"])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_csv_is_read_by_its_first_bytes_or_suffix(tmp_path, name, compression):
    if name.lower().endswith((".gz", ".zst")) and (compression == "gzip") != name.endswith("gz"):
        pytest.skip("the suffix names the other one")
    content = b"a\n" + b"x\n" * 100_000
    packed = gzip.compress(content) if compression == "gzip" else pa.compress(content, "zstd", asbytes=True)
    (tmp_path / name).write_bytes(packed)
    assert len(records_of(read_files([tmp_path / name]))) == 100_000
    if compression == "zstd":
        (tmp_path / name).write_bytes(packed[:-5])
        assert "damaged" in error_of(tmp_path / name)


def unsupported_rows(path, options=None, columns=None):
    marks = []
    for batch in read_files([path], options).record_batches(columns):
        written = [to_text(column) for column in batch.columns]
        bad = [
            text.unsupported.to_pylist() if text.unsupported is not None else [False] * len(batch) for text in written
        ]
        marks += [all(row) for row in zip(*bad, strict=True)]
    return [number for number, bad in enumerate(marks) if bad]


@pytest.mark.parametrize("again", ["id,tier", "\ufeffid,tier", "ID,Tier", " id , tier", "id,tier\r", '"id","tier"'])
def test_a_repeated_header_has_no_text_form(write, again, caplog):
    path = write("a.csv", f"id,tier\nU1,gold\n{again}\nU2,tier\nid,silver\n{again}\n")
    with caplog.at_level("WARNING"):
        assert unsupported_rows(path) == [1, 4]
    assert "2 CSV lines repeat the header" in caplog.text
    assert unsupported_rows(path, columns=["id"]) == [1, 3, 4]  # all that is read of them says so


@pytest.mark.parametrize("again", ["tier,thirdPartyId", "thirdPartyId,score", "THIRDPARTYID,"])
def test_the_header_of_another_file_has_no_text_form(write, again):
    path = write("a.csv", f"thirdPartyId,tier\nU1,tier\n{again}\nU2,thirdPartyId\n")
    assert unsupported_rows(path) == [1]


def test_a_repeated_header_is_found_with_another_delimiter(write):
    path = write("a.csv", "id;tier\n" + "U1;gold\n" * 40_000 + "id;tier\nU2;\n")
    assert unsupported_rows(path, options_of(delimiter=";")) == [40_000]
