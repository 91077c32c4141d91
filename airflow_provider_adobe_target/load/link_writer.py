"""What Adobe Target said of linked ids, on its way to a file or a table."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.inputs.database import database_hook
from airflow_provider_adobe_target.load.output_files import task_file

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.endpoints.delivery import Link
    from airflow_provider_adobe_target.profiles.identities import Identity

LINK_COLUMNS = ("thirdPartyId", "ECID", "customerId", "integrationCode", "pcId")
_BLOCK_ROWS = 1_000


class LinkWriter:
    """The links made so far, set aside on disk; used from several threads.

    :param folder: an existing, private folder; the caller removes it
    """

    def __init__(self, folder: Path) -> None:
        from airflow_provider_adobe_target.spill import SpillFile

        self._spill = SpillFile(folder / "links")
        self._lock = threading.Lock()
        self._block: list[dict[str, str | None]] = []
        self.count = 0

    def add(self, identity: Identity, link: Link | None) -> int:
        """Take in a row and what came of it, which in a dry run is nothing, and return how many there are now."""
        code, customer_id = next(iter(identity.customer_ids.items()), (None, None))
        row = {
            "thirdPartyId": identity.ids.get("thirdPartyId"),
            "ECID": identity.ids.get("ECID"),
            "customerId": customer_id,
            "integrationCode": code,
            "pcId": (link and link.tnt_id) or identity.ids.get("pcId"),
        }
        with self._lock:
            self.count += 1
            self._block.append(row)
            if len(self._block) >= _BLOCK_ROWS:
                self._set_aside()
            return self.count

    def write_parquet(self, folder: str, ti: Any) -> str:
        """Write the links as the task's one file in a folder, in place of what an earlier try wrote.

        :returns: the file's path
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = task_file("links", folder, ti)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream, pq.ParquetWriter(stream, self._schema()) as writer:
            for batch in self._batches():
                writer.write_table(pa.Table.from_batches([batch]))
        return str(file)

    def insert(self, table: str, conn_id: str) -> str:
        """Add the links to a table that has their columns.

        :returns: the table
        :raises RuntimeError: where the database refuses; its own words, which may repeat ids, are left out
        """
        hook = database_hook(conn_id)
        hook._log = logging.getLogger(f"{__name__}.silent")  # Airflow's logs all values where the database refuses
        hook._log.disabled = True
        rows = (tuple(row.values()) for batch in self._batches() for row in batch.to_pylist())
        try:
            hook.insert_rows(table, rows, target_fields=list(LINK_COLUMNS))
        except Exception as error:
            raise RuntimeError(
                f"The links cannot be added to the table {table!r} ({type(error).__name__}). It needs the columns "
                f"{', '.join(LINK_COLUMNS)}, all of text and without constraints. The ids are linked all the same, and "
                "another try does no harm."
            ) from None
        return table

    def _batches(self) -> Iterator[Any]:
        with self._lock:
            if self._block:
                self._set_aside()
        yield from self._spill.record_batches()

    def _set_aside(self) -> None:
        import pyarrow as pa

        self._spill.write(pa.RecordBatch.from_pylist(self._block, self._schema()))
        self._block = []

    @staticmethod
    def _schema() -> Any:
        import pyarrow as pa

        return pa.schema([(name, pa.string()) for name in LINK_COLUMNS])
