"""Convert audience memberships to boolean attributes, one row per id and one attribute per audience.

Adobe Target cannot delete an attribute, so a former member must be written as ``false``. That requires the ids of all
profiles: the universe.

Algorithm: partitioned (Grace) hash join, a full outer join on the id. Both tables are hash-partitioned by id into 64
pairs of spill files. Invariant: equal ids are in the same pair, so each pair is joined independently, in memory. The
output is sorted by id within a pair, so it does not depend on the order of the sources. Peak memory is one pair, about
1/64 of all ids; disk holds all ids of both tables. Reference: Kitsuregawa, Tanaka and Moto-oka, "Application of hash to
data base machine and its architecture", 1983.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.deduplication import hash_strings
from airflow_provider_adobe_target.profiles.mapping import LeafReader, find_column, map_columns
from airflow_provider_adobe_target.profiles.sources.record_batches import record_batch, recut
from airflow_provider_adobe_target.profiles.sources.rows import Rows
from airflow_provider_adobe_target.profiles.validation import refuse_unfit_ids
from airflow_provider_adobe_target.profiles.values.to_text import to_text
from airflow_provider_adobe_target.spill import SpillFile

log = logging.getLogger(__name__)

PREFIX = "audience."

_PARTITION_BITS = 6
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_MAX_NAME = 128


def audience_names(audiences: Sequence[str] | Mapping[str, str], prefix: str = PREFIX) -> dict[str, str]:
    """Return the attribute name of each audience.

    :param audiences: Audiences; or a mapping from audiences to the names that follow the prefix.
    :param prefix: Start of the attribute names.
    :return: Attribute names, by the audience's name in the table of memberships.
    :raises ProfileDataError: If there is no audience, or a name is invalid or used twice.
    """
    if isinstance(audiences, str) or not audiences:
        raise ProfileDataError(f"audiences={audiences!r} must be a list of at least one audience.")
    names = dict(audiences) if isinstance(audiences, Mapping) else {str(name): str(name) for name in audiences}
    for audience, name in names.items():
        attribute = prefix + str(name)
        if not str(name) or not _NAME.fullmatch(attribute) or len(attribute) > _MAX_NAME:
            raise ProfileDataError(
                f"The audience {audience!r} cannot be the attribute {attribute!r}: a name must start with a letter or "
                f"'_', and have at most {_MAX_NAME} letters, digits, '_', '.' and '-'. Set one with "
                f"audiences={{{audience!r}: '…'}}."
            )
    if len(set(names.values())) < len(audiences):
        raise ProfileDataError(
            "Two audiences have the same name, or an audience is listed twice. Give each its own name in audiences."
        )
    return {str(audience): f"{prefix}{name}" for audience, name in names.items()}


class AudienceRows:
    """Rows with an id and a boolean per audience, one row for each id of the universe and of the memberships.

    :param memberships: Rows with an id and an audience, in any order. Duplicates are allowed.
    :param universe: Rows with an id.
    :param audiences: Attribute of each audience, as returned by :func:`audience_names`. Other audiences are skipped.
    :param audience_column: Column of ``memberships`` with the audience.
    :param id_column: Column of ``memberships`` with the id; None to find it by its name.
    :param universe_id_column: Column of ``universe`` with the id; None for its only column, or the column named as in
        ``memberships``.
    :param folder: Existing private folder for spill files.
    :param allow_no_members: Whether every flag may be ``false``.
    :param allow_empty_universe: Whether the universe may have no rows.
    """

    schema = None  # available only after both sources were read

    def __init__(
        self,
        memberships: Rows,
        universe: Rows,
        audiences: Mapping[str, str],
        *,
        audience_column: str,
        id_column: str | None,
        universe_id_column: str | None,
        folder: Path,
        allow_no_members: bool = False,
        allow_empty_universe: bool = False,
    ) -> None:
        self._memberships = memberships
        self._universe = universe
        self._attributes = list(audiences.values())
        self._known = pa.array(audiences, pa.string())
        self._audience_column = audience_column
        self._id_column = id_column
        self._universe_id_column = universe_id_column
        self._folder = folder
        self._allow_no_members = allow_no_members
        self._allow_empty_universe = allow_empty_universe
        self.members: Counter[str] = Counter()

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read and partition both tables, then yield the joined rows.

        :param columns: Ignored. All columns are returned.
        :raises ProfileDataError: If a column is missing, the ids are floats, the universe is empty, or there is no
            member and ``allow_no_members`` is False.
        """
        self.members = Counter(dict.fromkeys(self._attributes, 0))
        with tempfile.TemporaryDirectory(prefix="audiences-", dir=self._folder) as folder:
            members = _HashPartitions(Path(folder) / "members")
            self._partition_memberships(members)
            universe = _HashPartitions(Path(folder) / "universe")
            count = 0
            for batch in self._universe.record_batches():
                universe.write(_ids(batch, self._universe_ids(batch.schema)))
                count += len(batch)
            if not count and not self._allow_empty_universe:
                raise ProfileDataError(
                    "The universe has no rows, so former members would keep the value true. Check its source."
                )
            for member_file, universe_file in zip(members.files, universe.files, strict=True):
                yield from self._join(_read(member_file), _read(universe_file))
        log.info("Members: %s", ", ".join(f"{name} {count:,}" for name, count in self.members.items()))

    def _partition_memberships(self, partitions: _HashPartitions) -> None:
        skipped = written = 0
        for batch in self._memberships.record_batches():
            column = find_column(batch.schema, self._audience_column, "audience_column")
            mapping = map_columns(
                batch.schema, id_column=self._id_column, attributes={column: "audience"}, complete=False
            )
            self._id_column = mapping.id_column
            codes = pc.index_in(to_text(LeafReader(batch).read(mapping.attributes[0])).text, value_set=self._known)
            is_selected = codes.is_valid()
            ids = _ids(batch, mapping.id_column).filter(is_selected)
            partitions.write(ids, codes.filter(is_selected))
            written, skipped = written + len(ids), skipped + len(batch) - len(ids)
        if skipped:
            log.warning("%s rows name an audience that is not in audiences. They are skipped.", f"{skipped:,}")
        if not written and not self._allow_no_members:
            raise ProfileDataError(
                "The audiences have no members, so every id would be written as false. Check the table of memberships, "
                "or set allow_no_members=True if this is correct."
            )

    def _universe_ids(self, schema: pa.Schema) -> str:
        if self._universe_id_column is None and len(schema) == 1:
            return str(schema.names[0])
        name = self._universe_id_column or self._id_column or "thirdPartyId"
        return find_column(schema, name, "universe_id_column")

    def _join(self, members: pa.Table, universe: pa.Table) -> Iterator[pa.RecordBatch]:
        """Join one pair of partitions.

        :param members: Columns ``id`` and ``audience``, the index of the audience.
        :param universe: Column ``id``.
        """
        ids = pa.chunked_array([*universe["id"].chunks, *members["id"].chunks], pa.string()).unique()
        ids = ids.take(pc.sort_indices(ids))
        if not len(ids):
            return
        flags = np.zeros((len(self._attributes), len(ids)), bool)
        if len(members):
            rows = pc.index_in(members["id"], value_set=ids).to_numpy()
            flags[members["audience"].to_numpy(), rows] = True
        columns = {self._id_column or "thirdPartyId": ids}
        for name, flag in zip(self._attributes, flags, strict=True):
            self.members[name] += int(flag.sum())
            columns[name] = pa.array(flag)
        yield from recut(record_batch(columns, len(ids)))


