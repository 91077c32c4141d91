"""Identity mapping: further ids of the same person, to which a row is also written.

The map is held in memory and peaks at about three times the bytes of its ids: 186 bytes per link of 58 bytes, measured
with two million links.

Algorithm: a sorted hash index. The 64-bit hashes of the ids are sorted once, and looked up by binary search. The
candidates of equal hash are then compared as text, so hash collisions do not affect the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.argument_checks import check_arguments
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.attribute_names import ID_TYPES, id_type_of
from airflow_provider_adobe_target.profiles.deduplication import first_of_each_id, hash_strings
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_ROWS
from airflow_provider_adobe_target.profiles.sources.rows import Rows
from airflow_provider_adobe_target.profiles.validation import (
    RiskyValue,
    Verdicts,
    Warnings,
    check_ids,
    refuse_unfit_ids,
)
from airflow_provider_adobe_target.profiles.values.to_text import to_text
from airflow_provider_adobe_target.spill import SpillFile

_TYPES = ("thirdPartyId", "pcId")
_ID, _LINKED_ID, _LINKED_TYPE = "id", "linked_id", "linked_id_type"


class IdMap:
    """Links from ids to other ids, in the order of their rows.

    The rows have one of two layouts:

    * ``id``, ``linked_id`` and optionally ``linked_id_type`` (``thirdPartyId``, ``pcId`` or an alias of these). Without
      a type, the linked id has the type of the rows' own id;
    * one column named as a ``thirdPartyId`` and one named as a ``pcId``, as written by ``IdentityLinkOperator``. These
      links apply in both directions.

    :param rows: Links. They are read by the constructor.
    :param max_linked_ids: Maximum number of links per id. Further links are dropped.
    :param on_risky_value: ``encode`` keeps links with a comma in an id. Otherwise they are dropped.
    :raises ProfileDataError: If ``max_linked_ids`` or the columns are invalid.
    """

    def __init__(self, rows: Rows, max_linked_ids: int, on_risky_value: RiskyValue = "replace") -> None:
        check_arguments({"max_linked_ids": max_linked_ids})
        self.max_linked_ids = max_linked_ids
        self.dropped: Counter[str] = Counter()
        self._on_risky_value = on_risky_value
        self._warnings = Warnings()
        self._is_pairs = False
        parts = [self._part(batch) for batch in rows.record_batches() if len(batch)]
        ids, linked, types = zip(*parts, strict=True) if parts else ((), (), ())
        self._left, self._right = _concatenated(ids), _concatenated(linked)
        self._types = np.concatenate(types) if types else np.empty(0, np.int8)
        self._indexed_type: str | None = None

    def __len__(self) -> int:
        return len(self._left)

    def linked_types(self, id_type: str) -> list[str]:
        """Return the types of the linked ids.

        :param id_type: Type of the rows' own ids.
        """
        if self._is_pairs:
            return [linked_type for linked_type in _TYPES if linked_type != id_type] if len(self) else []
        codes = set(np.unique(self._types).tolist())
        return [name for code, name in enumerate(_TYPES) if code in codes or (-1 in codes and name == id_type)]

    def links(
        self, ids: pa.StringArray, id_type: str, linked_type: str
    ) -> tuple[npt.NDArray[np.int64], pa.StringArray]:
        """Return the linked ids of one type. Links of an id to itself are omitted.

        :param ids: Ids of rows, without nulls.
        :param id_type: Type of ``ids``.
        :param linked_type: Type of the linked ids.
        :return: For each link, the index in ``ids`` (ascending) and the linked id; arrays of the same length.
        """
        self._index(id_type)
        hashes = hash_strings(ids)
        first = np.searchsorted(self._hashes, hashes, "left")
        counts = np.searchsorted(self._hashes, hashes, "right") - first
        # Expand the ranges [first, first + count) of all ids into one array of positions in the index.
        rows = np.repeat(np.arange(len(ids)), counts)
        positions = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        candidates = self._order[positions]
        own = ids.cast(pa.large_string()).take(pa.array(rows))
        is_link = pc.equal(self._ids.take(pa.array(candidates)), own).to_numpy(zero_copy_only=False)
        linked = self._linked.take(pa.array(candidates))
        types = self._types[candidates] if not self._is_pairs else np.full(len(rows), _TYPES.index(linked_type))
        types = np.where(types == -1, _TYPES.index(id_type), types)
        is_itself = pc.equal(linked, own).to_numpy(zero_copy_only=False) & (types == _TYPES.index(id_type))
        is_link &= ~is_itself
        rows, types, linked = rows[is_link], types[is_link], linked.filter(pa.array(is_link))
        starts = np.searchsorted(rows, rows, "left")  # of the links of each id, as rows are sorted
        within = np.arange(len(rows)) - starts < self.max_linked_ids
        has_type = types == _TYPES.index(linked_type)
        self.dropped["over_max_linked_ids"] += int((has_type & ~within).sum())
        selected = has_type & within
        return rows[selected], linked.filter(pa.array(selected)).cast(pa.string())

    def linked_profiles(
        self, profiles: SpillFile, id_type: str, linked_type: str, folder: Path
    ) -> Iterator[pa.RecordBatch]:
        """Yield one row per linked id of one type. Linked ids that have their own row are omitted.

        The rows' own ids precede the linked ids, so deduplication keeps them; the result is filtered by ``is_linked``.

        :param profiles: Profiles, with the columns ``row_number``, ``id`` and the attributes.
        :param id_type: Type of their ids.
        :param linked_type: Type of the linked ids.
        :param folder: Existing private folder for spill files.
        """

        def drop(duplicates: pa.RecordBatch) -> None:
            self.dropped["duplicate_id"] += len(duplicates)

        def all_rows() -> Iterator[pa.RecordBatch]:
            for batch in profiles.record_batches() if linked_type == id_type else ():
                yield batch.append_column("is_linked", pa.repeat(False, len(batch)))
            step = max(1, MAX_ROWS // self.max_linked_ids)
            for batch in profiles.record_batches():
                for start in range(0, len(batch), step):
                    rows = batch.slice(start, step)
                    indices, ids = self.links(rows.column("id"), id_type, linked_type)
                    linked = rows.take(pa.array(indices)).set_column(1, "id", ids)
                    yield linked.append_column("is_linked", pa.repeat(True, len(linked)))

        for batch in first_of_each_id(all_rows(), folder, drop):
            yield batch.filter(batch.column("is_linked")).select(batch.schema.names[:-1])

    def _index(self, id_type: str) -> None:
        """Sort the hashes of the ids of one type, unless they are the current index."""
        if self._indexed_type == id_type:
            return
        is_reversed = self._is_pairs and id_type == "pcId"
        self._ids, self._linked = (self._right, self._left) if is_reversed else (self._left, self._right)
        step = 1 << 20  # ids whose bytes fit 32-bit offsets
        parts = [hash_strings(self._ids.slice(at, step).cast(pa.string())) for at in range(0, len(self), step)]
        hashes = np.concatenate(parts) if parts else np.empty(0, np.uint64)
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]
        self._indexed_type = id_type

    def _part(self, batch: pa.RecordBatch) -> tuple[pa.StringArray, pa.StringArray, npt.NDArray[np.int8]]:
        """Return the ids, the linked ids and the types of the linked ids of valid rows.

        Types are indices of ``_TYPES``; -1 means the type of the row's own id.
        """
        names = batch.schema.names
        id_, linked_id, linked_type = (_in_any_case(names, name) for name in (_ID, _LINKED_ID, _LINKED_TYPE))
        if id_ and linked_id:
            columns = {id_: "thirdPartyId", linked_id: "thirdPartyId"}
            types = _type_codes(batch.column(linked_type)) if linked_type else np.full(len(batch), -1, np.int8)
        else:
            self._is_pairs = True
            columns = {_column_of_type(names, id_type): id_type for id_type in _TYPES}
            types = np.ones(len(batch), np.int8)
        verdicts = Verdicts(len(batch))
        texts = []
        for column, id_type in columns.items():
            refuse_unfit_ids(batch.column(column), column)
            values = batch.column(column)
            texts.append(check_ids(values, column, id_type, self._on_risky_value, verdicts, self._warnings))
        is_long = pc.fill_null(pc.greater(pc.utf8_length(texts[1]), 128), False).to_numpy(zero_copy_only=False)
        verdicts.reject(is_long & (types == _TYPES.index("pcId")), "id_too_long", _LINKED_ID)
        self.dropped.update(verdicts.reasons.values())
        good = pa.array(verdicts.good)
        return texts[0].filter(good), texts[1].filter(good), types[verdicts.good]


def _in_any_case(names: list[str], wanted: str) -> str | None:
    """Return the column with a name, or the only one whose name differs only in case. ``None`` if there is none."""
    alike = [name for name in names if name.lower() == wanted]
    return wanted if wanted in names else alike[0] if len(alike) == 1 else None


def _column_of_type(names: list[str], id_type: str) -> str:
    """Return the only column with a name of an id type."""
    found = [name for name in names if id_type_of(name) == id_type]
    if len(found) != 1:
        raise ProfileDataError(
            f"The id map must have the columns {_ID}, {_LINKED_ID} and {_LINKED_TYPE}, or one column that is named as "
            f"a thirdPartyId and one that is named as a pcId; its columns are {', '.join(map(repr, names))}. Rename "
            "them (in SQL with AS)."
        )
    return found[0]


def _type_codes(values: pa.Array) -> npt.NDArray[np.int8]:
    """Return the types in a column as indices of ``_TYPES``, and -1 for null."""
    names = to_text(values).text.dictionary_encode()
    codes = [_TYPES.index(id_type) if (id_type := id_type_of(name)) else None for name in names.dictionary.to_pylist()]
    if None in codes:
        raise ProfileDataError(f"The id map has a {_LINKED_TYPE} that is not one of {', '.join(ID_TYPES)}.")
    table = np.array([*codes, -1], np.int8)  # the last element is for null
    types: npt.NDArray[np.int8] = table[names.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)]
    return types


def _concatenated(parts: tuple[pa.StringArray, ...]) -> pa.LargeStringArray:
    return pa.concat_arrays([pa.array([], pa.large_string()), *(part.cast(pa.large_string()) for part in parts)])
