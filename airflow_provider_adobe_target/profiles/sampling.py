"""Reproducible random sampling of profiles, independent of the order of rows."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappush, heappushpop

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from airflow_provider_adobe_target.profiles.deduplication import hash_strings
from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate, UpdateBlock


def draw_sample(profiles: Iterable[pa.RecordBatch], size: int, seed: int) -> list[ProfileUpdate]:
    """Return a random sample of profiles, sorted by hash in descending order.

    Algorithm: bottom-k sampling. The sample consists of the ``size`` profiles whose ids have the smallest seeded
    hashes, kept in a max-heap. A profile stays in the sample when other rows are added or removed, unless ``size``
    smaller hashes are added. Peak memory is the sample and part of one batch. Reference: Cohen and Kaplan, "Summarizing
    data using bottom-k sketches", 2007.

    :param profiles: Rows of ``ProfilePipeline.profiles``.
    :param size: Maximum number of profiles.
    :param seed: Seed of the hash.
    """
    drawn: list[tuple[int, int, ProfileUpdate]] = []  # max-heap: hashes are negated
    count = 0
    for batch in profiles:
        hashes = _seeded(hash_strings(batch.column("id")), seed)
        small = np.argsort(hashes, kind="stable")[:size]
        if len(drawn) == size:
            small = small[hashes[small] < -drawn[0][0]]
        updates = UpdateBlock(batch.take(pa.array(small))).updates()
        for row_hash, update in zip(hashes[small].tolist(), updates, strict=True):
            count += 1
            entry = (-row_hash, count, update)
            if len(drawn) < size:
                heappush(drawn, entry)
            else:
                heappushpop(drawn, entry)
    return [update for _, _, update in sorted(drawn, key=lambda entry: entry[:2])]


def _seeded(hashes: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Mix a seed into 64-bit hashes with the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed = hashes ^ np.uint64(seed * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
