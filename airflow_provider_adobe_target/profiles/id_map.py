"""Identity mapping: further ids of the same person, to which a row is also written.

The map is held in memory and peaks at about three times the bytes of its ids: 186 bytes per link of 58 bytes, measured
with two million links.

Algorithm: a sorted hash index. The 64-bit hashes of the ids are sorted once, and looked up by binary search. The
candidates of equal hash are then compared as text, so hash collisions do not affect the result.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.argument_checks import check_arguments
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.attribute_names import ID_TYPES, id_type_of
from airflow_provider_adobe_target.profiles.deduplication import hash_strings
from airflow_provider_adobe_target.profiles.sources.rows import Rows
from airflow_provider_adobe_target.profiles.validation import (
    RiskyValue,
    Verdicts,
    Warnings,
    check_ids,
    refuse_unfit_ids,
)
from airflow_provider_adobe_target.profiles.values.to_text import to_text

_KINDS = ("thirdPartyId", "pcId")
_ID, _LINKED_ID, _TYPE = "id", "linked_id", "linked_id_type"


class IdMap:
    """Links from ids to other ids, in the order of their rows.

    The rows have one of two layouts:

    * ``id``, ``linked_id`` and optionally ``linked_id_type`` (``thirdPartyId``, ``pcId`` or an alias of these). Without
      a type, the linked id has the type of the rows' own id;
    * one column named as a ``thirdPartyId`` and one named as a ``pcId``, as written by ``IdentityLinkOperator``. These
      links apply in both directions.

    :param rows: read here
    :param max_linked_ids: how many links of one id count; those that come later are dropped
    :param on_risky_value: links with a comma in an id are dropped, unless this is ``encode``
    :raises ProfileDataError: naming the column and the way out
    """

    def __init__(self, rows: Rows, max_linked_ids: int, on_risky_value: RiskyValue = "replace") -> None:
        check_arguments({"max_linked_ids": max_linked_ids})
        self.max_linked_ids = max_linked_ids
        self.dropped: Counter[str] = Counter()
        self._on_risky_value = on_risky_value
        self._warnings = Warnings()
        self._is_pairs = False
        parts = [self._part(batch) for batch in rows.record_batches() if len(batch)]
        ids, linked, kinds = zip(*parts, strict=True) if parts else ((), (), ())
        self._left, self._right = _joined(ids), _joined(linked)
        self._kinds = np.concatenate(kinds) if kinds else np.empty(0, np.int8)
        self._indexed_for: str | None = None

    def __len__(self) -> int:
        return len(self._left)

    def kinds(self, key: str) -> list[str]:
        """Return which types of ids rows get, whose own are of the type ``key``."""
        if self._is_pairs:
            return [kind for kind in _KINDS if kind != key] if len(self) else []
        numbers = set(np.unique(self._kinds).tolist())
        return [kind for number, kind in enumerate(_KINDS) if number in numbers or (-1 in numbers and kind == key)]

    def links(self, ids: pa.StringArray, key: str, kind: str) -> tuple[npt.NDArray[np.int64], pa.StringArray]:
        """Find the linked ids of one type.

        :param ids: of rows, without nulls
        :param key: their type
        :param kind: the type that is looked for
        :returns: for each link the place in ``ids``, growing, and the linked id
        """
        self._index(key)
        hashes = hash_strings(ids)
        first = np.searchsorted(self._hashes, hashes, "left")
        counts = np.searchsorted(self._hashes, hashes, "right") - first
        # Expand the ranges [first, first + count) of all ids into one array of positions in the index.
        rows = np.repeat(np.arange(len(ids)), counts)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        candidates = self._order[places]
        own = ids.cast(pa.large_string()).take(pa.array(rows))
        is_link = pc.equal(self._ids.take(pa.array(candidates)), own).to_numpy(zero_copy_only=False)
        linked = self._linked.take(pa.array(candidates))
        kinds = self._kinds[candidates] if not self._is_pairs else np.full(len(rows), _KINDS.index(kind))
        kinds = np.where(kinds == -1, _KINDS.index(key), kinds)
        is_itself = pc.equal(linked, own).to_numpy(zero_copy_only=False) & (kinds == _KINDS.index(key))
        is_link &= ~is_itself
        rows, kinds, linked = rows[is_link], kinds[is_link], linked.filter(pa.array(is_link))
        starts = np.searchsorted(rows, rows, "left")
        within = np.arange(len(rows)) - starts < self.max_linked_ids
        wanted = kinds == _KINDS.index(kind)
        self.dropped["over_max_linked_ids"] += int((wanted & ~within).sum())
        chosen = wanted & within
        return rows[chosen], linked.filter(pa.array(chosen)).cast(pa.string())

    def _index(self, key: str) -> None:
        if self._indexed_for == key:
            return
        is_turned = self._is_pairs and key == "pcId"
        self._ids, self._linked = (self._right, self._left) if is_turned else (self._left, self._right)
        step = 1 << 20  # the bytes of so many ids are few enough for 32-bit offsets
        parts = [hash_strings(self._ids.slice(at, step).cast(pa.string())) for at in range(0, len(self), step)]
        hashes = np.concatenate(parts) if parts else np.empty(0, np.uint64)
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]
        self._indexed_for = key

    def _part(self, batch: pa.RecordBatch) -> tuple[pa.StringArray, pa.StringArray, npt.NDArray[np.int8]]:
        """Return the ids, the linked ids and the types of the linked ids of valid rows.

        Types are indices of ``_TYPES``; -1 means the type of the row's own id.
        """
        names = batch.schema.names
        if _ID in names and _LINKED_ID in names:
            columns = {_ID: "thirdPartyId", _LINKED_ID: "thirdPartyId"}
            kinds = _kinds(batch.column(_TYPE)) if _TYPE in names else np.full(len(batch), -1, np.int8)
        else:
            self._is_pairs = True
            columns = {_named(names, kind): kind for kind in _KINDS}
            kinds = np.ones(len(batch), np.int8)
        verdicts = Verdicts(len(batch))
        texts = []
        for column, kind in columns.items():
            refuse_unfit_ids(batch.column(column), column)
            values = batch.column(column)
            texts.append(check_ids(values, column, kind, self._on_risky_value, verdicts, self._warnings))
        is_long = pc.fill_null(pc.greater(pc.utf8_length(texts[1]), 128), False).to_numpy(zero_copy_only=False)
        verdicts.reject(is_long & (kinds == _KINDS.index("pcId")), "id_too_long", _LINKED_ID)
        self.dropped.update(verdicts.reasons.values())
        good = pa.array(verdicts.good)
        return texts[0].filter(good), texts[1].filter(good), kinds[verdicts.good]


def _named(names: list[str], kind: str) -> str:
    found = [name for name in names if id_type_of(name) == kind]
    if len(found) != 1:
        raise ProfileDataError(
            f"The id map is to have the columns {_ID}, {_LINKED_ID} and {_TYPE}, or one that is named as a "
            f"thirdPartyId and one that is named as a pcId; its columns are {', '.join(map(repr, names))}. Rename them "
            "(in SQL with AS)."
        )
    return found[0]


def _kinds(values: pa.Array) -> npt.NDArray[np.int8]:
    """Return the types that a column names, as numbers of ``_KINDS``, and -1 for none."""
    words = to_text(values).text.dictionary_encode()
    numbers = [_KINDS.index(ID_TYPES[word]) if word in ID_TYPES else None for word in words.dictionary.to_pylist()]
    if None in numbers:
        raise ProfileDataError(f"The id map has a {_TYPE} that is none of {', '.join(ID_TYPES)}.")
    table = np.array([*numbers, -1], np.int8)  # null is the last
    kinds: npt.NDArray[np.int8] = table[words.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)]
    return kinds


def _joined(parts: tuple[pa.StringArray, ...]) -> pa.LargeStringArray:
    return pa.concat_arrays([pa.array([], pa.large_string()), *(part.cast(pa.large_string()) for part in parts)])
