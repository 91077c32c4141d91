"""Convert pipeline output to single profile updates, with the same checks and text forms as in batch files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from airflow_provider_adobe_target.profiles.conversion import PROFILE_PREFIX
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.rows import Rows

_BLOCK_ROWS = 25


def one_row(profile_id: object, attributes: Mapping[str, Any]) -> tuple[str, Rows]:
    """Return one profile as a table with one row.

    :param profile_id: Value of the id column.
    :param attributes: Names and values. Without attributes, the table has one attribute that is null.
    :return: Name of the id column, and the rows.
    """
    id_column = "profile_id"
    while id_column in attributes:
        id_column += "_"
    return id_column, read_data([{id_column: profile_id, **(attributes or {"nothing": None})}])


@dataclass(frozen=True)
class ProfileUpdate:
    """One profile and its new attribute values.

    :param profile_id: Id of the profile.
    :param attributes: Attribute names, without ``profile.``, and texts.
    """

    profile_id: str = field(repr=False)
    attributes: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class UpdateBlock:
    """A block of profiles that one thread sends sequentially.

    :param profiles: Rows of ``ProfilePipeline.profiles``.
    """

    profiles: pa.RecordBatch = field(repr=False)

    @property
    def rows(self) -> int:
        """Number of profiles."""
        return len(self.profiles)

    def updates(self) -> Iterator[ProfileUpdate]:
        """Yield the profiles. Attributes that are null are omitted."""
        for row in self.profiles.to_pylist():
            attributes = {name.removeprefix(PROFILE_PREFIX): text for name, text in list(row.items())[2:]}
            yield ProfileUpdate(row["id"], {name: text for name, text in attributes.items() if text is not None})


def cut_blocks(profiles: Iterable[pa.RecordBatch]) -> Iterator[UpdateBlock]:
    """Split batches of profiles into blocks of at most 25 rows."""
    for batch in profiles:
        for start in range(0, len(batch), _BLOCK_ROWS):
            yield UpdateBlock(batch.slice(start, _BLOCK_ROWS))
