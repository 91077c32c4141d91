"""Convert the rows of one record batch to profiles: ids and attributes as text, checked."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from airflow_provider_adobe_target.profiles.batch_files import room_for_a_row
from airflow_provider_adobe_target.profiles.derived import DerivedTexts
from airflow_provider_adobe_target.profiles.mapping import LeafReader, ProfileMapping
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.privacy import PersonalDataCheck, hash_texts
from airflow_provider_adobe_target.profiles.suspicious_ids import SuspiciousIds
from airflow_provider_adobe_target.profiles.validation import (
    Verdicts,
    Warnings,
    check_ids,
    check_sizes,
    check_values,
    refuse_unfit_ids,
    update_sizes,
)
from airflow_provider_adobe_target.profiles.values.to_text import to_text

# Adobe Target's prefix of attributes. In the pipeline, it separates attributes from internal columns: an attribute may
# be named ``id``.
PROFILE_PREFIX = "profile."


class ProfileConverter:
    """Conversion and checks of rows, whose warnings are logged once per pipeline.

    :param options: Options.
    :param max_update_bytes: Maximum encoded size of a profile in bytes, if profiles are sent as single updates. None
        for rows of batch files.
    """

    def __init__(self, options: ProfileOptions, max_update_bytes: int | None) -> None:
        self._options = options
        self.derived = DerivedTexts(options.derived)
        self._stamps = options.stamps
        self._max_update_bytes = max_update_bytes
        self._risky_value = options.on_risky_value if max_update_bytes is None else None
        self._warnings = Warnings()
        self._personal_data = PersonalDataCheck(options.privacy_rules)
        self._suspicious_ids = SuspiciousIds(options.privacy_rules.options.on_suspicious_id)

    def convert(
        self, batch: pa.RecordBatch, mapping: ProfileMapping, columns: Mapping[str, str], row_numbers: pa.Array
    ) -> tuple[pa.RecordBatch, Verdicts]:
        """Return all rows as profiles, and the verdict on each row.

        :param batch: Rows of the source.
        :param mapping: Mapping of the columns of the batch.
        :param columns: Attribute name to source column. Attributes that the batch does not have are null.
        :param row_numbers: Number of each row.
        :return: ``row_number``, ``id``, and the attributes as text, named ``profile.`` and their name.
        """
        verdicts = Verdicts(len(batch))
        values = batch.column(mapping.id_column)
        refuse_unfit_ids(values, mapping.id_column)
        ids = check_ids(values, mapping.id_column, mapping.id_type, self._risky_value, verdicts, self._warnings)
        self._suspicious_ids.add(ids, mapping.id_column, mapping.id_type)
        texts = self._texts(batch, mapping, columns, verdicts)
        self.check_sizes(ids, texts, mapping.id_type, verdicts)
        self._search_personal_data(texts, columns)
        names = ["row_number", "id", *(PROFILE_PREFIX + name for name in texts)]
        return pa.record_batch([row_numbers, ids, *texts.values()], names), verdicts

    def check_sizes(
        self, ids: pa.StringArray, texts: Mapping[str, pa.StringArray], id_type: str, verdicts: Verdicts
    ) -> None:
        """Reject rows that are too large for a batch file or for a single update, with the stamps that are added."""
        stamps = {name: pa.repeat(pa.scalar(text), len(ids)) for name, text in self._stamps.items()}
        texts = {**texts, **stamps}
        if self._max_update_bytes is None:
            room = room_for_a_row(id_type, list(texts), self._options.max_bytes_per_file)
            check_sizes(ids, texts, room, verdicts)
        else:
            check_sizes(ids, texts, self._max_update_bytes, verdicts, sizes=update_sizes, container="a single update")

    def finish(self) -> None:
        """Log or raise what only all ids together show; see :meth:`.SuspiciousIds.finish`."""
        self._suspicious_ids.finish()

    def _texts(
        self, batch: pa.RecordBatch, mapping: ProfileMapping, columns: Mapping[str, str], verdicts: Verdicts
    ) -> dict[str, pa.StringArray]:
        """Return the checked texts of each attribute."""
        options = self._options
        leaves = LeafReader(batch)
        attributes = {attribute.name: attribute for attribute in mapping.attributes}
        derived = self.derived.read(batch, leaves)
        texts = {}
        for name, column in columns.items():
            if name not in attributes and name not in derived:
                texts[name] = pa.nulls(len(batch), pa.string())
                continue
            text = derived[name] if name in derived else to_text(leaves.read(attributes[name]))
            if options.privacy_rules.is_hashed(name, column):
                text = hash_texts(text, options.privacy_rules.salt)
            texts[name] = check_values(
                text, column, options.max_value_length, self._risky_value, verdicts, self._warnings
            )
        return texts

    def _search_personal_data(self, texts: Mapping[str, pa.StringArray], columns: Mapping[str, str]) -> None:
        rules = self._options.privacy_rules
        shown = {columns[name]: text for name, text in texts.items() if not rules.is_hashed(name, columns[name])}
        self._personal_data.add(shown)


def attribute_names(profiles: pa.RecordBatch) -> list[str]:
    """Return the names of the attributes of profiles, without the prefix."""
    return [name.removeprefix(PROFILE_PREFIX) for name in profiles.schema.names[2:]]
