"""Membership of audiences to attributes: a row a member becomes a row a person, with true or false for each audience.

Adobe Target can clear no attribute, so that who left an audience must be written ``false``, and that takes a list of
everybody: the universe.

Algorithm: a partitioned (Grace) hash join. The ids of both tables are hash-partitioned into 64 pairs of files on disk.
Then one pair after the other is joined, in the order of the ids, so that the order of the sources does not matter.
Memory holds one pair: about 1/64 of all ids. Disk holds all ids of both tables.
"""

from __future__ import annotations

import logging
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
_NAME = r"^[A-Za-z0-9_.-]{1,119}$"  # with the prefix, 128 characters of those that an attribute's name may have


def audience_names(audiences: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return, for each audience as its table calls it, the attribute that says whether somebody is in it.

    :param audiences: audiences, or audiences and what to call them after ``audience.``
    :raises ProfileDataError: where there is none, or a name cannot be an attribute's
    """
    if isinstance(audiences, str) or not audiences:
        raise ProfileDataError(f"audiences={audiences!r} is to be a list of at least one audience.")
    asked = dict(audiences) if isinstance(audiences, Mapping) else {str(name): str(name) for name in audiences}
    unfit = pc.invert(pc.match_substring_regex(pa.array(map(str, asked.values()), pa.string()), _NAME))
    for audience in np.array(list(asked), object)[unfit.to_numpy(zero_copy_only=False)]:
        raise ProfileDataError(
            f"The audience {audience!r} cannot be the attribute {PREFIX + str(asked[audience])!r}: a name has letters, "
            f"digits, '_', '.' and '-', 119 at most. Choose one with audiences={{{audience!r}: '…'}}."
        )
    if len(set(asked.values())) < len(audiences):
        raise ProfileDataError("Two audiences have one name, or one comes up twice. Give each its own in audiences.")
    return {str(audience): PREFIX + name for audience, name in asked.items()}


class AudienceRows:
    """A row for everybody of the universe, and for every member: the id, and a boolean for each audience.

    :param memberships: rows of an id and an audience, in any order, also repeated
    :param universe: rows of an id
    :param audiences: the attribute of each audience, as :func:`audience_names` gives it; other audiences are passed
        over
    :param audience_column: the column of ``memberships`` that names the audience
    :param id_column: its column of ids; None for one that has a name Adobe has for an id
    :param universe_id_column: the universe's column of ids; None for its only one, or one of the same name
    :param folder: an existing, private folder for what does not stay in memory
    :param allow_no_members: whether everybody may be written ``false``
    """

    schema = None  # known when the rows are read: two sources may each have to run first

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
        self.members: Counter[str] = Counter()

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read both tables, then hand out the rows; all columns, whatever ``columns`` says.

        :raises ProfileDataError: where a column is missing, ids have become floats, or nobody is a member
        """
        self.members = Counter(dict.fromkeys(self._attributes, 0))
        with tempfile.TemporaryDirectory(prefix="audiences-", dir=self._folder) as folder:
            members = _HashPartitions(Path(folder) / "members")
            self._deal_memberships(members)
            everybody = _HashPartitions(Path(folder) / "everybody")
            count = 0
            for batch in self._universe.record_batches():
                everybody.write(_ids(batch, self._universe_ids(batch.schema)))
                count += len(batch)
            if not count:
                raise ProfileDataError(
                    "The universe has no rows, so that former members would keep true. Check its source."
                )
            for member_pile, universe_pile in zip(members.spools, everybody.spools, strict=True):
                yield from self._join(_read(member_pile), _read(universe_pile))
        log.info("Members: %s", ", ".join(f"{name} {count:,}" for name, count in self.members.items()))

    def _deal_memberships(self, partitions: _HashPartitions) -> None:
        passed_over = dealt = 0
        for batch in self._memberships.record_batches():
            mapping = map_columns(
                batch.schema, id_column=self._id_column, attributes={self._audience_column: "audience"}, complete=False
            )
            self._id_column = mapping.id_column
            codes = pc.index_in(to_text(LeafReader(batch).read(mapping.attributes[0])).text, value_set=self._known)
            asked_for = codes.is_valid()
            ids = _ids(batch, mapping.id_column).filter(asked_for)
            partitions.write(ids, codes.filter(asked_for))
            dealt, passed_over = dealt + len(ids), passed_over + len(batch) - len(ids)
        if passed_over:
            log.warning(
                "%s rows name an audience that is not among audiences: they are passed over.", f"{passed_over:,}"
            )
        if not dealt and not self._allow_no_members:
            raise ProfileDataError(
                "Nobody is a member of any of the audiences, so that everybody would be written false. Look at the "
                "table, or set allow_no_members=True if that is so."
            )

    def _universe_ids(self, schema: pa.Schema) -> str:
        if self._universe_id_column is None and len(schema) == 1:
            return str(schema.names[0])
        name = self._universe_id_column or self._id_column or "thirdPartyId"
        return find_column(schema, name, "universe_id_column")

    def _join(self, members: pa.Table, universe: pa.Table) -> Iterator[pa.RecordBatch]:
        """Put one pair of partitions together."""
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
    """Rows on disk, dealt by the hash of their id.

    :param folder: is made
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.spools = [SpillFile(folder / f"{number:02d}") for number in range(1 << _PARTITION_BITS)]

    def write(self, ids: pa.StringArray, audiences: pa.Int32Array | None = None) -> None:
        rows = record_batch({"id": ids} | ({} if audiences is None else {"audience": audiences}), len(ids))
        partitions = hash_strings(ids.fill_null("")) >> np.uint64(64 - _PARTITION_BITS)
        order = np.argsort(partitions, kind="stable")
        rows = rows.take(pa.array(order))
        ends = np.searchsorted(partitions[order], np.arange(len(self.spools)), side="right")
        for spill, start, end in zip(self.spools, [0, *ends], ends, strict=False):
            if end > start:
                spill.write(rows.slice(start, end - start))


def _ids(batch: pa.RecordBatch, column: str) -> pa.StringArray:
    """Return ids as text; what is none becomes null, for the checks to find."""
    values = batch.column(column)
    refuse_unfit_ids(values, column)
    return to_text(values).text


def _read(spill: SpillFile) -> pa.Table:
    schema = pa.schema([("id", pa.string()), ("audience", pa.int32())])
    batches = list(spill.record_batches())
    return pa.Table.from_batches(batches) if batches else schema.empty_table()
