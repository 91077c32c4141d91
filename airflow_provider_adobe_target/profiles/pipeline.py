"""The profile pipeline: map, check, deduplicate, encode and write rows to batch files."""

from __future__ import annotations

import functools
from collections.abc import Collection, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.attribute_names import check_attribute_names, warn_of_case
from airflow_provider_adobe_target.profiles.batch_files import BatchFile, cut_files, room_for_a_row
from airflow_provider_adobe_target.profiles.deduplication import first_of_each_id, last_of_each_id
from airflow_provider_adobe_target.profiles.encoding import Lines, encode_lines
from airflow_provider_adobe_target.profiles.mapping import LeafReader, ProfileMapping, map_columns
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.rejects import Rejects, check_share_of_bad_rows
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_ROWS
from airflow_provider_adobe_target.profiles.sources.rows import Rows
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
from airflow_provider_adobe_target.spill import SpillFile

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.id_map import IdMap

# Adobe Target's prefix of attributes. In the pipeline, it separates attributes from internal columns: an attribute may
# be named ``id``.
PROFILE_PREFIX = "profile."

# Lower bound with an id map: a linked id may be longer than the id with which the size of the row was checked.
_MIN_BYTES_WITH_MAP = 1_000_000


class BadRowError(ProfileDataError):
    """A row is invalid and ``skip_invalid_records`` is False.

    :param row_number: Number of the row, counted from 0.
    :param reason: Reason, as in ``rejected_by_reason`` of the report.
    :param detail: Column and problem, without the value.
    """

    def __init__(self, row_number: int, reason: str, detail: str) -> None:
        super().__init__(
            f"Row {row_number} cannot be sent: {reason} ({detail}). Mend it at its source, or set "
            "skip_invalid_records=True to go on without such rows."
        )
        self.reason = reason
        self.detail = detail


