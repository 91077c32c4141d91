from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from support.pipeline import run_pipeline

ROWS = [
    {"third_party_id": "U1", "pc_id": "p1.28_0", "tier": "gold"},
    {"third_party_id": None, "pc_id": "p2.28_0", "tier": "silver"},
    {"third_party_id": "  ", "pc_id": "p3.28_0", "tier": "bronze"},
    {"third_party_id": None, "pc_id": None, "tier": "none"},
]
BOTH = {"id_column": "third_party_id", "fallback_id_column": "pc_id"}


def test_rows_go_into_files_of_one_key_each():
    result = run_pipeline(ROWS, **BOTH)
    assert result.bodies == ["batch=thirdPartyId,tier\nU1,gold", "batch=pcId,tier\np2.28_0,silver\np3.28_0,bronze"]
    assert result.reject_reasons == [(3, "missing_id")]


def test_the_other_order_works_as_well():
    result = run_pipeline(ROWS[:2], id_column="pc_id", fallback_id_column="THIRD_PARTY_ID")
    assert result.bodies == ["batch=pcId,tier\np1.28_0,gold\np2.28_0,silver"]


def test_all_rows_by_the_fallback():
    assert run_pipeline(ROWS[1:3], **BOTH).bodies == ["batch=pcId,tier\np2.28_0,silver\np3.28_0,bronze"]


@pytest.mark.parametrize(("kept", "line"), [("first", "p2,a"), ("last", "p2,b")])
def test_ids_are_unique_within_each_key(kept, line):
    rows = [{"third_party_id": None, "pc_id": "p2", "tier": tier} for tier in "ab"]
    rows.append({"third_party_id": "p2", "pc_id": None, "tier": "c"})
    result = run_pipeline(rows, on_duplicate_id=kept, **BOTH)
    assert sorted(result.lines) == sorted([line, "p2,c"])
    [reject] = result.rejects
    assert (reject["reject_reason"], reject["pc_id"]) == ("duplicate_id", "p2")


def test_a_bad_fallback_id_is_rejected_under_the_name_of_its_column():
    [reject] = run_pipeline([{"third_party_id": None, "pc_id": "a+b", "tier": "x"}, ROWS[0]], **BOTH).rejects
    assert (reject["pc_id"], reject["reject_reason"]) == ("a+b", "id_forbidden_character")


def test_a_row_that_is_rejected_by_its_first_id_keeps_the_other_one():
    rows = [{"third_party_id": "U/1", "pc_id": "p9.28_0", "tier": "x"}, *ROWS, {**ROWS[0], "third_party_id": "a+b"}]
    result = run_pipeline(rows, **BOTH)
    found = [(reject["third_party_id"], reject["pc_id"], reject["tier"]) for reject in result.rejects]
    assert found == [("U/1", "p9.28_0", "x"), (None, None, "none"), ("a+b", "p1.28_0", "gold")]


def test_an_id_without_a_text_form_does_not_use_the_fallback():
    rows = [{"third_party_id": "\ud800", "pc_id": "p1", "tier": "x"}, ROWS[0]]
    assert run_pipeline(rows, **BOTH).reasons == {"id_forbidden_character": 1}


def test_files_of_both_keys_are_cut():
    rows = 1_000
    table = pa.table(
        {
            "third_party_id": [f"U{n}" if n % 2 else None for n in range(rows)],
            "pc_id": [f"p{n}" for n in range(rows)],
            "n": range(rows),
        }
    )
    result = run_pipeline(table, max_rows_per_file=100, **BOTH)
    assert [body.partition(",")[0] for body in result.bodies] == ["batch=thirdPartyId"] * 5 + ["batch=pcId"] * 5
    assert sorted(int(line.rpartition(",")[2]) for line in result.lines) == list(range(rows))


def test_the_counts_say_how_many_rows_each_id_type_has(tmp_path):
    pipeline = ProfilePipeline(read_data(ROWS), ProfileOptions(**BOTH), tmp_path)
    assert [file.rows for file in pipeline.files()] == [1, 2]
    assert pipeline.counts["rows_by_id_type"] == {"thirdPartyId": 1, "pcId": 2}
    assert (
        "rows_by_id_type" not in ProfilePipeline(read_data([{"pcId": "x", "a": 1}]), ProfileOptions(), tmp_path).counts
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"fallback_id_column": "mboxPC"}, "no column 'mboxPC' for fallback_id_column"),
        ({"id_column": "tier", "id_type": "pcId"}, "fallback_id_column='pc_id' has ids of type pcId"),
        ({"fallback_id_column": 1}, "fallback_id_column must be text"),
    ],
)
def test_a_wrong_column_is_refused(rules, message):
    rows = [{"third_party_id": None, "pc_id": "p", "tier": None, "n": 1}]
    with pytest.raises(ProfileDataError, match=message):
        run_pipeline(rows, **{**BOTH, **rules}, attributes=["n"])
