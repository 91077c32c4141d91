"""Hashes on disk, read in blocks."""

import numpy as np
import pytest

from airflow_provider_adobe_target.ledger import hash_file
from airflow_provider_adobe_target.ledger.hash_file import HashFile


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(hash_file, "_BLOCK", 2)
    file = HashFile(tmp_path / "hashes")
    file.add(np.array([5, -3, 8]))
    file.add(np.array([1, 9]))
    return file


@pytest.mark.parametrize(("values", "expected"), [([], False), ([2, 7], False), ([1], True), ([2, 9], True)])
def test_any_hash_is_found_in_all_blocks(file, values, expected):
    assert file.contains_any(np.array(values, np.int64)) is expected


@pytest.mark.parametrize(("values", "expected"), [([], True), ([-3, 1, 5, 8], True), ([-3, 1, 5, 7, 8, 9], False)])
def test_a_hash_that_is_not_listed_is_found(file, values, expected):
    assert file.contains_other_than(np.array(values, np.int64)) is expected


def test_hashes_are_sorted_with_others(file):
    assert file.sorted_with(np.array([6, 0])).tolist() == [-3, 0, 1, 5, 6, 8, 9]


def test_a_file_without_hashes_contains_none(tmp_path):
    file = HashFile(tmp_path / "hashes")
    assert not file.contains_any(np.array([1]))
    assert not file.contains_other_than(np.array([1]))
    assert file.sorted_with(np.array([2, 1])).tolist() == [1, 2]
