"""Files that hold the columns that a file of rejects adds."""

from __future__ import annotations

import pyarrow as pa

from airflow_provider_adobe_target.profiles.sources.files import read_files
from support.files import records_of


def test_the_columns_of_a_rejects_file_are_left_out_and_logged(write_parquet, write, caplog):
    own = {"row_number": [4], "id": ["U1"], "row_number_": ["7"], "tier": ["a"]}
    table = pa.table(own | {"reject_reason": ["value_too_long"], "reject_detail": ["tier"]})
    path = write_parquet("a.parquet", table)
    csv_path = write("b.csv", "row_number,id,tier,reject_reason,reject_detail\n1,U2,b,x,y\n")
    with caplog.at_level("INFO"):
        rows = read_files([path, csv_path])
        assert rows.schema.names == ["id", "row_number", "tier"]
    assert [text.count("columns row_number, reject_reason, reject_detail are removed") for text in caplog.messages] == [
        1,
        1,
    ]
    assert records_of(rows) == [
        {"id": "U1", "row_number": "7", "tier": "a"},
        {"id": "U2", "row_number": None, "tier": "b"},
    ]
    assert records_of(rows, ["row_number"]) == [{"row_number": "7"}, {"row_number": None}]


def test_columns_that_are_not_all_of_a_rejects_file_stay(write):
    path = write("b.csv", "row_number,id,reject_reason\n1,U2,x\n")
    assert read_files([path]).schema.names == ["row_number", "id", "reject_reason"]
