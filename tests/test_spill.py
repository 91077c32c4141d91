import itertools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.spill import SpillFile

PLAIN, WIDER = ["a"], ["a", "b"]


def batch(start, rows, names=PLAIN):
    return pa.record_batch([pa.array(range(start, start + rows))] * len(names), names=list(names))


def numbers(batches):
    return [number for part in batches for number in part.column("a").to_pylist()]


@pytest.fixture
def spool(tmp_path):
    return SpillFile(tmp_path / "spool")


batches = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([PLAIN, WIDER])), max_size=12)


@given(written=batches, block_rows=st.integers(1, 12))
def test_what_was_written_is_read_in_order_backwards_and_in_blocks(tmp_path_factory, written, block_rows):
    spool = SpillFile(tmp_path_factory.mktemp("spool") / "rows")
    parts, start = [], 0
    for rows, names in written:
        parts.append(batch(start, rows, names))
        spool.write(parts[-1])
        start += rows

    assert spool.rows == start
    assert list(spool.record_batches()) == parts
    assert list(spool.record_batches(backwards=True)) == parts[::-1]
    blocks = list(spool.blocks(block_rows))
    assert numbers(blocks) == list(range(start))
    for block, following in itertools.pairwise(blocks):
        assert len(block) >= block_rows or block.schema != following.schema


def test_reading_continues_while_rows_are_added(spool):
    spool.write(batch(0, 2))
    reading = spool.record_batches()
    assert numbers([next(reading)]) == [0, 1]
    spool.write(batch(2, 2))
    assert numbers(reading) == []  # what was written so far
    assert numbers(spool.record_batches()) == [0, 1, 2, 3]
    spool.write(batch(4, 1))
    assert numbers(spool.record_batches()) == [0, 1, 2, 3, 4]
    assert numbers(spool.record_batches(backwards=True)) == [4, 2, 3, 0, 1]


def test_blocks_end_where_columns_change(spool):
    for part in (batch(0, 1), batch(1, 1), batch(2, 1, WIDER), batch(3, 1)):
        spool.write(part)
    assert [numbers([block]) for block in spool.blocks(100)] == [[0, 1], [2], [3]]


def test_every_schema_is_returned(spool):
    spool.write(batch(0, 1))
    spool.write(batch(1, 1))
    spool.write(batch(2, 1, WIDER))
    assert [schema.names for schema in spool.schemas] == [PLAIN, WIDER]


def test_a_slice_takes_no_more_room_than_its_rows(spool, tmp_path):
    spool.write(batch(0, 1_000_000).slice(500, 3))
    spool.close()
    assert numbers(spool.record_batches()) == [500, 501, 502]
    assert sum(file.stat().st_size for file in (tmp_path / "spool").iterdir()) < 10_000


def test_nothing_is_on_disk_until_something_is_written(spool, tmp_path):
    assert list(spool.record_batches()) == list(spool.blocks(10)) == spool.schemas == []
    assert not list(tmp_path.iterdir())