class _HashPartitions:
    """Spill files with the rows of one table, partitioned by the highest bits of the hash of the id.

    :param folder: Folder to create.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.files = [SpillFile(folder / f"{number:02d}") for number in range(1 << _PARTITION_BITS)]

    def write(self, ids: pa.StringArray, audiences: pa.Int32Array | None = None) -> None:
        """Append rows to their partitions. Sorting by partition makes the rows of each partition one slice."""
        rows = record_batch({"id": ids} | ({} if audiences is None else {"audience": audiences}), len(ids))
        partitions = hash_strings(ids.fill_null("")) >> np.uint64(64 - _PARTITION_BITS)
        order = np.argsort(partitions, kind="stable")
        rows = rows.take(pa.array(order))
        ends = np.searchsorted(partitions[order], np.arange(len(self.files)), side="right")
        for spill, start, end in zip(self.files, [0, *ends], ends, strict=False):
            if end > start:
                spill.write(rows.slice(start, end - start))


def _ids(batch: pa.RecordBatch, column: str) -> pa.StringArray:
    """Return ids as text. Invalid ids are null; the pipeline's checks reject them.

    :raises ProfileDataError: If the type of the column cannot be an id.
    """
    values = batch.column(column)
    refuse_unfit_ids(values, column)
    return to_text(values).text


def _read(spill: SpillFile) -> pa.Table:
    schema = pa.schema([("id", pa.string()), ("audience", pa.int32())])
    batches = list(spill.record_batches())
    return pa.Table.from_batches(batches) if batches else schema.empty_table()
