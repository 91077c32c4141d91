import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.profiles import deduplication
from airflow_provider_adobe_target.profiles.deduplication import first_of_each_id, hash_strings, last_of_each_id

ids = st.lists(
    st.sampled_from(
        ["a", "b", "c", "ab", "a\0", "ä", "long-id-of-more-than-eight-bytes", "long-id-of-more-than-eight-byteS"]
    )
)


def batches(values, rows=3):
    return [
        pa.record_batch(
            [
                pa.array(range(start, start + len(values[start : start + rows])), pa.int64()),
                pa.array(values[start : start + rows], pa.string()),
            ],
            names=["row_number", "id"],
        )
        for start in range(0, len(values), rows)
    ]


def one_of_each(function, values, folder):
    rejected = []
    kept = list(function(batches(values), folder, rejected.append))
    numbers = lambda found: [number for batch in found for number in batch.column("row_number").to_pylist()]  # noqa: E731
    return numbers(kept), numbers(rejected)


@pytest.fixture(params=["hashes apart", "hashes all equal", "hashes of few bits"])
def _collisions(request, monkeypatch):
    if request.param == "hashes all equal":
        monkeypatch.setattr(deduplication, "hash_strings", lambda strings: np.zeros(len(strings), np.uint64))
    if request.param == "hashes of few bits":
        monkeypatch.setattr(deduplication, "hash_strings", lambda strings: hash_strings(strings) % np.uint64(3))


@pytest.mark.usefixtures("_collisions")
class TestExact:
    """Equal hashes are only a suspicion: the outcome is the same however many ids share one."""

    @given(values=ids)
    def test_the_first_row_of_each_id_passes(self, tmp_path_factory, values):
        kept, rejected = one_of_each(first_of_each_id, values, tmp_path_factory.mktemp("ids"))
        assert sorted(kept) == [number for number, value in enumerate(values) if value not in values[:number]]
        assert sorted(kept + rejected) == list(range(len(values)))

    @given(values=ids)
    def test_the_last_row_of_each_id_passes_in_the_order_of_the_rows(self, tmp_path_factory, values):
        kept, rejected = one_of_each(last_of_each_id, values, tmp_path_factory.mktemp("ids"))
        assert kept == [number for number, value in enumerate(values) if value not in values[number + 1 :]]
        assert sorted(kept + rejected) == list(range(len(values)))


def test_duplicates_are_resolved_over_several_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(deduplication, "_CANDIDATE_BLOCK_ROWS", 2)
    monkeypatch.setattr(deduplication, "_KNOWN_BLOCK_ROWS", 2)
    monkeypatch.setattr(deduplication, "hash_strings", lambda strings: np.zeros(len(strings), np.uint64))
    values = [f"U{number % 7}" for number in range(40)]

    kept, rejected = one_of_each(first_of_each_id, values, tmp_path)

    assert sorted(kept) == list(range(7))
    assert len(rejected) == 33


def test_rows_without_a_double_keep_their_order(tmp_path):
    values = [f"U{number}" for number in range(100)]
    assert one_of_each(first_of_each_id, values, tmp_path) == (list(range(100)), [])


@given(st.lists(st.text()))
def test_equal_strings_have_equal_hashes_at_any_position(values):
    array = pa.array(["x", *values, "y"], pa.string())
    whole = hash_strings(array)
    assert hash_strings(array.slice(1, len(values))).tolist() == whole[1:-1].tolist()
    assert [hash_strings(pa.array([value]))[0] for value in values] == whole[1:-1].tolist()


def test_hashes_do_not_change_over_versions():
    assert hash_strings(pa.array(["", "U1", "customer-000042"])).tolist() == [
        0,
        13054134714793556872,
        813014330303355669,
    ]


def test_a_million_ids_have_as_many_hashes():
    assert len(np.unique(hash_strings(pa.array([f"{number:07d}" for number in range(1_000_000)])))) == 1_000_000


def test_an_id_takes_its_bytes_and_four_more_on_disk(tmp_path):
    values = [f"customer-{number:09d}" for number in range(100_000)]
    for _ in first_of_each_id(batches(values, 16_384), tmp_path, reject=lambda _: None):
        pass
    size = sum(file.stat().st_size for folder in tmp_path.iterdir() for file in folder.iterdir())
    assert size / len(values) == pytest.approx(18 + 4, rel=0.01)
