"""Map the columns of a table to the id and the attributes of a profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.attribute_names import ID_TYPES, check_attribute_names, id_type_of
from airflow_provider_adobe_target.profiles.values.float_marks import floats_in
from airflow_provider_adobe_target.profiles.values.to_text import name_without_text_form

_INDEX = b"adobe_target_index"

AttributeCase = Literal["keep", "lower"]


@dataclass(frozen=True)
class Attribute:
    """One attribute and its source column.

    :param path: Name of the column, followed by the names of the struct fields of a nested attribute.
    :param name: Attribute name in Adobe Target.
    """

    path: tuple[str, ...]
    name: str

    @property
    def column(self) -> str:
        """Dotted name of the column, such as ``address.city``."""
        return ".".join(self.path)


@dataclass(frozen=True)
class ProfileMapping:
    """Mapping from the columns of a table to profiles.

    :param id_column: Name of the id column.
    :param id_type: ``thirdPartyId`` or ``pcId``.
    :param attributes: Attributes, in the order of their columns.
    """

    id_column: str
    id_type: str
    attributes: tuple[Attribute, ...]

    @property
    def columns(self) -> list[str]:
        """Top-level columns that the mapping reads."""
        return list(dict.fromkeys([self.id_column, *(attribute.path[0] for attribute in self.attributes)]))


def map_columns(
    schema: pa.Schema,
    *,
    id_column: str | None = None,
    id_type: str | None = None,
    attributes: Sequence[str] | Mapping[str, str] | None = None,
    attribute_case: AttributeCase = "keep",
    complete: bool = True,
    has_other_attributes: bool = False,
) -> ProfileMapping:
    """Return the mapping of a table's columns.

    :param schema: Schema of the table. Fields of structs get dotted names, such as ``address.city``.
    :param id_column: Name of the id column. Case is ignored if no column has exactly this name. Default: the column
        with a recognised id name.
    :param id_type: ``thirdPartyId`` or ``pcId``. Default: derived from the name of the id column, otherwise
        ``thirdPartyId``.
    :param attributes: Columns, or a mapping from columns to attribute names. A struct selects all its fields. Default:
        every other column, under its own name.
    :param attribute_case: ``lower`` converts names derived from columns to lower case. Names given by a mapping are
        unchanged.
    :param complete: Whether ``schema`` has all nested fields, so that an unknown nested name is an error. A column of
        type null may still turn out to be nested.
    :param has_other_attributes: Whether there are attributes that are not columns, so that no column is required.
    :raises ProfileDataError: If the id column or an attribute is missing, ambiguous or invalid.
    """
    id_column = find_column(schema, id_column, "id_column") if id_column else _find_id_column(schema)
    _refuse_float_ids(schema.field(id_column))
    id_type = id_type or id_type_of(id_column) or "thirdPartyId"
    leaves = [path for field in schema for path in _leaves(field)]
    if attributes is None:
        _refuse_further_ids(schema, id_column)
        chosen = [Attribute(path, ".".join(path)) for path in leaves if path != (id_column,)]
    else:
        names = attributes if isinstance(attributes, Mapping) else {column: column for column in attributes}
        below = _paths_below(leaves)
        chosen = [
            attribute for column, name in names.items() for attribute in _select(column, name, below, schema, complete)
        ]
        if not isinstance(attributes, Mapping) and len(names) != len(attributes):
            raise ProfileDataError("A column is listed twice in attributes. List each column once.")
    if attribute_case == "lower" and not isinstance(attributes, Mapping):
        chosen = [Attribute(attribute.path, attribute.name.lower()) for attribute in chosen]
    if not chosen and not has_other_attributes:
        raise ProfileDataError(
            f"There is no attribute column besides the id {id_column!r}. Select at least one more column."
        )
    check_attribute_names([(attribute.column, attribute.name) for attribute in chosen], id_type)
    _refuse_columns_without_text_form(schema, chosen)
    return ProfileMapping(id_column, id_type, tuple(chosen))


def _refuse_float_ids(field: pa.Field) -> None:
    source = floats_in(field)
    if source:
        raise ProfileDataError(
            f"The ids in {field.name!r} became floats in {source} (12345 would be 12345.0): write the column as text, "
            f"for example with dtype={{{field.name!r}: 'string'}} if pandas reads it."
        )


class LeafReader:
    """Read attributes of one record batch. Each struct is flattened once, so the time is linear in the fields.

    :param batch: Record batch.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._rows = len(batch)
        self._fields: dict[tuple[str, ...], dict[str, pa.Array]] = {
            (): dict(zip(batch.schema.names, batch.columns, strict=True))
        }

    def read(self, attribute: Attribute) -> pa.Array:
        """Return the values of an attribute; an array of nulls if the batch does not have the field."""
        *parents, name = attribute.path
        values = self._fields_of(tuple(parents)).get(name)
        return pa.nulls(self._rows) if values is None else values

    def _fields_of(self, path: tuple[str, ...]) -> dict[str, pa.Array]:
        if path not in self._fields:
            parent = self._fields_of(path[:-1]).get(path[-1])
            self._fields[path] = {}
            if parent is not None and pa.types.is_struct(parent.type):
                names = [field.name for field in parent.type]
                self._fields[path] = dict(zip(names, parent.flatten(), strict=True))
        return self._fields[path]


