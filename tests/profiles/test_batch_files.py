import hashlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.profiles.batch_files import cut_files, room_for_a_row
from airflow_provider_adobe_target.profiles.encoding import encode_header, encode_lines


def block(rows, names=("tier",)):
    return names, encode_lines([pa.array([row[i] for row in rows], pa.string()) for i in range(len(names) + 1)])


def cut(blocks, folder, max_rows=499_999, max_bytes=49_999_999):
    return list(cut_files(blocks, folder, id_type=lambda: "thirdPartyId", max_rows=max_rows, max_bytes=max_bytes))


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    block_rows=st.integers(1, 20),
    max_rows=st.integers(1, 15),
    max_bytes=st.integers(90, 200),
)
def test_files_hold_all_rows_in_order_and_never_more_than_they_may(
    tmp_path_factory, sizes, block_rows, max_rows, max_bytes
):
    folder = tmp_path_factory.mktemp("files")
    rows = [(f"U{number}", "x" * size) for number, size in enumerate(sizes)]
    blocks = [block(rows[start : start + block_rows]) for start in range(0, len(rows), block_rows)]

    files = cut(blocks, folder, max_rows, max_bytes)

    bodies = [file.path.read_bytes() for file in files]
    sent = [line for body in bodies for line in body.decode().split("\n")[1:]]
    assert sent == [f"{id_},{value}" for id_, value in rows]
    for file, body in zip(files, bodies):
        assert body.startswith(b"batch=thirdPartyId,tier\nU")
        assert not body.endswith(b"\n")
        assert b"\r" not in body
        assert 1 <= file.rows == body.count(b"\n") <= max_rows
        assert file.size == len(body) <= max_bytes
        assert file.sha256 == hashlib.sha256(body).hexdigest()
    for file, body, following in zip(files, bodies, bodies[1:]):
        next_row = following.split(b"\n")[1]
        assert file.rows == max_rows or len(body) + 1 + len(next_row) > max_bytes  # no file ends before it must


def test_a_file_may_be_filled_to_the_last_byte(tmp_path):
    header = encode_header("thirdPartyId", ["tier"])
    rows = [("U1", "gold"), ("U2", "gold")]
    exact = len(header) + len("\nU1,gold") * 2

    assert [file.rows for file in cut([block(rows)], tmp_path, max_bytes=exact)] == [2]
    (tmp_path / "b").mkdir()
    assert [file.rows for file in cut([block(rows)], tmp_path / "b", max_bytes=exact - 1)] == [1, 1]


def test_a_row_has_the_room_that_the_header_leaves(tmp_path):
    room = room_for_a_row("thirdPartyId", ["tier"], 60)
    row = ("U1", "x" * (room - len("\nU1,")))

    assert [file.size for file in cut([block([row])], tmp_path, max_bytes=60)] == [60]


def test_other_names_begin_another_file(tmp_path):
    files = cut([block([("U1", "gold")]), block([("U2", "gold", "9")], ("tier", "score"))], tmp_path)

    assert [file.path.read_bytes() for file in files] == [
        b"batch=thirdPartyId,tier\nU1,gold",
        b"batch=thirdPartyId,tier,score\nU2,gold,9",
    ]


def test_a_row_that_fits_no_file_is_an_error_and_no_endless_loop(tmp_path):
    with pytest.raises(ValueError, match="longer than a batch file"):
        cut([block([("U1", "x" * 100)])], tmp_path, max_bytes=60)


def test_no_rows_make_no_file(tmp_path):
    assert cut([block([])], tmp_path) == []
    assert list(tmp_path.iterdir()) == []