class ProfilePipeline:
    """Pipeline from a source of rows to checked profiles or to batch files. Use each instance once.

    :param rows: the source
    :param rules: what the user decided
    :param folder: an existing, private folder for batch files and for what has to wait; the caller removes it
    :param keep_rejects: whether bad rows are kept for :attr:`rejects` to write, or only counted
    :param refused_ids: ids whose rows, as they were sent, are among the bad rows, too: Adobe Target refused them
    :param max_update_bytes: where each profile is sent by itself, the bytes it may have, encoded: no comma and no line
        break parts anything there, and so none is risky. None: profiles are rows of a file
    :param id_map: further ids that files have a row's attributes for
    """

    def __init__(
        self,
        rows: Rows,
        rules: ProfileOptions,
        folder: Path,
        *,
        keep_rejects: bool = False,
        refused_ids: Collection[str] = (),
        max_update_bytes: int | None = None,
        id_map: IdMap | None = None,
    ) -> None:
        self.rejects = Rejects(SpillFile(folder / "rejects") if keep_rejects else None)
        self.rows_read = self.rows_sent = self.rows_empty = self.rows_extended = self.values_replaced = 0
        self._rows = rows
        self._rules = rules
        self._folder = folder
        self._refused_ids = pa.array(refused_ids, pa.string()) if refused_ids else None
        self._max_update_bytes = max_update_bytes
        self._risky_value = rules.on_risky_value if max_update_bytes is None else None
        self._id_map = id_map
        if id_map and rules.max_bytes_per_file < _MIN_BYTES_WITH_MAP:
            raise ProfileDataError(f"With id_map, max_bytes_per_file must be {_MIN_BYTES_WITH_MAP:,} or more.")
        self._own = SpillFile(folder / "own")
        self._warnings = Warnings()
        self._mapping: ProfileMapping | None = None
        self._mapped: pa.Schema | None = None
        # Attribute name to the column it comes from, in the order of the file's columns.
        self._columns: dict[str, str] = {}
        if rows.schema:
            self._map(rows.schema, complete=True)

    @property
    def id_type(self) -> str:
        """What the ids are to Adobe Target: ``thirdPartyId`` or ``pcId``; known once the columns are."""
        return self._mapping.id_type if self._mapping else self._rules.id_type or "thirdPartyId"

    @property
    def id_types(self) -> list[str]:
        """What all ids that files have are to Adobe Target, those of the map, too."""
        linked = self._id_map.kinds(self.id_type) if self._id_map else []
        return list(dict.fromkeys([self.id_type, *linked]))

    @property
    def checks_all_rows_first(self) -> bool:
        """Whether no file may leave before the last row was checked."""
        return self._rules.checks_all_rows_first

    @property
    def rows_rejected(self) -> int:
        """Number of rejected rows."""
        return self.rejects.by_reason.total()

    @property
    def counts(self) -> dict[str, Any]:
        """Row counts, with the keys of the report."""
        return {
            "rows_read": self.rows_read,
            "rows_sent": self.rows_sent,
            "rows_rejected": self.rows_rejected,
            "rows_empty": self.rows_empty,
            "rows_unchanged": 0,
            "rejected_by_reason": dict(self.rejects.by_reason),
            "values_replaced": self.values_replaced,
            **self._account_of_links,
        }

    @property
    def _account_of_links(self) -> dict[str, Any]:
        if self._id_map is None:
            return {}
        dropped = {reason: links for reason, links in self._id_map.dropped.items() if links}
        return {"rows_extended": self.rows_extended, "links_dropped": dropped}

    def record_batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Read the rows, with the required columns only; see ``Rows.record_batches``."""
        yield from self._rows.record_batches(self._mapping.columns if self._mapping else None)

    def files(self, batches: Iterable[pa.RecordBatch] | None = None) -> Iterator[BatchFile]:
        """Check and encode the rows, and yield each file when it is complete.

        :param batches: Output of :meth:`record_batches`, if another thread reads it. Default: read in this thread.
        :raises ProfileDataError: If the columns are invalid, or a limit on rejected rows is exceeded. With
            :attr:`ProfileOptions.checks_all_rows_first`, it may be raised after the last file was yielded; the caller
            must not send any file before.
        """
        blocks = map(self._encode, self._set_aside(self.profiles(batches)))
        limits = {"max_rows": self._rules.max_rows_per_file, "max_bytes": self._rules.max_bytes_per_file}
        for file in cut_files(blocks, self._folder, id_type=lambda: self.id_type, **limits):
            self.rows_sent += file.rows
            yield file
        for id_type in self._id_map.kinds(self.id_type) if self._id_map else ():
            folder = self._folder / f"linked-{id_type}"
            folder.mkdir()
            blocks = map(self._encode, self._linked_profiles(id_type, folder))
            for file in cut_files(blocks, folder, id_type=lambda id_type=id_type: id_type, **limits):  # type: ignore[misc]
                self.rows_extended += file.rows
                yield file

    def _set_aside(self, profiles: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Keep what is sent, where it is also to be sent to linked ids."""
        for batch in profiles:
            if self._id_map is not None and len(batch):
                self._own.write(batch)
            yield batch

    def _linked_profiles(self, id_type: str, folder: Path) -> Iterator[pa.RecordBatch]:
        """Yield one row per linked id of one type. Linked ids that have a row of their own are omitted.

        The rows' own ids precede the linked ids, so deduplication keeps them; the result is filtered by ``is_linked``.
        """
        id_map = self._id_map
        assert id_map is not None  # noqa: S101  # nosec B101  # for the type checker

        def drop(profiles: pa.RecordBatch) -> None:
            id_map.dropped["duplicate_id"] += len(profiles)

        def all_rows() -> Iterator[pa.RecordBatch]:
            for batch in self._own.record_batches() if id_type == self.id_type else ():
                yield batch.append_column("is_linked", pa.repeat(False, len(batch)))
            step = max(1, MAX_ROWS // id_map.max_linked_ids)
            for batch in self._own.record_batches():
                for start in range(0, len(batch), step):
                    rows = batch.slice(start, step)
                    places, ids = id_map.links(rows.column("id"), self.id_type, id_type)
                    linked = rows.take(pa.array(places)).set_column(1, "id", ids)
                    yield linked.append_column("is_linked", pa.repeat(True, len(linked)))

        for batch in first_of_each_id(all_rows(), folder, drop):
            yield batch.filter(batch.column("is_linked")).select(batch.schema.names[:-1])

    def profiles(self, batches: Iterable[pa.RecordBatch] | None = None) -> Iterator[pa.RecordBatch]:
        """Check the rows and yield the valid ones, one per id.

        The columns are ``row_number``, ``id``, and the attributes as text, named ``profile.`` and their name. Null
        means that the attribute is not changed. Parameters and errors as :meth:`files`.
        """
        one_of_each = last_of_each_id if self._rules.on_duplicate_id == "last" else first_of_each_id
        good = self._good_profiles(self.record_batches() if batches is None else batches)
        yield from one_of_each(good, self._folder, self._reject_duplicates)
        check_share_of_bad_rows(self.rejects, self.rows_read, self._rules.max_invalid_pct)

    def refuse(self, profiles: pa.RecordBatch, reason: str, detail: str) -> None:
        """Reject rows of :meth:`profiles` that Adobe Target refused.

        :param profiles: Rows.
        :param reason: Reason, as in ``rejected_by_reason`` of the report.
        :param detail: Problem, without values.
        """
        self._reject(profiles, [reason] * len(profiles), [detail] * len(profiles))

    def _map(self, schema: pa.Schema, *, complete: bool) -> ProfileMapping:
        """Map the columns; names that came up in earlier batches stay, so that files have as few headers as can be."""
        if self._mapping and schema == self._mapped:
            return self._mapping
        rules = self._rules
        mapping = map_columns(
            schema,
            id_column=rules.id_column,
            id_type=rules.id_type,
            attributes=rules.attributes,
            attribute_case=rules.attribute_case,
            complete=complete,
        )
        columns = {**self._columns, **{attribute.name: attribute.column for attribute in mapping.attributes}}
        for id_type in self._id_map.kinds(mapping.id_type) if self._id_map else ():
            check_attribute_names([(attribute.column, attribute.name) for attribute in mapping.attributes], id_type)
        if len(columns) > len(self._columns):
            warn_of_case(list(columns))
        self._columns = columns
        self._mapping, self._mapped = mapping, schema
        return mapping

    def _good_profiles(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the valid rows as text."""
        for batch in batches:
            if len(batch):
                yield self._check(batch, self._map(batch.schema, complete=False))

    def _check(self, batch: pa.RecordBatch, mapping: ProfileMapping) -> pa.RecordBatch:
        rules = self._rules
        verdicts = Verdicts(len(batch))
        values = batch.column(mapping.id_column)
        refuse_unfit_ids(values, mapping.id_column)
        ids = check_ids(values, mapping.id_column, mapping.id_type, self._risky_value, verdicts, self._warnings)
        leaves = LeafReader(batch)
        of_name = {attribute.name: attribute for attribute in mapping.attributes}
        texts = {}
        for name, column in self._columns.items():
            if name not in of_name:
                texts[name] = pa.nulls(len(batch), pa.string())
                continue
            text = to_text(leaves.read(of_name[name]))
            texts[name] = check_values(
                text, column, rules.max_value_length, self._risky_value, verdicts, self._warnings
            )
        if self._max_update_bytes is None:
            check_sizes(ids, texts, room_for_a_row(mapping.id_type, list(texts), rules.max_bytes_per_file), verdicts)
        else:
            check_sizes(ids, texts, self._max_update_bytes, verdicts, sizes=update_sizes, container="a single update")
        self.values_replaced += verdicts.values_replaced
        names = ["row_number", "id", *(PROFILE_PREFIX + name for name in texts)]
        return self._sort_out(pa.record_batch([self._number(batch), ids, *texts.values()], names), verdicts)

    def _number(self, batch: pa.RecordBatch) -> pa.Array:
        numbers = np.arange(self.rows_read, self.rows_read + len(batch))
        self.rows_read += len(batch)
        return pa.array(numbers)

    def _sort_out(self, profiles: pa.RecordBatch, verdicts: Verdicts) -> pa.RecordBatch:
        """Part with bad rows and with those that say nothing."""
        if verdicts.reasons:
            bad = sorted(verdicts.reasons)
            if not self._rules.skip_invalid_records:
                number = profiles.column("row_number")[bad[0]].as_py()
                raise BadRowError(number, verdicts.reasons[bad[0]], verdicts.details[bad[0]])
            self._reject(
                profiles.take(pa.array(bad)),
                [verdicts.reasons[row] for row in bad],
                [verdicts.details[row] for row in bad],
            )
            profiles = profiles.filter(pa.array(verdicts.good))
        attributes = profiles.columns[2:]
        nulls = [column for column in attributes if column.null_count]
        if len(nulls) < len(attributes):
            return profiles  # one attribute at least has a value in every row
        says_nothing = functools.reduce(pc.and_, (column.is_null() for column in nulls))
        self.rows_empty += says_nothing.true_count
        return profiles.filter(pc.invert(says_nothing)) if says_nothing.true_count else profiles

    def _reject(self, profiles: pa.RecordBatch, reasons: list[str], details: list[str]) -> None:
        assert self._mapping is not None  # noqa: S101  # nosec B101  # for the type checker
        columns = [self._mapping.id_column, *(self._columns[name] for name in _attributes(profiles))]
        self.rejects.add(columns, profiles, reasons, details)

    def _reject_duplicates(self, profiles: pa.RecordBatch) -> None:
        if not len(profiles):
            return
        kept = self._rules.on_duplicate_id
        if kept == "fail":
            raise ProfileDataError(
                f"Row {profiles.column('row_number')[0].as_py()} has an id that an earlier row has too. "
                "Make ids unique at their source, or choose with on_duplicate_id which row is sent."
            )
        detail = "an earlier row has this id" if kept == "first" else "a later row has this id"
        self._reject(profiles, ["duplicate_id"] * len(profiles), [detail] * len(profiles))

    def _encode(self, profiles: pa.RecordBatch) -> tuple[list[str], Lines]:
        if self._refused_ids is not None:
            refused = profiles.filter(pc.is_in(profiles.column("id"), self._refused_ids))
            self.refuse(refused, "refused_by_target", "Adobe Target took the row, and lists it as failed")
        return _attributes(profiles), encode_lines(profiles.columns[1:])


def _attributes(profiles: pa.RecordBatch) -> list[str]:
    return [name.removeprefix(PROFILE_PREFIX) for name in profiles.schema.names[2:]]
