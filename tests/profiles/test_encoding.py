from urllib.parse import quote

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.profiles.encoding import encode_header, encode_lines

cells = st.one_of(st.none(), st.text(), st.text(alphabet="ab,\r\n%&=+ |\"'\x00~é漢😀", max_size=20))


def reference(rows: list[list[str | None]]) -> bytes:
    """One cell at a time, as a reader would check it."""
    return b"".join(b"\n" + ",".join(quote(cell or "", safe="") for cell in row).encode() for row in rows)


@given(st.integers(1, 5).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=30)))
def test_lines_equal_quoting_each_cell(rows):
    width = len(rows[0]) if rows else 1
    columns = [pa.array([row[number] for row in rows], pa.string()) for number in range(width)]

    lines = encode_lines(columns)

    assert bytes(lines.data) == reference(rows)
    assert len(lines) == len(rows)
    assert [bytes(lines.data[a:b]) for a, b in zip(lines.starts, lines.starts[1:])] == [
        reference([row]) for row in rows
    ]


@pytest.mark.parametrize("size", [65_535, 131_071, 131_072, 131_073, 262_145, 400_000])
def test_blocks_of_the_lookup_leave_no_seam(size):
    text = "é,x" * (size // 4)
    assert bytes(encode_lines([pa.array(["U1"]), pa.array([text])]).data) == reference([["U1", text]])


def test_slices_of_columns_are_encoded_as_what_they_show():
    column = pa.array(["a", "b,", None, "c", "d"])
    assert bytes(encode_lines([column.slice(1, 3), column.slice(2, 3)]).data) == reference(
        [["b,", None], [None, "c"], ["c", "d"]]
    )


@pytest.mark.parametrize("cell", [b"\xff", b"\xfe", b"a\xc3", b"\x80,\n"], ids=["FF", "FE", "cut off", "separators"])
def test_bytes_that_are_not_utf_8_cannot_forge_a_separator(cell):
    forged = pa.Array.from_buffers(pa.string(), 1, pa.array([cell], pa.binary()).buffers())
    lines = encode_lines([pa.array(["U1"]), forged])
    assert bytes(lines.data) == b"\nU1," + quote(cell, safe="").encode()


def test_no_rows_are_no_lines():
    lines = encode_lines([pa.array([], pa.string())] * 2)
    assert (len(lines), len(lines.data)) == (0, 0)


def test_the_header_is_encoded_too():
    assert encode_header("pcId", ["tier", "a.b-c", "ä"]) == b"batch=pcId,tier,a.b-c,%C3%A4"
