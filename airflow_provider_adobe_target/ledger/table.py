"""The Delta Lake table of a ledger: create, open, refuse, read and commit."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from airflow_provider_adobe_target.ledger.columns import (
    APPENDED,
    CONTROL,
    FORMAT,
    SCHEMA,
    attribute_names,
    conformed,
    is_hash_column,
    profile_schema,
)
from airflow_provider_adobe_target.ledger.errors import LedgerBusyError, LedgerConflictError, LedgerRefusedError

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from airflow_provider_adobe_target.ledger.storage import Location

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_APP = "ledger"
"""Every commit increments the version of this Delta application transaction, so that two commits of one snapshot
conflict."""

_MAX_TRIES = 40
_CONFIGURATION = {
    "delta.dataSkippingStatsColumns": "bucket,seq",
    "delta.checkpointInterval": "20",
    "delta.setTransactionRetentionDuration": "interval 30 days",
}
"""Transactions of claims expire, because they have a time. That of the ledger has none, so that it never expires."""

_BATCH_ROWS = 65_536
_WRITE_ROWS = 16_384
_FILE_BYTES = 8 * 2**20
"""Rows of a row group, and size of a file. Delta Lake keeps several of both in memory while it writes."""


def require_extra() -> None:
    """Check that the packages of the ledger are installed.

    :raises LedgerRefusedError: If ``deltalake`` is missing; names the extra.
    """
    try:
        import deltalake  # noqa: F401
    except ImportError:
        raise LedgerRefusedError(
            "The profile ledger needs the package deltalake. Install "
            "'airflow-provider-adobe-target[ledger]' on the workers."
        ) from None


@dataclass(frozen=True)
class Control:
    """A control record: what a run has seen, claimed or completed.

    :param seq: Number of its commit.
    :param kind: ``writer``, ``seen``, ``snapshot``, ``claim`` or ``end``.
    :param content: Contents, by key.
    :param blob: Binary contents.
    """

    seq: int
    kind: str
    content: Mapping[str, Any]
    blob: bytes = b""

    def to_row(self, seq: int) -> dict[str, Any]:
        """Return the row of the table."""
        text = json.dumps({"kind": self.kind, **self.content})
        return {"bucket": CONTROL, "seq": seq, "control": text, "blob": self.blob or None}


class Snapshot:
    """One version of the table.

    :param table: Opened Delta table.
    """

    def __init__(self, table: DeltaTable) -> None:
        self.table = table
        self.seq: int = table.transaction_version(_APP) or 0

    @cached_property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return [field.name for field in self.table.schema().fields]

    @cached_property
    def attributes(self) -> list[str]:
        """Names of the attributes that the ledger has columns for."""
        return sorted(attribute_names(self.columns))

    @cached_property
    def hash_columns(self) -> list[str]:
        """Columns with the hashes of the tasks' rows."""
        return sorted(column for column in self.columns if is_hash_column(column))

    @cached_property
    def version_schema(self) -> pa.Schema:
        """Schema of versions of profiles, without ``bucket``."""
        schema = profile_schema(self.attributes, self.hash_columns)
        return pa.schema([field for field in schema if field.name not in ("bucket", "control", "blob")])

    @cached_property
    def _dataset(self) -> ds.Dataset:
        return self.table.to_pyarrow_dataset()

    @cached_property
    def controls(self) -> list[Control]:
        """Control records, in the order of their commits."""
        rows = self.read([CONTROL], ["seq", "control", "blob"]).to_pylist()
        found = []
        for row in rows:
            content = json.loads(row["control"])
            found.append(Control(row["seq"], content.pop("kind"), content, row["blob"] or b""))
        return sorted(found, key=lambda control: control.seq)

    def ended(self, claim: str) -> bool:
        """Return whether a claim is settled."""
        return self.table.transaction_version(f"claim:{claim}") is not None

    def files(self) -> pa.Table:
        """Return the data files, with ``partition.bucket`` and ``num_records``."""
        return pa.table(self.table.get_add_actions(flatten=True))

    @property
    def rows(self) -> int:
        """Number of all rows: versions, and control records."""
        files = self.files()
        return pc.sum(files["num_records"]).as_py() if len(files) else 0

    def record_batches(
        self, buckets: Iterable[int], columns: list[str], *, hashes: tuple[int, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of some partitions. Columns that the table does not have are null.

        :param hashes: First and last hash of the ids; None for all.
        """
        present = [column for column in columns if column in self.columns]
        condition = pc.field("bucket").isin(pa.array(list(buckets), pa.int16()))
        if hashes is not None:
            condition &= (pc.field("id_hash") >= hashes[0]) & (pc.field("id_hash") <= hashes[1])
        for batch in self._scan(present, condition):
            for column in columns:
                if column not in present:
                    kind = pa.int64() if is_hash_column(column) else pa.string()
                    batch = batch.append_column(column, pa.nulls(len(batch), kind))
            yield batch.select(columns)

    def record_batches_since(self, seq: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield the versions of profiles that were committed after ``seq``."""
        condition = (pc.field("seq") > seq) & (pc.field("bucket") != CONTROL)
        yield from self._scan(columns, condition)

    def _scan(self, columns: list[str], condition: pc.Expression) -> Iterator[pa.RecordBatch]:
        """Yield rows, one row group after the other: a scan of the dataset reads up to 1 GiB ahead of its reader."""
        schema = self._dataset.schema
        for fragment in self._dataset.get_fragments(condition):
            for part in fragment.split_by_row_group(condition, schema=schema):
                yield from part.to_batches(schema=schema, columns=columns, filter=condition, batch_size=_BATCH_ROWS)

    def read(self, buckets: Iterable[int], columns: list[str]) -> pa.Table:
        """Return the rows of some partitions as a table."""
        batches = list(self.record_batches(buckets, columns))
        if not batches:
            return conformed(pa.table({}), pa.schema([_field(column) for column in columns]))
        return pa.Table.from_batches(batches)


class LedgerTable:
    """The table of a ledger.

    :param location: Its folder.
    """

    def __init__(self, location: Location) -> None:
        self.location = location

    def exists(self) -> bool:
        """Return whether the folder contains a Delta Lake table."""
        from deltalake import DeltaTable

        return DeltaTable.is_deltatable(self.location.uri, storage_options=self.location.storage_options)

    def open(
        self,
        client_code: str | None = None,
        id_type: str | None = None,
        *,
        hash_ids: bool | None = None,
        creates: bool = True,
    ) -> dict[str, Any]:
        """Open the ledger, or create it if an account is given and the folder has no table.

        :param client_code: Client code that the ledger must have; None for any.
        :param id_type: Id type that it must have; None for any.
        :param hash_ids: Whether it must keep hashes; None for either.
        :param creates: Whether it is created.
        :return: Contents of the ledger's description: ``format``, ``client_code``, ``id_type``, ``hash_ids``.
        :raises LedgerRefusedError: If the ledger is missing, belongs to another account or id type, or has another
            format.
        """
        require_extra()
        if not self.exists():
            if client_code is None or not creates:
                raise LedgerRefusedError(f"{self.location.uri} does not contain a ledger.")
            self._create({"format": FORMAT, "client_code": client_code, "id_type": id_type, "hash_ids": bool(hash_ids)})
        found = self._description()
        if found["format"] > FORMAT:
            raise LedgerRefusedError(
                f"The ledger {self.location.uri} has format {found['format']}; this version reads format {FORMAT}. "
                "Upgrade airflow-provider-adobe-target."
            )
        asked = {"client_code": client_code, "id_type": id_type, "hash_ids": hash_ids}
        for name, value in asked.items():
            if value is not None and found[name] != value:
                raise LedgerRefusedError(
                    f"The ledger {self.location.uri} has {name}={found[name]!r}, and this task {name}={value!r}. "
                    "Choose another folder: one ledger covers one account and id type."
                )
        return found

    def snapshot(self) -> Snapshot:
        """Return the newest version of the table."""
        from deltalake import DeltaTable

        return Snapshot(DeltaTable(self.location.uri, storage_options=self.location.storage_options))

    def commit(
        self,
        snapshot: Snapshot,
        rows: Iterable[pa.Table] = (),
        controls: Iterable[Control] = (),
        *,
        schema: pa.Schema = SCHEMA,
        ends: str | None = None,
        replaces: str | None = None,
    ) -> int:
        """Append rows and control records, or replace partitions by them. Rows are written as they are yielded.

        :param snapshot: Version that the rows were derived from.
        :param rows: Versions of profiles, which must not be read from the table lazily. ``seq`` and ``bucket`` are set
            here unless ``replaces`` is given.
        :param controls: Control records.
        :param schema: Schema of the rows.
        :param ends: Claim that this commit settles.
        :param replaces: Condition on ``bucket`` of the partitions to replace.
        :return: Number of the commit.
        :raises LedgerConflictError: If another commit came first.
        :raises LedgerFullDiskError: If no space is left.
        """
        from deltalake import CommitProperties, Transaction, WriterProperties, write_deltalake
        from deltalake.exceptions import CommitFailedError

        seq = snapshot.seq + 1

        def batches() -> Iterator[pa.RecordBatch]:
            for table in rows:
                numbered = conformed(table, schema) if replaces else _numbered(conformed(table, schema), seq)
                yield from numbered.to_batches(_WRITE_ROWS)
            control_rows = [control.to_row(control.seq or seq) for control in controls]
            if control_rows:
                yield from conformed(pa.Table.from_pylist(control_rows, SCHEMA), schema).to_batches()

        transactions = [Transaction(_APP, seq)]
        if ends:
            transactions.append(Transaction(f"claim:{ends}", 1, last_updated=int(time.time() * 1000)))
        try:
            data = pa.RecordBatchReader.from_batches(schema, batches())
            options: dict[str, Any] = {
                "schema_mode": "merge",
                "target_file_size": _FILE_BYTES,
                "writer_properties": WriterProperties(
                    compression="ZSTD", compression_level=1, max_row_group_size=_WRITE_ROWS
                ),
                "commit_properties": CommitProperties(app_transactions=transactions),
            }
            if replaces is not None:
                options["predicate"] = replaces
            with self.location.explain_full_disk():
                write_deltalake(snapshot.table, data, mode="overwrite" if replaces else "append", **options)
        except CommitFailedError:
            raise LedgerConflictError from None
        return seq

    def retry(self, attempt: Callable[[Snapshot], _T]) -> _T:
        """Call a function with the newest version until its commit does not conflict.

        :raises LedgerBusyError: If it conflicts too often.
        """
        for tries in range(_MAX_TRIES):
            try:
                return attempt(self.snapshot())
            except LedgerConflictError:
                time.sleep(random.uniform(0, min(1.0, 0.02 * 2**tries)))  # noqa: S311  # nosec B311  # jitter
        raise LedgerBusyError(f"Other runs changed the ledger {self.location.uri} {_MAX_TRIES} times in between.")

    def _create(self, description: dict[str, Any]) -> None:
        from deltalake import CommitProperties, DeltaTable, Transaction

        self.location.make_private()
        with self.location.explain_full_disk():
            DeltaTable.create(
                self.location.uri,
                SCHEMA,
                mode="ignore",
                partition_by=["bucket"],
                name="Profile ledger of Adobe Target",
                description=json.dumps(description),
                configuration=_CONFIGURATION,
                storage_options=self.location.storage_options,
                commit_properties=CommitProperties(app_transactions=[Transaction(_APP, 0)]),
            )
        log.info("Created the ledger %s.", self.location.uri)

    def _description(self) -> dict[str, Any]:
        try:
            found = json.loads(self.snapshot().table.metadata().description or "")
            if isinstance(found["format"], int) and {"client_code", "id_type", "hash_ids"} <= found.keys():
                return dict(found)
        except (ValueError, KeyError, TypeError):
            pass
        raise LedgerRefusedError(f"{self.location.uri} is a Delta Lake table, but not a ledger. Choose another folder.")


def _field(column: str) -> pa.Field:
    if column in SCHEMA.names:
        return SCHEMA.field(column)
    return pa.field(column, pa.int64() if is_hash_column(column) else pa.string())


def _numbered(rows: pa.Table, seq: int) -> pa.Table:
    """Return rows with the number of their commit, in the partition of appended rows."""
    rows = rows.set_column(rows.schema.get_field_index("seq"), "seq", pa.repeat(pa.scalar(seq, pa.int64()), len(rows)))
    bucket = pa.repeat(pa.scalar(APPENDED, pa.int16()), len(rows))
    return rows.set_column(rows.schema.get_field_index("bucket"), "bucket", bucket)
