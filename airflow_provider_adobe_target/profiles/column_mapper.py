"""Map the columns of record batches to attributes, also if the columns differ between batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_provider_adobe_target.profiles.attribute_names import check_attribute_names, warn_of_case
from airflow_provider_adobe_target.profiles.derived import DerivedTexts
from airflow_provider_adobe_target.profiles.fallback_ids import FallbackIds, other_id_type
from airflow_provider_adobe_target.profiles.mapping import ProfileMapping, leaf_type, map_columns
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.privacy import check_blocked

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics
    from airflow_provider_adobe_target.profiles.id_map import IdMap


class ColumnMapper:
    """The mapping of the latest batch, and the attributes of all batches.

    :param options: Options.
    :param derived: Derived attributes.
    :param fallback: Fallback ids, if any.
    :param id_map: Linked ids, if any.
    :param statistics: Statistics to which the sources of attributes are noted.

    :ivar latest: Mapping of the latest batch. None before the columns are known.
    :ivar columns: Attribute name to source column, in the order of the columns of the file. Attributes of earlier
        batches are kept, to minimise the number of headers.
    """

    def __init__(
        self,
        options: ProfileOptions,
        derived: DerivedTexts,
        fallback: FallbackIds | None,
        id_map: IdMap | None,
        statistics: Sequence[AttributeStatistics],
    ) -> None:
        self.latest: ProfileMapping | None = None
        self.columns: dict[str, str] = {}
        self._options = options
        self._derived = derived
        self._fallback = fallback
        self._id_map = id_map
        self._statistics = statistics
        self._schema: pa.Schema | None = None

    def map(self, schema: pa.Schema, *, complete: bool) -> ProfileMapping:
        """Return the mapping of a batch.

        :param schema: Schema of the batch.
        :param complete: Whether it has all nested fields; see :func:`~.map_columns`.
        :raises ProfileDataError: If a column or an attribute is invalid.
        """
        if self.latest and schema == self._schema:
            return self.latest
        options = self._options
        mapping = map_columns(
            self._fallback.without_column(schema) if self._fallback else schema,
            id_column=options.id_column,
            id_type=options.id_type,
            attributes=options.attributes,
            attribute_case=options.attribute_case,
            complete=complete,
            has_other_attributes=bool(options.derived.names),
        )
        own = {attribute.name: attribute.column for attribute in mapping.attributes}
        for id_type in (mapping.id_type, *([other_id_type(mapping.id_type)] if self._fallback else ())):
            self._derived.check(schema, own, id_type, options.privacy_rules)
        columns = {**self.columns, **own, **{name: name for name in self._derived.kinds}}
        further = self._id_map.linked_types(mapping.id_type) if self._id_map else ()
        for id_type in [other_id_type(mapping.id_type)] if self._fallback else further:
            check_attribute_names([(attribute.column, attribute.name) for attribute in mapping.attributes], id_type)
        if len(columns) > len(self.columns):
            warn_of_case(list(columns))
            check_blocked(columns, options.privacy_rules)
        self.columns = columns
        self.latest, self._schema = mapping, schema
        self._note_sources(schema, mapping)
        return mapping

    def _note_sources(self, schema: pa.Schema, mapping: ProfileMapping) -> None:
        derived = {**self._derived.kinds, **dict.fromkeys(self._options.stamps, "stamp")}
        sources: dict[str, tuple[str, pa.DataType | str]] = {name: (name, kind) for name, kind in derived.items()}
        sources |= {it.name: (it.column, leaf_type(schema, it)) for it in mapping.attributes}
        for statistics in self._statistics:
            statistics.note_sources(sources)
