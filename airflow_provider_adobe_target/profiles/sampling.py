"""A sample of profiles that is the same each time it is drawn, in whatever order the rows come."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappush, heappushpop

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from airflow_provider_adobe_target.profiles.deduplication import hash_strings
from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate, UpdateBlock


def draw_sample(profiles: Iterable[pa.RecordBatch], size: int, seed: int) -> list[ProfileUpdate]:
    """Draw profiles by chance: those whose ids have the smallest hashes.

    An id that is in the sample stays in it when other rows come or go, as long as there are not too many that are
    smaller. No more than the sample, and some rows of one batch, are held.

    :param profiles: as ``ProfilePipeline.profiles`` hands them out
    :param size: how many, where there are so many
    :param seed: another one draws another sample
    """
    drawn: list[tuple[int, int, ProfileUpdate]] = []  # a heap, the largest hash first
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
    """Mix a seed into hashes, so that each of their bits depends on it."""
    mixed = hashes ^ np.uint64(seed * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
