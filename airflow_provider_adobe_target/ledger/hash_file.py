"""Hashes on disk: a sequence that is too long to keep in memory, and is seldom read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from airflow_provider_adobe_target.ledger.as_of import among
from airflow_provider_adobe_target.ledger.hashing import Hashes

_BLOCK = 131_072


class HashFile:
    """An append-only sequence of hashes on disk. Reading and writing may alternate.

    :param path: Path of the file. It is created by the first :meth:`add`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0

    def add(self, hashes: Hashes) -> None:
        """Append hashes."""
        with self._path.open("ab") as file:
            file.write(hashes.data)
        self._size += len(hashes)

    def contains_any(self, values: Hashes) -> bool:
        """Return whether any of some sorted hashes is in the file."""
        return bool(len(values)) and any(among(block, values).any() for block in self._blocks())

    def contains_other_than(self, values: Hashes) -> bool:
        """Return whether the file has a hash that is not among some sorted hashes."""
        return any(not among(block, values).all() for block in self._blocks())

    def sorted_with(self, others: Hashes) -> Hashes:
        """Return all hashes and some others, sorted."""
        found = np.empty(self._size + len(others), np.int64)
        start = 0
        for block in (*self._blocks(), others):
            found[start : start + len(block)] = block
            start += len(block)
        found.sort()
        return found

    def _blocks(self) -> Iterator[Hashes]:
        for start in range(0, self._size, _BLOCK):
            yield np.fromfile(self._path, np.int64, _BLOCK, offset=8 * start)
