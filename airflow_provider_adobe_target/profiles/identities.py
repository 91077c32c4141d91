"""Read, check and deduplicate rows of ids that belong to the same person."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.attribute_names import ID_TYPES
from airflow_provider_adobe_target.profiles.deduplication import first_of_each_id
from airflow_provider_adobe_target.profiles.mapping import (
    Attribute,
    AttributeCase,
    LeafReader,
    find_column,
    map_columns,
)
from airflow_provider_adobe_target.profiles.rejects import Rejects, check_share_of_invalid_rows
from airflow_provider_adobe_target.profiles.sources.rows import Rows
from airflow_provider_adobe_target.profiles.validation import (
    Mask,
    Verdicts,
    Warnings,
    check_ids,
    check_values,
    refuse_unfit_ids,
)
from airflow_provider_adobe_target.profiles.values.text_column import marks, nulled
from airflow_provider_adobe_target.profiles.values.to_text import to_text
from airflow_provider_adobe_target.profiles.visits import VISIT_CHECKS, visit_columns
from airflow_provider_adobe_target.spill import SpillFile

THIRD_PARTY_ID, PC_ID, ECID = "thirdPartyId", "pcId", "ECID"
ID_NAMES = {  # recognised names of id columns, and their id types
    **ID_TYPES,
    **dict.fromkeys(["ECID", "ecid", "MCID", "mcid", "marketingCloudVisitorId", "marketing_cloud_visitor_id"], ECID),
}
_TYPES_BY_LOWER_NAME = {name.lower(): id_type for name, id_type in ID_NAMES.items()}
MAX_ATTRIBUTES = 50  # per Delivery call; Adobe's limits page
MAX_VALUE_CHARACTERS = 256
_MAX_CUSTOMER_IDS = 50
_MAX_CODE_CHARACTERS = 50
_SEPARATOR = "\x1f"  # valid ids have no control characters


@dataclass(frozen=True)
class IdentityOptions:
    """Options for rows of ids. Names and defaults as in ``IdentityLinkOperator``."""

    id_columns: Mapping[str, str] | None = None
    customer_id_columns: Mapping[str, str] = field(default_factory=dict)
    attributes: Sequence[str] | Mapping[str, str] = ()
    skip_invalid_records: bool = True
    max_invalid_pct: float | None = None
    attribute_case: AttributeCase = "keep"
    session_id_column: str | None = None
    edge_cluster_column: str | None = None


@dataclass(frozen=True)
class Identity:
    """The ids and attributes of one row. The ``repr`` contains no values.

    :param row: Record batch with this row only.
    :param ids: Ids by type: ``thirdPartyId``, ``pcId`` and ``ECID``. Types without an id are omitted.
    :param customer_ids: Customer ids by integration code.
    :param attributes: Attribute names and texts.
    :param session_id: Session of the visit, if the row names one.
    :param edge_cluster: Digits of the edge cluster of the visit, if the row names one.
    """

    row: pa.RecordBatch = field(repr=False)
    ids: Mapping[str, str] = field(repr=False)
    customer_ids: Mapping[str, str] = field(repr=False)
    attributes: Mapping[str, str] = field(repr=False)
    session_id: str | None = field(default=None, repr=False)
    edge_cluster: str | None = None

    @property
    def person(self) -> str:
        """Key of the person: type and value of the customer's id, otherwise of the ECID or Target id.

        A Target id is used without its location hint.
        """
        if THIRD_PARTY_ID in self.ids:
            return f"{THIRD_PARTY_ID} {self.ids[THIRD_PARTY_ID]}"
        if self.customer_ids:
            code, customer_id = next(iter(self.customer_ids.items()))
            return f"{code} {customer_id}"
        if ECID in self.ids:
            return f"{ECID} {self.ids[ECID]}"
        return f"{PC_ID} {self.ids[PC_ID].partition('.')[0]}"

    @property
    def together(self) -> str:
        """All ids of the row with their types, sorted by type."""
        return " ".join(f"{kind} {id_}" for kind, id_ in sorted({**self.customer_ids, **self.ids}.items()))


class IdentityPipeline:
    """Pipeline from rows of ids to identities. Use each instance once.

    :param rows: Source of the rows.
    :param options: Options.
    :param folder: Existing private folder for spill files. The caller removes it.
    :param keep_rejects: Whether rejected rows are spilled for :attr:`rejects` to write. Otherwise they are only
        counted.
    """

    def __init__(self, rows: Rows, options: IdentityOptions, folder: Path, *, keep_rejects: bool = False) -> None:
        self.rejects = Rejects(SpillFile(folder / "rejects") if keep_rejects else None)
        self.rows_read = 0
        self._rows = rows
        self._options = options
        self._folder = folder
        self._warnings = Warnings()
        self._lock = threading.Lock()
        self._customer_columns: dict[str, str] = {}
        self._columns: dict[str, str] = {}  # column name to id type, or to integration code
        self._visit_columns: dict[str, str] = {}  # "session_id" and "edge_cluster" to column name
        self._attributes: tuple[Attribute, ...] = ()
        self._mapped_schema: pa.Schema | None = None
        _check_codes(options.customer_id_columns)
        if rows.schema:
            self._map(rows.schema, complete=True)

    @property
    def rows_rejected(self) -> int:
        """Number of rejected rows."""
        return self.rejects.by_reason.total()

    def identities(self) -> Generator[Identity, None, None]:
        """Read and check the rows, and yield the valid ones. Of rows with equal ids, the first is yielded.

        :raises ProfileDataError: If the columns are invalid; or if a row is invalid and ``skip_invalid_records`` is
            False, or more rows than ``max_invalid_pct``. In that case, it is raised before the first row is yielded.
        """
        for batch in self._rows_to_link():
            yield from self._split(batch)

    def rounds(self) -> Iterator[Generator[Identity, None, None]]:
        """Yield the rows of :meth:`identities` in rounds, in each of which an id occurs once.

        Each round must be read to its end before the next one. A row is spilled to disk while its customer or browser
        is part of an earlier round.
        """
        rows, later = self._rows_to_link(), SpillFile(self._folder / "later0")
        for number in count(1):
            yield self._round(rows, later, number)
            if not later.rows:
                return
            rows, later = iter(later.record_batches()), SpillFile(self._folder / f"later{number}")

    def _round(self, rows: Iterator[pa.RecordBatch], later: SpillFile, number: int) -> Generator[Identity, None, None]:
        for kind in (THIRD_PARTY_ID, ECID, PC_ID):
            folder = self._folder / f"round{number}_{kind}"
            folder.mkdir()
            rows = first_of_each_id(self._keyed(rows, kind), folder, later.write)
        for batch in rows:
            yield from self._split(batch)

    def _keyed(self, rows: Iterable[pa.RecordBatch], kind: str) -> Iterator[pa.RecordBatch]:
        """Set ``id`` to a row's id of one type, customer ids included. A row without one gets a unique value."""
        for batch in rows:
            customers = self._customer_columns  # known after the first batch
            columns = [c for c in self._columns if (THIRD_PARTY_ID if c in customers else self._columns[c]) == kind]
            ids = [pc.binary_join_element_wise(c, batch.column(f"id.{c}"), _SEPARATOR) for c in columns]
            if kind == PC_ID:  # without its location hint
                ids = [pc.replace_substring_regex(text, r"\.[^.]*$", "") for text in ids]
            number = batch.column("row_number").cast(pa.string())
            own = pc.binary_join_element_wise("row_number", number, _SEPARATOR)
            yield batch.set_column(batch.num_columns - 1, "id", pc.coalesce(*ids, own))

    def _rows_to_link(self) -> Iterator[pa.RecordBatch]:
        good = first_of_each_id(self._good_rows(), self._folder, self._reject_duplicates)
        if self._options.session_id_column:
            folder = self._folder / "sessions"
            folder.mkdir()
            good = first_of_each_id(self._by_session(good), folder, self._reject_repeated_sessions)
        if self._options.skip_invalid_records and self._options.max_invalid_pct is None:
            return good
        checked = SpillFile(self._folder / "checked")
        for batch in good:
            checked.write(batch)
        check_share_of_invalid_rows(self.rejects, self.rows_read, self._options.max_invalid_pct)
        return iter(checked.record_batches())

    def refuse(self, identity: Identity) -> None:
        """Reject a row that Adobe Target refused. May be called from any thread."""
        self._reject(identity.row, ["refused_by_target"], ["Adobe Target does not accept these ids or attributes"])

    def _map(self, schema: pa.Schema, *, complete: bool) -> None:
        if schema == self._mapped_schema:
            return
        customer_columns = _found(schema, self._options.customer_id_columns)
        self._customer_columns = customer_columns
        self._visit_columns = visit_columns(schema, self._options.session_id_column, self._options.edge_cluster_column)
        self._columns = {**_id_columns(schema, self._options.id_columns, customer_columns), **customer_columns}
        if both := set(self._visit_columns.values()) & set(self._columns):
            raise ProfileDataError(
                f"Column {min(both)!r} has ids, and is in session_id_column or edge_cluster_column. Remove it there."
            )
        if customer_columns and ECID not in self._columns.values():
            raise ProfileDataError(
                "customer_id_columns needs a column of ECIDs: Adobe Target accepts customer ids only with an ECID. "
                "Name it in id_columns, or give the customer's id as thirdPartyId."
            )
        if self._options.attributes:
            mapping = map_columns(
                schema,
                id_column=next(iter(self._columns)),
                attributes=self._options.attributes,
                attribute_case=self._options.attribute_case,
                complete=complete,
            )
            self._attributes = mapping.attributes
        self._mapped_schema = schema

    def _good_rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the valid rows as text.

        Columns: ``row_number``, ``id.`` and the name of each id column, ``profile.`` and the name of each attribute,
        ``visit.session_id`` and ``visit.edge_cluster`` if they were given, and ``id``, the concatenation of all ids,
        which is the key for deduplication.
        """
        columns = {
            *self._columns,
            *(attribute.path[0] for attribute in self._attributes),
            *self._visit_columns.values(),
        }
        for batch in self._rows.record_batches(columns if self._mapped_schema else None):
            if len(batch):
                self._map(batch.schema, complete=False)
                yield self._check(batch)

    def _check(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        verdicts = Verdicts(len(batch))
        ids = {column: self._ids(batch.column(column), column, verdicts) for column in self._columns}
        values = {}
        leaves = LeafReader(batch)
        for attribute in self._attributes:
            text = to_text(leaves.read(attribute))
            values[f"profile.{attribute.name}"] = check_values(
                text, attribute.column, MAX_VALUE_CHARACTERS, None, verdicts, self._warnings
            )
        visit = {
            f"visit.{kind}": VISIT_CHECKS[kind](batch.column(column), column, verdicts)
            for kind, column in self._visit_columns.items()
        }
        self._check_together(ids, verdicts)
        if len(values) > MAX_ATTRIBUTES:
            given = np.sum([marks(text.is_valid()) for text in values.values()], axis=0)
            verdicts.reject(given > MAX_ATTRIBUTES, "too_many_attributes", f"more than {MAX_ATTRIBUTES}")
        joined = pc.binary_join_element_wise(*ids.values(), _SEPARATOR, null_handling="replace", null_replacement="")
        numbers = pa.array(np.arange(self.rows_read, self.rows_read + len(batch)))
        self.rows_read += len(batch)
        names = ["row_number", *(f"id.{column}" for column in ids), *values, *visit, "id"]
        rows = pa.record_batch([numbers, *ids.values(), *values.values(), *visit.values(), joined], names)
        return self._without_invalid_rows(rows, verdicts)

    def _ids(self, values: pa.Array, column: str, verdicts: Verdicts) -> pa.StringArray:
        """Check one id column and return its ids as text. A row may have no id in the column."""
        refuse_unfit_ids(values, column)
        id_type = self._columns[column]
        is_third_party = id_type == THIRD_PARTY_ID and column not in self._customer_columns
        own = Verdicts(len(values))
        limit_type = THIRD_PARTY_ID if is_third_party else PC_ID  # ECIDs and customer ids have 128 characters as well
        text = check_ids(values, column, limit_type, None, own, self._warnings)
        absent = np.zeros(len(values), bool)
        for row, reason in own.reasons.items():
            if reason == "missing_id":
                absent[row] = True
            elif row not in verdicts.reasons:
                verdicts.reasons[row], verdicts.details[row] = reason, own.details[row]
        if id_type == PC_ID:
            dots = marks(pc.greater(pc.count_substring(text, "."), 1))
            verdicts.reject(dots, "id_forbidden_character", f"{column}: a dot that is not before the location hint")
        return nulled(text, pa.array(absent)) if absent.any() else text

    def _check_together(self, ids: Mapping[str, pa.StringArray], verdicts: Verdicts) -> None:
        """Reject rows without an id, and rows with a combination of ids that Adobe Target does not accept."""
        customers = self._customer_columns
        none = np.zeros(verdicts.rows, bool)
        has: dict[str, Mask] = {THIRD_PARTY_ID: none, PC_ID: none, ECID: none}
        has_customer_id = none
        for column, text in ids.items():
            if column in customers:
                has_customer_id = has_customer_id | marks(text.is_valid())
            else:
                has[self._columns[column]] = marks(text.is_valid())
        any_id = has[THIRD_PARTY_ID] | has[PC_ID] | has[ECID] | has_customer_id
        verdicts.reject(~any_id, "missing_id", "no id at all")
        mixed = has[THIRD_PARTY_ID] & has_customer_id
        verdicts.reject(
            mixed, "mixed_customer_ids", "a thirdPartyId and another customer id: profiles may merge wrongly"
        )
        verdicts.reject(has_customer_id & ~has[ECID], "missing_ecid", "a customer id without an ECID")

    def _without_invalid_rows(self, rows: pa.RecordBatch, verdicts: Verdicts) -> pa.RecordBatch:
        if not verdicts.reasons:
            return rows
        bad = sorted(verdicts.reasons)
        reason, detail = verdicts.reasons[bad[0]], verdicts.details[bad[0]]
        if not self._options.skip_invalid_records:
            raise ProfileDataError(
                f"Row {rows.column('row_number')[bad[0]].as_py()} cannot be sent: {reason} ({detail}). Fix it at its "
                "source, or set skip_invalid_records=True to skip such rows."
            )
        self._reject(
            rows.take(pa.array(bad)), [verdicts.reasons[row] for row in bad], [verdicts.details[row] for row in bad]
        )
        return rows.filter(pa.array(verdicts.good))

    def _reject_duplicates(self, rows: pa.RecordBatch) -> None:
        self._reject(rows, ["duplicate_id"] * len(rows), ["an earlier row has the same ids"] * len(rows))

    def _by_session(self, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Set ``id`` to a row's session id. A row without one gets a unique value."""
        for batch in rows:
            own = pc.binary_join_element_wise("row_number", batch.column("row_number").cast(pa.string()), _SEPARATOR)
            yield batch.set_column(batch.num_columns - 1, "id", pc.coalesce(batch.column("visit.session_id"), own))

    def _reject_repeated_sessions(self, rows: pa.RecordBatch) -> None:
        self._reject(rows, ["duplicate_session_id"] * len(rows), ["an earlier row has the same session"] * len(rows))

    def _reject(self, rows: pa.RecordBatch, reasons: list[str], details: list[str]) -> None:
        columns = [
            *self._columns,
            *(attribute.column for attribute in self._attributes),
            *self._visit_columns.values(),
        ]
        with self._lock:
            self.rejects.add(columns, rows.select(rows.schema.names[:-1]), reasons, details)

    def _split(self, batch: pa.RecordBatch) -> Iterator[Identity]:
        customers = self._customer_columns
        plain = [(f"id.{column}", id_type) for column, id_type in self._columns.items() if column not in customers]
        coded = [(f"id.{column}", code) for column, code in customers.items()]
        named = [(f"profile.{attribute.name}", attribute.name) for attribute in self._attributes]
        for number, row in enumerate(batch.to_pylist()):
            ids, customer_ids, attributes = (
                {name: row[key] for key, name in keys if row[key] is not None} for keys in (plain, coded, named)
            )
            session_id, edge_cluster = row.get("visit.session_id") or None, row.get("visit.edge_cluster")
            yield Identity(batch.slice(number, 1), ids, customer_ids, attributes, session_id, edge_cluster)


