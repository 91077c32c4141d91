"""The protocol of a row source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class Rows(Protocol):
    """Rows of a table, in the order of their source.

    Batches have at most 16,384 rows, and hold not much more than 16 MiB unless one row does.
    """

    @property
    def schema(self) -> pa.Schema | None:
        """Every column that can be known before the first row is read, nested ones with all their fields.

        Only names are certain. A column made of Python objects has the type null here, as its own is told
        batch by batch; files may differ in types. None where nothing can be known: a cursor has to run first.
        """

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows: once from a cursor or a record batch reader, else as often as wanted.

        :param columns: top-level columns to read; None means all. They come in the source's order, and those
            that the source does not have are passed over.
        """
