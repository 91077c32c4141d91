"""Texts of derived attributes: one Arrow operation for each attribute and batch, no loop over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.derived_attributes import DerivedAttributes, template_parts
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.attribute_names import attribute_name_problem
from airflow_provider_adobe_target.profiles.mapping import Attribute, LeafReader, find_column
from airflow_provider_adobe_target.profiles.values.python_values import TextCells
from airflow_provider_adobe_target.profiles.values.text_column import TextColumn
from airflow_provider_adobe_target.profiles.values.to_text import name_without_text_form, to_text

if TYPE_CHECKING:
    from airflow_provider_adobe_target.privacy import PrivacyRules

_SCALARS = (str, int, float, bool, type(None))


class DerivedTexts:
    """The derived attributes of a run, without stamps.

    :param derived: Attributes.
    :raises ProfileDataError: If a constant has no text form.
    """

    def __init__(self, derived: DerivedAttributes) -> None:
        self._derived = derived
        self._constants = {name: _constant(name, value) for name, value in derived.constants.items()}
        self._templates = {name: template_parts(name, text) for name, text in derived.templates.items()}
        self.kinds = {
            **dict.fromkeys(derived.constants, "constant"),
            **dict.fromkeys(derived.templates, "template"),
            **dict.fromkeys(derived.functions, "function"),
        }

    def source_columns(self, schema: pa.Schema) -> list[str] | None:
        """Return the top-level columns that the attributes need; None for all.

        :raises ProfileDataError: If a template names a column that does not exist.
        """
        if self._derived.functions:
            return None
        named = [(name, column) for name in self._templates for column in self._derived.template_columns(name)]
        return [_path_of(schema, column, name)[0] for name, column in named]

    def check(self, schema: pa.Schema, columns: Mapping[str, str], id_type: str, rules: PrivacyRules) -> None:
        """Check names and templates.

        :param schema: Columns of the rows.
        :param columns: Columns by attribute name, of the attributes that are not derived.
        :param id_type: Name of the first column of the batch file.
        :param rules: Rules on hashed and blocked attributes. They apply to the columns of templates also.
        :raises ProfileDataError: If a name is invalid or used by a column, or a template must not be sent.
        """
        for name in (*self._derived.names, *self._derived.stamp_names):
            if problem := attribute_name_problem(name, id_type):
                raise ProfileDataError(f"The derived attribute {name!r} has an invalid name: {problem}.")
            if name in columns:
                raise ProfileDataError(
                    f"The derived attribute {name!r} is also the column {columns[name]!r}. Rename one of them, or list "
                    "the columns to send in attributes."
                )
        for name in self._templates:
            for column in self._derived.template_columns(name):
                _path_of(schema, column, name)
                _check_template_column(name, column, rules)

    def read(self, batch: pa.RecordBatch, leaves: LeafReader) -> dict[str, TextColumn]:
        """Return the texts of a batch by attribute name.

        :raises ProfileDataError: If a function fails, or its result is not one value for each row.
        """
        rows = len(batch)
        texts = {name: TextColumn(pa.repeat(text, rows), None, plain=False) for name, text in self._constants.items()}
        for name, parts in self._templates.items():
            texts[name] = _joined(name, parts, batch.schema, leaves)
        plain = _plain_batch(batch) if self._derived.functions else batch
        for name, function in self._derived.functions.items():
            texts[name] = to_text(_result(name, function, plain))
        return texts


def with_stamps(profiles: pa.RecordBatch, stamps: Mapping[str, str]) -> pa.RecordBatch:
    """Return profiles with a column of the same text for each stamp, by column name."""
    for name, text in stamps.items():
        profiles = profiles.append_column(name, pa.repeat(pa.scalar(text, pa.string()), len(profiles)))
    return profiles


def _constant(name: str, value: Any) -> pa.StringScalar:
    try:
        column = to_text(pa.array([value]))
    except (pa.ArrowInvalid, OverflowError):
        column = None
    if column is None or column.text[0].as_py() is None:
        raise ProfileDataError(f"constants[{name!r}] has no text form.")
    return column.text[0]


def _check_template_column(name: str, column: str, rules: PrivacyRules) -> None:
    if rules.is_hashed(name):
        return
    if rules.is_hashed(column):
        raise ProfileDataError(
            f"templates[{name!r}] contains {column!r}, which hash_attributes sends as a digest only. Add {name!r} to "
            "hash_attributes, or remove the column from the template."
        )
    if pattern := rules.blocking_pattern(column):
        raise ProfileDataError(
            f"templates[{name!r}] contains {column!r}, which must not be sent: block_attributes has {pattern!r}. "
            "Nothing was sent."
        )


def _path_of(schema: pa.Schema, column: str, name: str) -> tuple[str, ...]:
    """Return the path of a column, whose nested fields have dotted names.

    :raises ProfileDataError: If there is no such column.
    """
    if column in schema.names:
        return (column,)
    first, *names = column.split(".")
    if names and first in schema.names and _may_have(schema.field(first).type, names):
        return (first, *names)
    return (find_column(schema, column, f"templates[{name!r}]"),)


def _may_have(kind: pa.DataType, names: Sequence[str]) -> bool:
    """Return whether a type has a nested field. A null type, whose fields are not known yet, may have any."""
    if pa.types.is_null(kind) or not names:
        return True
    index = kind.get_field_index(names[0]) if pa.types.is_struct(kind) else -1
    return index >= 0 and _may_have(kind.field(index).type, names[1:])


def _joined(name: str, parts: Sequence[tuple[str, str | None]], schema: pa.Schema, leaves: LeafReader) -> TextColumn:
    """Return the texts of a template. A row in which a column has no text form is unsupported."""
    pieces: list[Any] = []
    unsupported = None
    for literal, column in parts:
        if literal:
            pieces.append(pa.scalar(literal, pa.string()))
        if column is not None:
            values = to_text(leaves.read(Attribute(_path_of(schema, column, name), name)))
            pieces.append(values.text)
            if values.unsupported is not None:
                mask = values.unsupported.fill_null(False)
                unsupported = mask if unsupported is None else pc.or_(unsupported, mask)
    return TextColumn(pc.binary_join_element_wise(*pieces, ""), unsupported, plain=False)


def _plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with columns of Python objects as text, because their type is internal."""
    columns = [to_text(column).text if isinstance(column.type, TextCells) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _result(name: str, function: Any, batch: pa.RecordBatch) -> pa.Array:
    try:
        result = function(batch)
    except Exception as error:  # its message may contain a value
        raise ProfileDataError(
            f"functions[{name!r}] raised {type(error).__name__} {_line_of(error, function)}. The message is not shown, "
            "because it may contain a value."
        ) from None
    if isinstance(result, pa.ChunkedArray):
        result = result.combine_chunks()
    if isinstance(result, _SCALARS) or hasattr(result, "isoformat"):
        result = pa.scalar(result)
    if isinstance(result, pa.Scalar):
        return pa.repeat(result, len(batch))
    if not isinstance(result, pa.Array):
        raise ProfileDataError(f"functions[{name!r}] returned {type(result).__name__}, not an Arrow array or a value.")
    if len(result) != len(batch):
        raise ProfileDataError(f"functions[{name!r}] returned {len(result)} values for {len(batch)} rows.")
    if pa.types.is_struct(result.type) or name_without_text_form(result.type):
        raise ProfileDataError(f"functions[{name!r}] returned values of type {result.type}, which has no text form.")
    return result


def _line_of(error: BaseException, function: Any) -> str:
    """Return the line in which a function raised."""
    code = getattr(function, "__code__", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is code:
            return f"in line {trace.tb_lineno}"
        trace = trace.tb_next
    return "in a function that it calls"
