from __future__ import annotations

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.inputs.file_paths import read_paths
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.rows import row_count

TABLE = pa.table({"thirdPartyId": ["a", "b", "c"]})


@pytest.mark.parametrize("data", [TABLE, TABLE.to_pandas(), pl.from_arrow(TABLE), TABLE.to_pylist()])
def test_rows_in_memory_are_counted(data):
    assert row_count(read_data(data)) == 3


def test_rows_of_parquet_files_are_counted(tmp_path):
    for day in (1, 2):
        (tmp_path / f"day={day}").mkdir()
        pq.write_table(TABLE, tmp_path / f"day={day}" / "x.parquet")
    assert row_count(read_paths(str(tmp_path))) == 6


def test_rows_of_text_files_are_not_known_before_reading(tmp_path):
    (tmp_path / "x.csv").write_text("thirdPartyId,tier\na,b\n")
    pq.write_table(TABLE, tmp_path / "x.parquet")
    assert row_count(read_paths([str(tmp_path / "x.csv"), str(tmp_path / "x.parquet")])) is None
