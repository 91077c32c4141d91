"""Write identity-link results to Parquet or to a database table."""

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
    """Buffer of links, spilled to disk. Methods may be called from several threads.

    :param folder: Existing private folder. The caller removes it.
    """

    def __init__(self, folder: Path) -> None:
        from airflow_provider_adobe_target.spill import SpillFile

        self._spill = SpillFile(folder / "links")
        self._lock = threading.Lock()
        self._block: list[dict[str, str | None]] = []
        self.count = 0

    def add(self, identity: Identity, link: Link | None) -> int:
        """Add the link of one row and return the number of links added so far.

        :param identity: Ids of the row.
        :param link: Result of the call; None in a dry run.
        """
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
                self._write_block()
            return self.count

    def write_parquet(self, folder: str, ti: Any) -> str:
        """Write the links to one Parquet file per task. It replaces the file of an earlier try.

        :param folder: Folder of the file, local or in object storage.
        :param ti: Task instance, which determines the file name.
        :return: Path of the file.
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
        """Insert the links into an existing table.

        :return: Name of the table.
        :raises RuntimeError: If the database fails. The message omits the driver's message, which may contain ids.
        """
        hook = database_hook(conn_id)
        hook._log = logging.getLogger(f"{__name__}.silent")  # Airflow's logger writes all values on failure
        hook._log.disabled = True
        rows = (tuple(row.values()) for batch in self._batches() for row in batch.to_pylist())
        try:
            hook.insert_rows(table, rows, target_fields=list(LINK_COLUMNS))
        except Exception as error:
            raise RuntimeError(
                f"The links cannot be added to the table {table!r} ({type(error).__name__}). It needs the columns "
                f"{', '.join(LINK_COLUMNS)}, all of type text and without constraints. The ids are linked "
                "nevertheless, and a retry is safe."
            ) from None
        return table

    def _batches(self) -> Iterator[Any]:
        with self._lock:
            if self._block:
                self._write_block()
        yield from self._spill.record_batches()

    def _write_block(self) -> None:
        import pyarrow as pa

        self._spill.write(pa.RecordBatch.from_pylist(self._block, self._schema()))
        self._block = []

    @staticmethod
    def _schema() -> Any:
        import pyarrow as pa

        return pa.schema([(name, pa.string()) for name in LINK_COLUMNS])
