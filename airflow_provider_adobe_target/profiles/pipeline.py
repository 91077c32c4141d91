"""The profile pipeline: map, convert, deduplicate, encode and write rows to batch files."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.batch_files import BatchFile, cut_files
from airflow_provider_adobe_target.profiles.column_mapper import ColumnMapper
from airflow_provider_adobe_target.profiles.conversion import PROFILE_PREFIX, ProfileConverter, attribute_names
from airflow_provider_adobe_target.profiles.deduplication import first_of_each_id, last_of_each_id
from airflow_provider_adobe_target.profiles.derived import with_stamps
from airflow_provider_adobe_target.profiles.encoding import Lines, encode_lines
from airflow_provider_adobe_target.profiles.fallback_ids import FallbackIds, other_id_type
from airflow_provider_adobe_target.profiles.mapping import ProfileMapping
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.rejects import BadRowError, Rejects, check_share_of_invalid_rows
from airflow_provider_adobe_target.profiles.sources.rows import Rows, row_count
from airflow_provider_adobe_target.profiles.validation import Mask, Verdicts
from airflow_provider_adobe_target.spill import SpillFile

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics
    from airflow_provider_adobe_target.profiles.id_map import IdMap

log = logging.getLogger(__name__)

# Lower bound with an id map: a linked id may be longer than the id with which the size of the row was checked.
_MIN_BYTES_WITH_MAP = 1_000_000


# Fields of every report. A ledger replaces the values.
COUNTS_WITHOUT_LEDGER: dict[str, Any] = {
    "rows_unchanged": 0,
    "rows_stale": 0,
    "rows_suppressed": 0,
    "rows_left": 0,
    "rows_sent_because": {},
    "values_carried": 0,
    "values_not_cleared": 0,
}


class ProfilePipeline:
    """Pipeline from a source of rows to checked profiles or to batch files. Use each instance once.

    :param rows: Source of the rows.
    :param options: Options.
    :param folder: Existing private folder for batch files and spill files. The caller removes it.
    :param keep_rejects: Whether rejected rows are spilled for :attr:`rejects` to write. Otherwise they are only
        counted.
    :param refused_ids: Ids that Adobe Target refused in an earlier upload. Their rows are sent and also added to the
        rejects.
    :param max_update_bytes: Maximum encoded size of a profile in bytes, if profiles are sent as single updates. Commas
        and line breaks are not delimiters there, so they are not checked. None for rows of batch files.
    :param id_map: Linked ids, to which the attributes of a row are also written.
    :param statistics: Statistics to which the valid rows are added, one per id.
    :param sent_statistics: Statistics to which the rows are added that are written to files, without linked ids.

    :ivar on_skipped: Function that is called with the ids of rejected and empty rows.
    """

    def __init__(
        self,
        rows: Rows,
        options: ProfileOptions,
        folder: Path,
        *,
        keep_rejects: bool = False,
        refused_ids: Collection[str] = (),
        max_update_bytes: int | None = None,
        id_map: IdMap | None = None,
        statistics: AttributeStatistics | None = None,
        sent_statistics: AttributeStatistics | None = None,
    ) -> None:
        self._statistics = statistics
        self.rejects = Rejects(SpillFile(folder / "rejects") if keep_rejects else None)
        self.rows_read = self.rows_sent = self.rows_empty = self.rows_extended = self.values_replaced = 0
        self._rows_by_fallback = 0
        self._rows = rows
        self._options = options
        self._folder = folder
        self._refused_ids = pa.array(refused_ids, pa.string()) if refused_ids else None
        self._id_map = id_map
        self._sent_statistics = sent_statistics
        if id_map and options.max_bytes_per_file < _MIN_BYTES_WITH_MAP:
            raise ProfileDataError(f"With id_map, max_bytes_per_file must be {_MIN_BYTES_WITH_MAP:,} or more.")
        if id_map and options.fallback_id_column:
            raise ProfileDataError("id_map and fallback_id_column cannot be used together.")
        self._spilled_profiles = SpillFile(folder / "own")
        self._fallback = FallbackIds(options.fallback_id_column, folder) if options.fallback_id_column else None
        self.on_skipped: Callable[[pa.StringArray], object] = lambda ids: None
        self._converter = ProfileConverter(options, max_update_bytes)
        self._mapper = ColumnMapper(
            options, self._converter.derived, self._fallback, id_map, [it for it in (statistics, sent_statistics) if it]
        )
        if rows.schema:
            self._mapper.map(rows.schema, complete=True)

    @property
    def id_type(self) -> str:
        """Type of the ids: ``thirdPartyId`` or ``pcId``. It is final once the columns are mapped."""
        return self.known_id_type or "thirdPartyId"

    @property
    def known_id_type(self) -> str | None:
        """Type of the ids. ``None`` before the columns are mapped, unless ``id_type`` is set."""
        return self._mapper.latest.id_type if self._mapper.latest else self._options.id_type

    @property
    def id_column(self) -> str | None:
        """Column of the ids. ``None`` before the columns are mapped, unless ``id_column`` is set."""
        return self._mapper.latest.id_column if self._mapper.latest else self._options.id_column

    @property
    def row_count(self) -> int | None:
        """Number of rows of the source, as far as it is known without reading them."""
        return row_count(self._rows)

    @property
    def attribute_names(self) -> list[str]:
        """Names of the attributes, once the columns are known."""
        return [*self._mapper.columns, *self._options.stamps]

    @property
    def id_types(self) -> list[str]:
        """Types of all ids in the files, including those of the id map."""
        linked = self._id_map.linked_types(self.id_type) if self._id_map else []
        fallback = [other_id_type(self.id_type)] if self._fallback else []
        return list(dict.fromkeys([self.id_type, *linked, *fallback]))

    @property
    def checks_all_rows_first(self) -> bool:
        """Whether all rows must be checked before the first file is sent."""
        return self._options.checks_all_rows_first

    def fits(self, ids: pa.StringArray, texts: Mapping[str, pa.StringArray]) -> Mask:
        """Return a mask of the rows that are not too large to be sent.

        :param ids: Ids.
        :param texts: Attribute names and texts.
        """
        verdicts = Verdicts(len(ids))
        self._converter.check_sizes(ids, texts, self.id_type, verdicts)
        return verdicts.good

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
            **COUNTS_WITHOUT_LEDGER,
            "rejected_by_reason": dict(self.rejects.by_reason),
            "values_replaced": self.values_replaced,
            **self._link_counts,
            **self._id_type_counts,
        }

    @property
    def _id_type_counts(self) -> dict[str, Any]:
        if self._fallback is None:
            return {}
        rows = {
            self.id_type: self.rows_sent - self._rows_by_fallback,
            other_id_type(self.id_type): self._rows_by_fallback,
        }
        return {"rows_by_id_type": rows}

    @property
    def _link_counts(self) -> dict[str, Any]:
        if self._id_map is None:
            return {}
        dropped = {reason: links for reason, links in self._id_map.dropped.items() if links}
        return {"rows_extended": self.rows_extended, "links_dropped": dropped}

    def record_batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Read the rows, with the required columns only, up to ``limit_rows``; see ``Rows.record_batches``."""
        batches = self._rows.record_batches(self._required_columns())
        left = self._options.limit_rows
        if left is None:
            yield from batches
            return
        for batch in batches:
            yield batch.slice(0, left)
            left -= len(batch)
            if left <= 0:
                log.info("Further rows are not read, because of limit_rows=%s.", self._options.limit_rows)
                break
        if isinstance(batches, Generator):
            batches.close()  # This also closes the source.

    def _required_columns(self) -> list[str] | None:
        """Return the columns to read; None for all."""
        if self._mapper.latest is None or self._rows.schema is None:
            return None
        derived = self._converter.derived.source_columns(self._rows.schema)
        if derived is None:
            return None
        return [*self._mapper.latest.columns, *derived, *([self._fallback.column] if self._fallback else [])]

    def files(self, batches: Iterable[pa.RecordBatch] | None = None) -> Iterator[BatchFile]:
        """Check and encode the rows, and yield each file when it is complete: :meth:`profiles` and :meth:`write_files`.

        :param batches: Output of :meth:`record_batches`, if another thread reads it. Default: read in this thread.
        :raises ProfileDataError: If the columns are invalid, or a limit on rejected rows is exceeded. With
            :attr:`ProfileOptions.checks_all_rows_first`, it may be raised after the last file was yielded; the caller
            must not send any file before.
        """
        yield from self.write_files(self.profiles(batches))

    def write_files(self, profiles: Iterable[pa.RecordBatch]) -> Iterator[BatchFile]:
        """Encode profiles, and yield each file when it is complete.

        :param profiles: Output of :meth:`profiles`, or a part of it.
        """
        blocks = map(self._encode, self._spill_profiles(profiles))
        limits = {"max_rows": self._options.max_rows_per_file, "max_bytes": self._options.max_bytes_per_file}
        for file in cut_files(blocks, self._folder, id_type=lambda: self.id_type, **limits):
            self.rows_sent += file.rows
            yield file
        for file in self._fallback_files(limits) if self._fallback else ():
            self.rows_sent += file.rows
            self._rows_by_fallback += file.rows
            yield file
        for file in self._linked_files(self._id_map, limits) if self._id_map else ():
            self.rows_extended += file.rows
            yield file

    def _linked_files(self, id_map: IdMap, limits: dict[str, int]) -> Iterator[BatchFile]:
        """Yield the files of the linked ids."""
        for id_type in id_map.linked_types(self.id_type):
            folder = self._folder / f"linked-{id_type}"
            folder.mkdir()
            linked = id_map.linked_profiles(self._spilled_profiles, self.id_type, id_type, folder)
            blocks = map(self._encode, linked)
            yield from cut_files(blocks, folder, id_type=lambda id_type=id_type: id_type, **limits)  # type: ignore[misc]

    def _fallback_files(self, limits: dict[str, int]) -> Iterator[BatchFile]:
        """Yield the files of the rows that have an id in the fallback column only."""
        fallback = self._fallback
        assert fallback is not None  # noqa: S101  # nosec B101  # for the type checker
        reject = functools.partial(self._reject_duplicates, id_column=fallback.column)
        profiles = self._one_of_each_id(fallback.profiles.record_batches(), fallback.folder, reject)
        blocks = map(functools.partial(self._encode, id_column=fallback.column), self._counted(profiles))
        yield from cut_files(blocks, fallback.folder, id_type=lambda: other_id_type(self.id_type), **limits)

    def _spill_profiles(self, profiles: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the profiles. With an id map, also spill them to disk, to write them to linked ids later."""
        for batch in self._counted(profiles):
            if self._id_map is not None and len(batch):
                self._spilled_profiles.write(batch)
            yield batch

    def _counted(self, profiles: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the profiles with stamps, and add them to the statistics of the rows that are written to files."""
        for batch in map(self.with_stamps, profiles):
            if self._sent_statistics:
                self._sent_statistics.add(batch)
            yield batch

    def with_stamps(self, profiles: pa.RecordBatch) -> pa.RecordBatch:
        """Return profiles with the stamps of the run. They are added last, so that a ledger does not compare them."""
        return with_stamps(profiles, {PROFILE_PREFIX + name: text for name, text in self._options.stamps.items()})

    def profiles(self, batches: Iterable[pa.RecordBatch] | None = None) -> Iterator[pa.RecordBatch]:
        """Check the rows and yield the valid ones, one per id.

        The columns are ``row_number``, ``id``, and the attributes as text, named ``profile.`` and their name. Null
        means that the attribute is not changed. Parameters and errors as :meth:`files`.
        """
        good = self._good_profiles(self.record_batches() if batches is None else batches)
        for profiles in self._one_of_each_id(good, self._folder, self._reject_duplicates):
            if self._statistics:
                self._statistics.add(profiles)
            yield profiles
        self._converter.finish()
        check_share_of_invalid_rows(self.rejects, self.rows_read, self._options.max_invalid_pct)
        if self._options.row_count_limit and self._options.limit_rows is None:
            self._options.row_count_limit.check(self.rows_read)

    @property
    def _one_of_each_id(self) -> Callable[..., Iterator[pa.RecordBatch]]:
        return last_of_each_id if self._options.on_duplicate_id == "last" else first_of_each_id

    def refuse(self, profiles: pa.RecordBatch, reason: str, detail: str, id_column: str | None = None) -> None:
        """Reject rows of :meth:`profiles` that Adobe Target refused.

        :param profiles: Rows.
        :param reason: Reason, as in ``rejected_by_reason`` of the report.
        :param detail: Problem, without values.
        :param id_column: Column of their ids. Default: the id column.
        """
        self._reject(profiles, [reason] * len(profiles), [detail] * len(profiles), id_column)

    def _good_profiles(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the valid rows as text."""
        for batch in batches:
            if not len(batch):
                continue
            mapping, numbers = self._mapper.map(batch.schema, complete=False), self._row_numbers(batch)
            if self._fallback is None:
                yield self._check(batch, mapping, numbers)
                continue
            has_id = self._fallback.has_id(batch, mapping.id_column)
            rest = pc.invert(has_id)
            if rest.true_count:
                other = self._fallback.mapping(mapping)
                self._fallback.profiles.write(self._check(batch.filter(rest), other, numbers.filter(rest)))
            own = batch.filter(has_id)
            other_ids = {self._fallback.column: self._fallback.texts(own)}
            yield self._check(own, mapping, numbers.filter(has_id), other_ids)

    def _check(
        self,
        batch: pa.RecordBatch,
        mapping: ProfileMapping,
        numbers: pa.Array,
        other_ids: Mapping[str, pa.StringArray] | None = None,
    ) -> pa.RecordBatch:
        """Return the valid rows as profiles.

        :param other_ids: Column and texts of the ids that the rows are not sent by, for the rejected rows.
        """
        profiles, verdicts = self._converter.convert(batch, mapping, self._mapper.columns, numbers)
        self.values_replaced += verdicts.values_replaced
        return self._without_skipped_rows(profiles, verdicts, mapping.id_column, other_ids or {})

    def _row_numbers(self, batch: pa.RecordBatch) -> pa.Array:
        numbers = np.arange(self.rows_read, self.rows_read + len(batch))
        self.rows_read += len(batch)
        return pa.array(numbers)

    def _without_skipped_rows(
        self, profiles: pa.RecordBatch, verdicts: Verdicts, id_column: str, other_ids: Mapping[str, pa.StringArray]
    ) -> pa.RecordBatch:
        """Remove invalid rows and rows in which every attribute is null, and count them.

        :raises BadRowError: If a row is invalid and ``skip_invalid_records`` is False.
        """
        if verdicts.reasons:
            bad = sorted(verdicts.reasons)
            if not self._options.skip_invalid_records:
                number = profiles.column("row_number")[bad[0]].as_py()
                raise BadRowError(number, verdicts.reasons[bad[0]], verdicts.details[bad[0]])
            self._reject(
                profiles.take(pa.array(bad)),
                [verdicts.reasons[row] for row in bad],
                [verdicts.details[row] for row in bad],
                id_column,
                {name: texts.take(pa.array(bad)) for name, texts in other_ids.items()},
            )
            profiles = profiles.filter(pa.array(verdicts.good))
        attributes = profiles.columns[2:]
        nulls = [column for column in attributes if column.null_count]
        if len(nulls) < len(attributes):
            return profiles  # at least one attribute has no nulls
        is_empty = functools.reduce(pc.and_, (column.is_null() for column in nulls))
        self.rows_empty += is_empty.true_count
        if not is_empty.true_count:
            return profiles
        self.on_skipped(profiles.column("id").filter(is_empty))
        return profiles.filter(pc.invert(is_empty))

    def _reject(
        self,
        profiles: pa.RecordBatch,
        reasons: list[str],
        details: list[str],
        id_column: str | None = None,
        other_ids: Mapping[str, pa.StringArray] | None = None,
    ) -> None:
        mapping, source = self._mapper.latest, self._mapper.columns
        assert mapping is not None  # noqa: S101  # nosec B101  # for the type checker
        profiles = profiles.drop_columns([PROFILE_PREFIX + name for name in self._without_columns(profiles)])
        columns = [id_column or mapping.id_column, *(source[name] for name in attribute_names(profiles))]
        self.on_skipped(profiles.column("id"))
        for name, texts in (other_ids or {}).items():
            columns.append(name)
            profiles = profiles.append_column(name, texts)
        self.rejects.add(columns, profiles, reasons, details)

    def _without_columns(self, profiles: pa.RecordBatch) -> list[str]:
        return [name for name in attribute_names(profiles) if name not in self._mapper.columns]

    def _reject_duplicates(self, profiles: pa.RecordBatch, id_column: str | None = None) -> None:
        if not len(profiles):
            return
        kept = self._options.on_duplicate_id
        if kept == "fail":
            raise ProfileDataError(
                f"Row {profiles.column('row_number')[0].as_py()} has the same id as an earlier row. "
                "Make ids unique at their source, or set on_duplicate_id to choose which row is sent."
            )
        detail = "an earlier row has this id" if kept == "first" else "a later row has this id"
        self._reject(profiles, ["duplicate_id"] * len(profiles), [detail] * len(profiles), id_column)

    def _encode(self, profiles: pa.RecordBatch, id_column: str | None = None) -> tuple[list[str], Lines]:
        if self._refused_ids is not None:
            refused = profiles.filter(pc.is_in(profiles.column("id"), self._refused_ids))
            detail = "Adobe Target accepted the row, and lists it as failed"
            self.refuse(refused, "refused_by_target", detail, id_column)
        return attribute_names(profiles), encode_lines(profiles.columns[1:])
