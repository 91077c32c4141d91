"""Validation of ids and values: reject what Adobe Target would refuse, drop or misinterpret, with a reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.delimiters import replace_delimiters
from airflow_provider_adobe_target.profiles.encoding import (
    cell_starts,
    encode_lines,
    percent_encode,
    string_bytes,
)
from airflow_provider_adobe_target.profiles.values.python_values import TextCells
from airflow_provider_adobe_target.profiles.values.text_column import TextColumn
from airflow_provider_adobe_target.profiles.values.to_text import name_without_text_form, to_text, value_type

log = logging.getLogger(__name__)

Mask = npt.NDArray[np.bool_]
Sizes = npt.NDArray[np.int64]
RiskyValue = Literal["encode", "replace", "reject"]

MAX_ID_CHARACTERS = {"thirdPartyId": 256, "pcId": 128}  # Adobe's limits page; its Delivery API page
_WARN_ID_CHARACTERS = 128  # limit of Adobe's SDKs for linking
_WARN_VALUE_CHARACTERS = 256  # limit of page calls and the Delivery API
_MAX_PROFILE_BYTES = 64_000  # Adobe's bulk page: 64 KB of external data per profile; decimal is the safe reading
_RISKY_CHARACTER = r"[,\r\n]"
_RISKY_BYTES = (b",", b"\r", b"\n")
_FINE_IN_ID = bytes(byte for byte in range(0x21, 0x7F) if byte not in b"+/,")  # other bytes need the full check


@dataclass
class Verdicts:
    """Validation results of a batch. Each invalid row has one reason, the first one found.

    :param rows: Number of rows of the batch.
    :param reasons: Reasons of invalid rows, by row index.
    :param details: Columns and problems of invalid rows, by row index; no values.
    :param values_replaced: Number of values that were changed.
    """

    rows: int
    reasons: dict[int, str] = field(default_factory=dict)
    details: dict[int, str] = field(default_factory=dict)
    values_replaced: int = 0

    def reject(self, bad: Mask, reason: str, detail: str) -> None:
        """Reject rows that are not rejected yet.

        :param bad: Mask of the rows.
        :param reason: Reason.
        :param detail: Column and problem, without values.
        """
        for row in np.flatnonzero(bad).tolist():
            if row not in self.reasons:
                self.reasons[row], self.details[row] = reason, detail

    @property
    def good(self) -> Mask:
        """Mask of the valid rows."""
        good = np.ones(self.rows, bool)
        good[list(self.reasons)] = False
        return good


class Warnings:
    """Log warnings, each one once per column."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str]] = set()

    def once(self, column: str, message: str) -> None:
        """Log a warning unless it was logged for this column before.

        :param column: Name of the column.
        :param message: Message with one ``%s`` for the column.
        """
        if (column, message) not in self._logged:
            self._logged.add((column, message))
            log.warning(message, column)


