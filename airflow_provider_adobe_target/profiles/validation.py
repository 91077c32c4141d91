"""The rules for ids and values: what Adobe Target would refuse, lose or misread leaves here, with its reason."""

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
from airflow_provider_adobe_target.profiles.encoding import (
    cell_starts,
    encode_lines,
    percent_encode,
    string_bytes,
)
from airflow_provider_adobe_target.profiles.values.python_values import TextCells
from airflow_provider_adobe_target.profiles.values.text_column import TextColumn, nulled
from airflow_provider_adobe_target.profiles.values.to_text import name_without_text_form, to_text, value_type

log = logging.getLogger(__name__)

Mask = npt.NDArray[np.bool_]
Sizes = npt.NDArray[np.int64]
RiskyValue = Literal["encode", "replace", "reject"]

MAX_ID_CHARACTERS = {"thirdPartyId": 256, "pcId": 128}  # Adobe's limits page; its Delivery API page
_WARN_ID_CHARACTERS = 128  # Adobe's own SDKs refuse to link longer ones
_WARN_VALUE_CHARACTERS = 256  # what page calls and the Delivery API take
_MAX_PROFILE_BYTES = 64_000  # Adobe's bulk page: 64 KB of external data a profile, read as decimal to be safe
_RISKY_CHARACTER = r"[,\r\n]"
_RISKY_RUN = r" *[,\r\n][,\r\n ]*"

_RISKY_BYTES = (b",", b"\r", b"\n")
_FINE_IN_ID = bytes(byte for byte in range(0x21, 0x7F) if byte not in b"+/,")  # any other byte is worth a closer look


@dataclass
class Verdicts:
    """Which rows of a batch are bad, and why: the first reason found counts."""

    rows: int
    reasons: dict[int, str] = field(default_factory=dict)
    details: dict[int, str] = field(default_factory=dict)
    values_replaced: int = 0

    def reject(self, bad: Mask, reason: str, detail: str) -> None:
        """Mark the rows of ``bad`` that are not marked yet."""
        for row in np.flatnonzero(bad).tolist():
            if row not in self.reasons:
                self.reasons[row], self.details[row] = reason, detail

    @property
    def good(self) -> Mask:
        """The rows that are not marked."""
        good = np.ones(self.rows, bool)
        good[list(self.reasons)] = False
        return good


class Warnings:
    """What is worth a line in the log, once a run for each column and kind."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def once(self, column: str, message: str) -> None:
        """Log ``message``, which has one ``%s`` for the column, unless that was done before."""
        if (column, message) not in self._said:
            self._said.add((column, message))
            log.warning(message, column)


def check_ids(
    values: pa.Array,
    column: str,
    id_type: str,
    on_risky_value: RiskyValue | None,
    verdicts: Verdicts,
    warnings: Warnings,
) -> pa.StringArray:
    """Mark rows whose id is missing, too long, or holds what an id must not hold, and return the ids. None is altered.

    Rules: Adobe's bulk pages forbid ``+`` and ``/``; 256 characters at most, 128 for a Target id. Adobe Target very
    likely decodes a file before it splits the file at commas and lines. So a comma is rejected unless
    ``on_risky_value`` is ``encode``, or None where the id is not part of a file.
    """
    ids = to_text(values)
    text = ids.text
    if ids.unsupported is not None:
        broken = _mask(ids.unsupported) & _is_string(values)
        verdicts.reject(broken, "id_forbidden_character", f"{column}: half a surrogate pair, or not UTF-8")
        verdicts.reject(_mask(ids.unsupported), "unsupported_value", f"{column}: its type has no text form")
    if text.null_count:
        verdicts.reject(_mask(text.is_null()), "missing_id", column)
    suspect = not ids.plain and bool(string_bytes(text).tobytes().translate(None, _FINE_IN_ID))
    if suspect:
        verdicts.reject(_mask(pc.equal(pc.utf8_trim_whitespace(text), "")), "missing_id", f"{column}: only blanks")
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
                "Ids in %s hold commas; they are sent as %%2C, and Adobe Target may take them for separators.",
            )
    else:
        verdicts.reject(commas, "id_forbidden_character", f"{column}: a comma in an id")
    return text


def _is_string(values: pa.Array) -> Mask:
    """Mark what is text, whether it is UTF-8 or not."""
    if isinstance(values.type, TextCells):
        return _mask(values.storage.field("text").is_valid())
    kind = value_type(values.type)
    is_string = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return np.full(len(values), is_string)


def check_values(
    values: TextColumn,
    column: str,
    max_value_length: int,
    on_risky_value: RiskyValue | None,
    verdicts: Verdicts,
    warnings: Warnings,
) -> pa.StringArray:
    """Mark rows whose value has no text form, is too long or risky, and return the texts to send.

    :param on_risky_value: None where a comma or a line break is no delimiter
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
                "Values in %s hold commas or line breaks and are sent percent-encoded. Adobe Target very likely "
                "decodes a file before it splits it: a comma shifts columns, a line break writes to another profile.",
            )
    _check_length(text, max_value_length, _WARN_VALUE_CHARACTERS, "value_too_long", column, verdicts, warnings)
    return text


