"""Profiles to single updates: the same rows, checks and texts as in batch files, handed out one profile at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from airflow_provider_adobe_target.profiles.pipeline import PROFILE_PREFIX
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.rows import Rows

_BLOCK_ROWS = 25


def one_row(profile_id: object, attributes: Mapping[str, Any]) -> tuple[str, Rows]:
    """Return one profile as rows of a table, and what its column of ids is called there.

    :param attributes: names and values; where there are none, one without a value stands for them
    """
    id_column = "profile_id"
    while id_column in attributes:
        id_column += "_"
    return id_column, read_data([{id_column: profile_id, **(attributes or {"nothing": None})}])


@dataclass(frozen=True)
class ProfileUpdate:
    """One profile, and what is to be written to it.

    :param profile_id: as Adobe Target knows it
    :param attributes: names, without ``profile.``, and texts
    """

    profile_id: str = field(repr=False)
    attributes: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class UpdateBlock:
    """Some profiles, which one thread sends one after the other.

    :param profiles: as ``ProfilePipeline.profiles`` hands them out
    """

    profiles: pa.RecordBatch = field(repr=False)

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.profiles)

    def updates(self) -> Iterator[ProfileUpdate]:
        """Hand out the profiles; an attribute that is null is left as it is."""
        for row in self.profiles.to_pylist():
            attributes = {name.removeprefix(PROFILE_PREFIX): text for name, text in list(row.items())[2:]}
            yield ProfileUpdate(row["id"], {name: text for name, text in attributes.items() if text is not None})


def cut_blocks(profiles: Iterable[pa.RecordBatch]) -> Iterator[UpdateBlock]:
    """Cut batches of profiles into blocks of at most 25."""
    for batch in profiles:
        for start in range(0, len(batch), _BLOCK_ROWS):
            yield UpdateBlock(batch.slice(start, _BLOCK_ROWS))