def check_ids(
    values: pa.Array,
    column: str,
    id_type: str,
    on_risky_value: RiskyValue | None,
    verdicts: Verdicts,
    warnings: Warnings,
) -> pa.StringArray:
    """Reject rows whose id is missing, too long or has forbidden characters. Return the ids as text, unchanged.

    Adobe's bulk pages forbid ``+`` and ``/``. The limit is 256 characters, or 128 for a Target id. Adobe Target very
    likely decodes a file before it splits it at commas and line breaks, so commas are rejected by default.

    :param values: Column of ids.
    :param column: Name of the column, for messages.
    :param id_type: ``thirdPartyId`` or ``pcId``.
    :param on_risky_value: ``encode`` to accept commas in files; None if the id is not sent in a file.
    :param verdicts: Validation results; changed in place.
    :param warnings: Warnings logged so far.
    """
    ids = to_text(values)
    text = ids.text
    if ids.unsupported is not None:
        broken = _mask(ids.unsupported) & _is_string(values)
        verdicts.reject(broken, "id_forbidden_character", f"{column}: an unpaired surrogate, or not UTF-8")
        verdicts.reject(_mask(ids.unsupported), "unsupported_value", f"{column}: its type has no text form")
    if text.null_count:
        verdicts.reject(_mask(text.is_null()), "missing_id", column)
    suspect = not ids.plain and bool(string_bytes(text).tobytes().translate(None, _FINE_IN_ID))
    if suspect:
        verdicts.reject(_mask(pc.equal(pc.utf8_trim_whitespace(text), "")), "missing_id", f"{column}: only white space")
    _check_length(text, MAX_ID_CHARACTERS[id_type], _WARN_ID_CHARACTERS, "id_too_long", column, verdicts, warnings)
    if not suspect:
        return text
    forbidden = pc.match_substring_regex(text, r"[+/\p{Cc}]")
    verdicts.reject(_mask(forbidden), "id_forbidden_character", f"{column}: '+', '/' or a control character")
    if on_risky_value is None:
        return text
    commas = _mask(pc.match_substring(text, ","))
    if on_risky_value == "encode":
        if (commas & verdicts.good).any():
            warnings.once(
                column,
                "Ids in %s contain commas. They are sent as %%2C, which Adobe Target may interpret as separators.",
            )
    else:
        verdicts.reject(commas, "id_forbidden_character", f"{column}: a comma in an id")
    return text


def _is_string(values: pa.Array) -> Mask:
    """Return a mask of the values that are text, whether or not it is valid UTF-8."""
    if isinstance(values.type, TextCells):
        return _mask(values.storage.field("text").is_valid())
    value = value_type(values.type)
    is_string = pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)
    return np.full(len(values), is_string)


def check_values(
    values: TextColumn,
    column: str,
    max_value_length: int,
    on_risky_value: RiskyValue | None,
    verdicts: Verdicts,
    warnings: Warnings,
) -> pa.StringArray:
    """Reject rows whose value has no text form, is too long or contains delimiters. Return the texts to send.

    :param values: Column of values.
    :param column: Name of the column, for messages.
    :param max_value_length: Maximum number of characters.
    :param on_risky_value: Handling of commas and line breaks; None if they are not delimiters.
    :param verdicts: Validation results; changed in place.
    :param warnings: Warnings logged so far.
    """
    text = values.text
    if values.unsupported is not None:
        verdicts.reject(_mask(values.unsupported), "unsupported_value", f"{column}: its type has no text form")
    if on_risky_value and not values.plain and _holds_risky_bytes(text):
        if on_risky_value == "replace":
            text, replaced = replace_delimiters(text)
            verdicts.values_replaced += replaced
        elif on_risky_value == "reject":
            verdicts.reject(
                _mask(pc.match_substring_regex(text, _RISKY_CHARACTER)),
                "risky_value",
                f"{column}: a comma or line break",
            )
        else:
            warnings.once(
                column,
                "Values in %s contain commas or line breaks and are sent percent-encoded. Adobe Target very likely "
                "decodes a file before it splits it: a comma shifts columns, a line break writes to another profile.",
            )
    _check_length(text, max_value_length, _WARN_VALUE_CHARACTERS, "value_too_long", column, verdicts, warnings)
    return text


def line_sizes(ids: pa.StringArray, texts: Mapping[str, pa.StringArray]) -> Sizes:
    """Return the size in bytes of each row as a line of a batch file."""
    return np.diff(encode_lines([ids, *texts.values()]).starts)


def update_sizes(ids: pa.StringArray, texts: Mapping[str, pa.StringArray]) -> Sizes:
    """Return the size in bytes of each row in the form of a single update: the id and ``&profile.name=value`` pairs."""
    sizes = _text_sizes(percent_encode(ids), 0)
    for name, text in texts.items():
        sizes = sizes + _text_sizes(percent_encode(text), len("&profile.=") + len(name))
    return sizes


