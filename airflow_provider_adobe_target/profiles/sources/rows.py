"""The protocol of a row source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def row_count(rows: object) -> int | None:
    """Return the number of rows of a source, as far as it is known without reading them."""
    count: int | None = getattr(rows, "row_count", None)
    return count


class Rows(Protocol):
    """Rows of a table, in the order of the source.

    Batches have at most 16,384 rows and about 16 MiB, unless a single row is larger.
    """

    @property
    def schema(self) -> pa.Schema | None:
        """Columns, with all nested fields; None if they are unknown before reading, as for a cursor.

        Only names are reliable. Columns of Python objects have the type null, because their type is determined per
        batch, and the types of files may differ.
        """

    def record_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows. Cursors and record batch readers can be read once, other sources repeatedly.

        :param columns: Top-level columns to read; None for all. The batches have them in the order of the source.
            Columns that the source does not have are ignored.
        """