def replace_delimiters(text: pa.StringArray) -> tuple[pa.StringArray, int]:
    """Replace each run of commas, CRs and LFs, with the spaces next to it, by one space; at either end, by nothing.

    :return: the texts, null where nothing is left, and how many of them changed
    """
    is_risky = pc.match_substring_regex(text, _RISKY_CHARACTER).fill_null(False)
    # Each run becomes one comma, so that those at the ends can be trimmed.
    replaced = pc.replace_substring_regex(text.filter(is_risky), _RISKY_RUN, ",")
    replaced = pc.replace_substring(pc.ascii_trim(replaced, ","), ",", " ")
    replaced = nulled(replaced, pc.equal(replaced, ""))
    return pc.replace_with_mask(text, is_risky, replaced), len(replaced)


def line_sizes(ids: pa.StringArray, texts: Mapping[str, pa.StringArray]) -> Sizes:
    """Return the bytes of each row as a line of a batch file."""
    return np.diff(encode_lines([ids, *texts.values()]).starts)


def update_sizes(ids: pa.StringArray, texts: Mapping[str, pa.StringArray]) -> Sizes:
    """Return the bytes of each row as the id and the pairs, ``&profile.name=value``, of a single update."""
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
    """Mark rows that hold more than 64 KB of attributes, or do not fit what they are sent in.

    :param texts: attribute names and their texts
    :param room: the bytes that a row may have, encoded
    :param sizes: tells the bytes of each row, encoded
    :param container: what a row is to fit
    """
    longest = [_longest(text) for text in (ids, *texts.values())]
    names_size = sum(len(name) + len("&profile.=") for name in texts)
    if sum(longest) + names_size <= _MAX_PROFILE_BYTES and 3 * sum(longest) + names_size + 2 <= room:
        return  # every byte becomes three at the most
    profiles = sum((_text_sizes(text, len(name)) for name, text in texts.items()), np.zeros(len(ids), np.int64))
    verdicts.reject(
        profiles > _MAX_PROFILE_BYTES, "profile_too_large", f"more than {_MAX_PROFILE_BYTES} bytes of attributes"
    )
    verdicts.reject(sizes(ids, texts) > room, "profile_too_large", f"longer than {container} may be")


def _text_sizes(text: pa.StringArray, extra: int) -> Sizes:
    """Return the bytes of each text and ``extra`` more, 0 where it is null."""
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
            f"Some texts in %s have more than {warn_above} characters; other parts of Adobe Target take no more.",
        )


def _holds_risky_bytes(text: pa.StringArray) -> bool:
    data = string_bytes(text).tobytes()
    return any(byte in data for byte in _RISKY_BYTES)


def _longest(text: pa.StringArray) -> int:
    """Return the bytes of the longest text: no text has more characters than that."""
    return int(np.diff(cell_starts(text)).max(initial=0))


def _mask(condition: pa.BooleanArray) -> Mask:
    return np.asarray(pc.fill_null(condition, False).to_numpy(zero_copy_only=False), bool)


def refuse_unfit_ids(ids: pa.Array, column: str) -> None:
    """Refuse ids of a type that cannot be trusted to still say what it said at its source.

    :raises ProfileDataError: where ids have become floats, or never were ids
    """
    if ids.null_count == len(ids):
        return
    kind = value_type(ids.type)
    became_floats = isinstance(ids.type, TextCells) and ids.type.has_floats
    if became_floats or pa.types.is_floating(kind) or (pa.types.is_decimal(kind) and kind.scale != 0):
        raise ProfileDataError(
            f"The ids in {column!r} became {'floats' if became_floats else kind} (12345 would be 12345.0): cast the "
            f"column to text where it is read, for example CAST({column} AS VARCHAR) in SQL or "
            f"dtype={{{column!r}: 'string'}} in pandas."
        )
    if pa.types.is_boolean(kind) or pa.types.is_nested(kind) or name_without_text_form(ids.type):
        raise ProfileDataError(
            f"The ids in {column!r} are of type {kind}, which cannot be an id. Choose another id_column."
        )
