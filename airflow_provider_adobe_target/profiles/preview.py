"""Pure functions from rows to the lines of batch files, for unit tests of a mapping. No server and no Airflow."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_adobe_target.profiles.conversion import PROFILE_PREFIX
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.rows import Rows


@dataclass(frozen=True)
class EncodedRows:
    """The lines that would be sent. The ``repr`` contains counts only.

    :param files: Lines of each file, percent-encoded. The first line has the names.
    :param rejected_by_reason: Number of rejected rows by reason.
    :param rows_empty: Number of rows without a value.
    """

    files: list[list[str]] = field(repr=False)
    rejected_by_reason: dict[str, int]
    rows_empty: int


def encode_rows(rows: Any, **options: Any) -> EncodedRows:
    """Return the lines of the batch files of rows, exactly as they would be sent.

    :param rows: A DataFrame, an Arrow table, or a list of dicts.
    :param options: Arguments of ``BulkProfileUpdateOperator`` for rows and files, such as ``id_column``; and
        ``run_stamp``, if ``derived`` has stamps.
    :raises ProfileDataError: As an upload of these rows.
    """
    with tempfile.TemporaryDirectory() as folder:
        pipeline = ProfilePipeline(_source(rows), ProfileOptions(**options), Path(folder))
        files = [file.path.read_text("ascii").split("\n") for file in pipeline.files()]
        return EncodedRows(files, dict(pipeline.rejects.by_reason), pipeline.rows_empty)


def preview_profile(rows: Any, profile_id: str, **options: Any) -> dict[str, str] | None:
    """Return the attributes of one profile as the texts that would be sent; None if it would not be sent.

    :param rows: As in :func:`encode_rows`.
    :param profile_id: Id of the profile.
    :param options: As in :func:`encode_rows`.
    :raises ProfileDataError: As an upload of these rows.
    """
    found = None
    with tempfile.TemporaryDirectory() as folder:
        pipeline = ProfilePipeline(_source(rows), ProfileOptions(**options), Path(folder))
        for batch in map(pipeline.with_stamps, pipeline.profiles()):
            ids = batch.column("id").to_pylist()
            if profile_id in ids:
                [row] = batch.slice(ids.index(profile_id), 1).to_pylist()
                texts = {name.removeprefix(PROFILE_PREFIX): row[name] for name in batch.schema.names[2:]}
                found = {name: text for name, text in texts.items() if text is not None}
    return found


def _source(rows: Any) -> Rows:
    source: Rows = rows if hasattr(rows, "record_batches") else read_data(rows)
    return source