def _found(schema: pa.Schema, columns: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping with the column names of the table, which may differ in case.

    :raises ProfileDataError: If there is no such column, or two names match one column.
    """
    found = {find_column(schema, column, "id_columns or customer_id_columns"): kind for column, kind in columns.items()}
    if len(found) < len(columns):
        raise ProfileDataError("A column occurs twice in id_columns or customer_id_columns. Name each column once.")
    return found


def _id_columns(
    schema: pa.Schema, given: Mapping[str, str] | None, customer_columns: Mapping[str, str]
) -> dict[str, str]:
    """Return the id type of each id column, without customer ids.

    :param given: Argument ``id_columns``; None to find the columns by their names.
    :raises ProfileDataError: If a type is invalid or ambiguous, or there is no id column.
    """
    columns = {
        name: _TYPES_BY_LOWER_NAME[name.lower()]
        for name in schema.names
        if name.lower() in _TYPES_BY_LOWER_NAME and name not in customer_columns
    }
    columns = _found(schema, given) if given is not None else columns
    for column, id_type in columns.items():
        if id_type not in (THIRD_PARTY_ID, PC_ID, ECID):
            raise ProfileDataError(
                f"id_columns has {id_type!r} for {column!r}, which is not one of {THIRD_PARTY_ID!r}, {PC_ID!r}, "
                f"{ECID!r}. Put other customer ids into customer_id_columns."
            )
        if column in customer_columns:
            raise ProfileDataError(
                f"Column {column!r} is in id_columns and in customer_id_columns. Remove it from one of them."
            )
        same_type = [other for other in columns if columns[other] == id_type]
        if len(same_type) > 1:
            raise ProfileDataError(
                f"The columns {', '.join(map(repr, same_type))} could each be the {id_type}. Select one with "
                "id_columns."
            )
    if not columns and not customer_columns:
        raise ProfileDataError(
            f"No id column was found ({', '.join(ID_NAMES)}). The columns are "
            f"{', '.join(map(repr, schema.names))}. Set id_columns."
        )
    return columns


def _check_codes(customer_columns: Mapping[str, str]) -> None:
    codes = list(customer_columns.values())
    if len(codes) > _MAX_CUSTOMER_IDS or len(set(codes)) < len(codes):
        raise ProfileDataError(f"customer_id_columns has a duplicate code, or more than {_MAX_CUSTOMER_IDS} codes.")
    for column, code in customer_columns.items():
        if not isinstance(code, str) or not 1 <= len(code) <= _MAX_CODE_CHARACTERS:
            raise ProfileDataError(
                f"customer_id_columns must have the integration code of the data source for {column!r}, a text of 1 "
                f"to {_MAX_CODE_CHARACTERS} characters."
            )
