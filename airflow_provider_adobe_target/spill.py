"""Spill files: Arrow record batches written to disk and read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa


class SpillFile:
    """An append-only sequence of record batches on disk, in Arrow IPC files.

    Batches may differ in their schemas; each change of schema starts a new file. Reading and writing may alternate.

    :param folder: Folder of the files. It is created on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._segments: list[Path] = []
        self._schema: pa.Schema | None = None
        self._writer: pa.RecordBatchFileWriter | None = None
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append one batch."""
        if self._writer is None or batch.schema != self._schema:
            self._open_segment(batch.schema)
        assert self._writer is not None  # noqa: S101  # nosec B101  # for the type checker
        self._writer.write_batch(batch)
        self.rows += len(batch)

    def write_table(self, rows: pa.Table) -> None:
        """Append a table."""
        for batch in rows.combine_chunks().to_batches():
            self.write(batch)

    def _open_segment(self, schema: pa.Schema) -> None:
        self.close()
        self._folder.mkdir(exist_ok=True)
        self._segments.append(self._folder / f"{len(self._segments):06d}.arrow")
        self._writer, self._schema = pa.ipc.new_file(str(self._segments[-1]), schema), schema

    def close(self) -> None:
        """Close the open file. A later :meth:`write` starts a new one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @property
    def schemas(self) -> list[pa.Schema]:
        """The schema of each file, in the order of writing."""
        self.close()
        schemas = []
        for path in self._segments:
            with pa.OSFile(str(path)) as file:
                schemas.append(pa.ipc.open_file(file).schema)
        return schemas

    def record_batches(self, *, backwards: bool = False) -> Iterator[pa.RecordBatch]:
        """Yield the batches written so far.

        :param backwards: Whether to yield the last batch first. The rows within a batch keep their order.
        """
        self.close()
        for path in self._segments[:: -1 if backwards else 1]:
            with pa.OSFile(str(path)) as file:
                reader = pa.ipc.open_file(file)
                numbers = range(reader.num_record_batches)
                for number in reversed(numbers) if backwards else numbers:
                    yield reader.get_batch(number)

    def tables(self) -> Iterator[pa.Table]:
        """Yield the batches written so far as tables."""
        for batch in self.record_batches():
            yield pa.Table.from_batches([batch])

    def blocks(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the batches written so far, concatenated.

        :param rows: Minimum number of rows of a block. The last block, and the last before a change of schema, may
            have fewer.
        """
        pending: list[pa.RecordBatch] = []
        for batch in self.record_batches():
            if pending and (batch.schema != pending[0].schema or sum(map(len, pending)) >= rows):
                yield pa.concat_batches(pending)
                pending = []
            pending.append(batch)
        if pending:
            yield pa.concat_batches(pending)