def find_column(schema: pa.Schema, name: str, argument: str) -> str:
    """Return the column with a name; otherwise the only column whose name differs in case only.

    :param name: Name to find.
    :param argument: Operator argument that has the name, for the error message.
    :raises ProfileDataError: If there is no such column.
    """
    if name in schema.names:
        return name
    alike = [column for column in schema.names if column.lower() == name.lower()]
    if len(alike) == 1:
        return str(alike[0])
    raise ProfileDataError(
        f"There is no column {name!r} for {argument}; the columns are {_listed(schema.names)}.{_index_hint(schema)}"
    )


def note_index(schema: pa.Schema, names: Sequence[object]) -> pa.Schema:
    """Return the schema with the names of the pandas index as metadata.

    The index is not a column. Error messages about missing columns use the names as a hint.
    """
    return schema.with_metadata({_INDEX: _listed([str(name) for name in names if name is not None])})


def _index_hint(schema: pa.Schema) -> str:
    index: bytes | None = (schema.metadata or {}).get(_INDEX)
    if index is None:
        return ""
    names = index.decode()
    return f" The DataFrame's index (names: {names}) is not a column. If it contains the ids, call reset_index()."


def _refuse_further_ids(schema: pa.Schema, id_column: str) -> None:
    further = [name for name in schema.names if name != id_column and id_type_of(name)]
    if further:
        raise ProfileDataError(
            f"{_listed(further)} besides the id {id_column!r} would become an attribute, but has the name of an id. "
            "Remove it from the rows, or list the columns to send in attributes."
        )


def _refuse_columns_without_text_form(schema: pa.Schema, attributes: Sequence[Attribute]) -> None:
    for attribute in attributes:
        if name := name_without_text_form(leaf_type(schema, attribute)):
            raise ProfileDataError(
                f"Column {attribute.column!r} is of type {name}, which has no text form and can never be sent. Convert "
                "it to text where it is read (in SQL with CAST), or remove it from attributes."
            )


def leaf_type(schema: pa.Schema, attribute: Attribute) -> pa.DataType:
    """Return the type of an attribute's column or nested field; null if the schema does not have it."""
    fields = schema
    for name in attribute.path:
        index = fields.get_field_index(name) if isinstance(fields, pa.Schema) or pa.types.is_struct(fields) else -1
        if index < 0:
            return pa.null()
        fields = fields.field(index).type
    return fields


def _find_id_column(schema: pa.Schema) -> str:
    found = [name for name in schema.names if id_type_of(name)]
    if len(found) == 1:
        return str(found[0])
    if found:
        raise ProfileDataError(f"The columns {_listed(found)} could each be the id. Set id_column.")
    raise ProfileDataError(
        f"No id column was found ({', '.join(ID_TYPES)}). The columns are {_listed(schema.names)}. "
        f"Set id_column.{_index_hint(schema)}"
    )


def _leaves(field: pa.Field) -> Iterator[tuple[str, ...]]:
    if pa.types.is_struct(field.type):
        for child in field.type:
            for path in _leaves(child):
                yield (field.name, *path)
    else:
        yield (field.name,)


def _paths_below(leaves: Sequence[tuple[str, ...]]) -> dict[str, list[tuple[str, ...]]]:
    """Return the paths of the leaves at or below each dotted name."""
    below: dict[str, list[tuple[str, ...]]] = {}
    for path in leaves:
        words = ".".join(path).split(".")
        for count in range(1, len(words) + 1):
            below.setdefault(".".join(words[:count]), []).append(path)
    return below


def _select(
    column: str, name: str, below: Mapping[str, Sequence[tuple[str, ...]]], schema: pa.Schema, complete: bool
) -> Iterator[Attribute]:
    """Yield the attributes that an item of ``attributes`` selects.

    :raises ProfileDataError: If there is no such column.
    """
    for path in below.get(column, ()):
        yield Attribute(path, name + ".".join(path)[len(column) :])
    if column in below:
        return
    path = tuple(column.split("."))
    index = schema.get_field_index(path[0])
    is_missing = index < 0 or (complete and not pa.types.is_null(schema.field(index).type))
    if is_missing:
        raise ProfileDataError(
            f"There is no column {column!r} for attributes; the columns are {_listed(schema.names)}."
        )
    yield Attribute(path, name)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
