"""Write the ids that Adobe Target lists as failed, for a task that does not have the rows: a sensor."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.load.output_files import task_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import IO

    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.client.session import Session

log = logging.getLogger(__name__)

REFUSED = "refused_by_target"
_DETAIL = "Adobe Target accepted the row, and lists it as failed"


def rejects_folder(reports: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the ``rejects_folder`` of the reports; None if there is none, or several.

    :param reports: Reports of ``BulkProfileUpdateOperator``.
    """
    folders = {report["rejects_folder"] for report in reports if report.get("rejects_folder")}
    if len(folders) > 1:
        log.warning("The reports name %s folders for rejected rows. Set rejects_path of the sensor.", len(folders))
        return None
    return next(iter(folders), None)


def id_column_of(reports: Sequence[Mapping[str, Any]], batches: int) -> str:
    """Return the name of the id column: the id type of the reports, or ``id`` if it is not known.

    :param reports: Reports of ``BulkProfileUpdateOperator``.
    :param batches: Number of batches; the id type is known if all of them belong to the reports.
    """
    id_types = {report.get("id_type") for report in reports}
    is_known = len(id_types) == 1 and sum(len(report["batches"]) for report in reports) == batches
    has_both = any("rows_extended" in report or "rows_by_id_type" in report for report in reports)
    if not is_known or has_both:
        return "id"
    return str(next(iter(id_types)) or "id")


def write_refused_ids(session: Session, batches: Sequence[Batch], id_column: str, folder: str, ti: Any) -> str | None:
    """Write the ids that Adobe Target lists as failed. Without any, delete the file of an earlier try.

    :param session: Client session. The status of each batch that lists failures is requested again.
    :param batches: Final batches.
    :param id_column: Name of the id column.
    :param folder: Folder, local or in object storage.
    :param ti: Task instance, which determines the file name.
    :return: Path of the file; None if no row is listed.
    """
    file = task_file("refused", folder, ti)
    listed = [batch for batch in batches if batch.listed_failures]
    if not listed:
        file.unlink(missing_ok=True)
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    ids = ((str(batch.batch_id), sorted(session.failed_ids([batch]))) for batch in listed)
    with file.open("wb") as stream:
        count = _write_parquet(stream, id_column, ids)
    log.info("%s ids that Adobe Target refused are kept in %s", f"{count:,}", file)
    return str(file)


def _write_parquet(stream: IO[bytes], id_column: str, ids: Iterator[tuple[str, list[str]]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [id_column, "reject_batch_id", "reject_reason", "reject_detail"]
    schema = pa.schema([("row_number", pa.int64()), *((name, pa.string()) for name in texts)])
    count = 0
    with pq.ParquetWriter(stream, schema) as writer:
        for batch_id, of_batch in ids:
            rows = len(of_batch)
            columns = [pa.nulls(rows, pa.int64()), pa.array(of_batch, pa.string())]
            columns += [pa.repeat(text, rows) for text in (batch_id, REFUSED, _DETAIL)]
            writer.write_table(pa.table(columns, schema=schema))
            count += rows
    return count
