"""Files that hold the columns that a file of rejects adds."""

from __future__ import annotations

import pyarrow as pa

from airflow_provider_adobe_target.profiles.sources.files import read_files
from support.files import records_of
from support.pipeline import run_pipeline


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


def replayed(write_parquet, rows, **rules):
    file = write_parquet("rejects.parquet", pa.Table.from_pylist(rows))
    return run_pipeline(read_files([file]), **{"id_column": "id", **rules})


def rejected(number, id, tier, reason, detail):
    return {"row_number": number, "id": id, "tier": tier, "reject_reason": reason, "reject_detail": detail}


def test_rows_that_are_not_corrected_are_rejected_again_with_their_reason(write_parquet):
    rows = [
        {"id": None, "tier": "a"},
        {"id": "a+b", "tier": "b"},
        {"id": "x" * 300, "tier": "c"},
        {"id": "U4", "tier": "d" * 6_000},
        {"id": "U5", "tier": float("inf"), "city": "Bern"},
        {"id": "U6", "tier": "x" * 4_000},
        {"id": "U7", "tier": "good"},
        {"id": "U7", "tier": "repeated"},
    ]
    first = run_pipeline(rows, id_column="id")
    assert first.sent == 2
    again = replayed(write_parquet, first.rejects)
    expected = dict(first.reasons)
    assert expected.pop("duplicate_id") == 1
    assert again.reasons == expected
    assert again.lines == ["U7,repeated,"]


def test_a_value_without_a_text_form_is_sent_after_it_was_filled_in(write_parquet):
    detail = "tier: its type has no text form"
    rows = [
        rejected(0, "U1", None, "unsupported_value", detail),
        rejected(1, "U2", "gold", "unsupported_value", detail),
        rejected(2, "U3", None, "unsupported_value", "renamed: its type has no text form"),
        rejected(3, "U4", "silver", "refused_by_target", ""),
    ]
    again = replayed(write_parquet, [{**row, "n": "1"} for row in rows])
    assert again.lines == ["U2,gold,1", "U4,silver,1"]
    assert again.reject_reasons == [(0, "unsupported_value"), (2, "unsupported_value")]


def test_a_lost_value_of_a_column_that_is_not_sent_does_not_matter(write_parquet):
    rows = [{**rejected(0, "U1", None, "unsupported_value", "tier: its type has no text form"), "n": "1"}]
    assert replayed(write_parquet, rows, attributes=["n"]).lines == ["U1,1"]


def test_repeated_ids_of_a_rejects_file_are_a_warning(write_parquet, caplog):
    rows = [rejected(0, "U1", "a", "duplicate_id", "an earlier row has this id")] * 2
    assert replayed(write_parquet, rows).sent == 1
    assert "2 rows of" in caplog.text
    assert "overwrite the rows with the same ids" in caplog.text
