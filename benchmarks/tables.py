"""The rows of all benchmarks: customers with an id and ten attributes of mixed types.

A row has 173 bytes as plain CSV, of which one eighth must be percent-encoded.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

PART_ROWS = 500_000
ROW_GROUP_ROWS = 100_000


def table(rows: int, seed: int = 7, first: int = 0) -> pa.Table:
    """Return a batch with an id and ten attributes of mixed types, some of them null.

    :param first: Number of the first customer.
    """
    rng = np.random.default_rng(seed)

    def words(*choices: str | None) -> pa.Array:
        return pa.array(choices).take(pa.array(rng.integers(0, len(choices), rows)))

    def numbers(most: int) -> npt.NDArray[np.int64]:
        return rng.integers(0, most, rows)

    def joined(*cells: str | npt.NDArray[np.int64]) -> pa.Array:
        texts = [cell if isinstance(cell, str) else pa.array(cell).cast(pa.string()) for cell in cells]
        return pc.binary_join_element_wise(*texts, "")

    def ticks(unit: str, span: int) -> pa.Array:
        return pa.array(np.datetime64("2020-01-01") + rng.integers(0, span, rows).astype(f"timedelta64[{unit}]"))

    return pa.table(
        {
            "thirdPartyId": joined("customer-", 100_000_000 + first + rng.permutation(rows)),
            "tier": words("gold", "silver", "bronze", None),
            "city": words("Zürich", "New York, NY", "München", "London", "San Francisco", "Paris", "Kraków", "東京"),
            "favourites": joined("sku ", numbers(10**6), ", sku ", numbers(10**6), " & sku ", numbers(10**6)),
            "last_page": joined("/shop/men/shoes?id=", numbers(10**5), "&page=", numbers(10**5)),
            "score": pa.array(np.round(rng.random(rows) * 1000, 2)),
            "probability": pa.array(rng.random(rows), mask=rng.random(rows) < 0.05),
            "orders": pa.array(numbers(10**6), mask=rng.random(rows) < 0.05),
            "subscribed": pa.array(rng.random(rows) < 0.5),
            "birthday": ticks("D", 2_000).cast(pa.date32()),
            "last_seen": ticks("s", 10**8).cast(pa.timestamp("us")),
        }
    )


def parts(rows: int) -> Iterator[pa.Table]:
    """Yield batches of rows with unique ids."""
    for first in range(0, rows, PART_ROWS):
        yield table(min(PART_ROWS, rows - first), seed=7 + first, first=first)


def write(path: Path, rows: int) -> None:
    """Write rows to a Parquet or CSV file in a separate process, so that they do not affect this one's memory."""
    subprocess.run([sys.executable, __file__, str(path), str(rows)], check=True)


def main() -> None:
    """Write a file."""
    path, rows = sys.argv[1], int(sys.argv[2])
    schema = table(1).schema
    if path.endswith(".csv"):
        with pyarrow.csv.CSVWriter(path, schema) as csv:
            for part in parts(rows):
                csv.write_table(part)
    else:
        with pq.ParquetWriter(path, schema) as parquet:
            for part in parts(rows):
                parquet.write_table(part, row_group_size=ROW_GROUP_ROWS)


if __name__ == "__main__":
    main()