def check_sizes(
    ids: pa.StringArray,
    texts: Mapping[str, pa.StringArray],
    room: int,
    verdicts: Verdicts,
    *,
    sizes: Callable[[pa.StringArray, Mapping[str, pa.StringArray]], Sizes] = line_sizes,
    container: str = "a file",
) -> None:
    """Reject rows that have more than 64 KB of attributes, or whose encoded size exceeds a limit.

    An upper bound from the longest texts, at three encoded bytes per byte, avoids the exact computation in most cases.

    :param ids: Ids.
    :param texts: Attribute names and texts.
    :param room: Maximum encoded size of a row in bytes.
    :param verdicts: Validation results; changed in place.
    :param sizes: Function that returns the encoded size of each row in bytes.
    :param container: Name of the container of a row, for the rejection detail.
    """
    longest = [_longest(text) for text in (ids, *texts.values())]
    names_size = sum(len(name) + len("&profile.=") for name in texts)
    if sum(longest) + names_size <= _MAX_PROFILE_BYTES and 3 * sum(longest) + names_size + 2 <= room:
        return
    profiles = sum((_text_sizes(text, len(name)) for name, text in texts.items()), np.zeros(len(ids), np.int64))
    verdicts.reject(
        profiles > _MAX_PROFILE_BYTES, "profile_too_large", f"more than {_MAX_PROFILE_BYTES} bytes of attributes"
    )
    verdicts.reject(sizes(ids, texts) > room, "profile_too_large", f"does not fit into {container}")


def _text_sizes(text: pa.StringArray, extra: int) -> Sizes:
    """Return the size of each text in bytes plus ``extra``; 0 for null."""
    sizes = pc.fill_null(pc.add(pc.binary_length(text), extra), 0)
    return np.asarray(sizes.to_numpy(zero_copy_only=False), np.int64)


def _check_length(
    text: pa.StringArray,
    limit: int,
    warn_above: int,
    reason: str,
    column: str,
    verdicts: Verdicts,
    warnings: Warnings,
) -> None:
    if _longest(text) <= min(limit, warn_above):
        return
    lengths = pc.fill_null(pc.utf8_length(text), 0).to_numpy(zero_copy_only=False)
    verdicts.reject(lengths > limit, reason, f"{column}: more than {limit} characters")
    if ((lengths > warn_above) & (lengths <= limit)).any():
        warnings.once(
            column,
            f"Some texts in %s have more than {warn_above} characters, the limit of other parts of Adobe Target.",
        )


def _holds_risky_bytes(text: pa.StringArray) -> bool:
    data = string_bytes(text).tobytes()
    return any(byte in data for byte in _RISKY_BYTES)


def _longest(text: pa.StringArray) -> int:
    """Return the size of the longest text in bytes, an upper bound for its characters."""
    return int(np.diff(cell_starts(text)).max(initial=0))


def _mask(condition: pa.BooleanArray) -> Mask:
    return np.asarray(pc.fill_null(condition, False).to_numpy(zero_copy_only=False), bool)


def refuse_unfit_ids(ids: pa.Array, column: str) -> None:
    """Check that the type of an id column represents ids without loss.

    :param ids: Column of ids.
    :param column: Name of the column, for messages.
    :raises ProfileDataError: If the ids are floats or decimals with a scale, or of a type that cannot be an id.
    """
    if ids.null_count == len(ids):
        return
    value = value_type(ids.type)
    became_floats = isinstance(ids.type, TextCells) and ids.type.has_floats
    if became_floats or pa.types.is_floating(value) or (pa.types.is_decimal(value) and value.scale != 0):
        raise ProfileDataError(
            f"The ids in {column!r} became {'floats' if became_floats else value} (12345 would be 12345.0): cast the "
            f"column to text where it is read, for example CAST({column} AS VARCHAR) in SQL or "
            f"dtype={{{column!r}: 'string'}} in pandas."
        )
    if pa.types.is_boolean(value) or pa.types.is_nested(value) or name_without_text_form(ids.type):
        raise ProfileDataError(
            f"The ids in {column!r} are of type {value}, which cannot be an id. Choose another id_column."
        )
