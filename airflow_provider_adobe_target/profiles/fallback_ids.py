"""Rows that have an id in a second column only: they are sent in separate files, with the other id type."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.attribute_names import id_type_of
from airflow_provider_adobe_target.profiles.mapping import ProfileMapping, find_column
from airflow_provider_adobe_target.profiles.values.to_text import to_text
from airflow_provider_adobe_target.spill import SpillFile


def other_id_type(id_type: str) -> str:
    """Return the id type of the fallback column."""
    return "pcId" if id_type == "thirdPartyId" else "thirdPartyId"


class FallbackIds:
    """The second id column of a run.

    :param column: Name of the column.
    :param folder: Existing private folder of the run.
    """

    def __init__(self, column: str, folder: Path) -> None:
        self.column = column
        self.folder = folder / "fallback"
        self.folder.mkdir()
        self.profiles = SpillFile(self.folder / "rows")

    def without_column(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema without the fallback column.

        :raises ProfileDataError: If there is no such column.
        """
        self.column = find_column(schema, self.column, "fallback_id_column")
        return schema.remove(schema.get_field_index(self.column))

    def has_id(self, batch: pa.RecordBatch, id_column: str) -> pa.BooleanArray:
        """Return a mask of the rows that have an id in the id column."""
        ids = to_text(batch.column(id_column))
        has_text = pc.not_equal(pc.utf8_trim_whitespace(ids.text), "").fill_null(False)
        return has_text if ids.unsupported is None else pc.or_(has_text, ids.unsupported.fill_null(False))

    def texts(self, batch: pa.RecordBatch) -> pa.StringArray:
        """Return the ids of the fallback column as text."""
        return to_text(batch.column(self.column)).text

    def mapping(self, mapping: ProfileMapping) -> ProfileMapping:
        """Return the mapping of rows without an id in the id column.

        :raises ProfileDataError: If both columns have names of the same id type.
        """
        id_type = other_id_type(mapping.id_type)
        if id_type_of(self.column) not in (None, id_type):
            raise ProfileDataError(
                f"fallback_id_column={self.column!r} has ids of type {mapping.id_type}, as the id column. Choose a "
                f"column of type {id_type}."
            )
        return replace(mapping, id_column=self.column, id_type=id_type)
