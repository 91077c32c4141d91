from __future__ import annotations

import json

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.upload_plan import make_plan, minutes_at


def plan_of(rows, tmp_path, calls_per_minute=30, **options):
    statistics = AttributeStatistics(count_distinct=True)
    pipeline = ProfilePipeline(read_data(rows), ProfileOptions(**options), tmp_path, sent_statistics=statistics)
    sizes = [file.size for file in pipeline.files()]
    return make_plan(statistics, sizes, calls_per_minute), sizes


def test_the_plan_has_the_statistics_of_each_attribute(tmp_path):
    table = pa.table(
        {
            "thirdPartyId": ["U1", "U2", "U3", "U1", "U5"],
            "tier": ["gold", "gold", None, "x", "Zürich"],
            "points": [1, 2, 3, 4, None],
        }
    )
    plan, sizes = plan_of(table, tmp_path)
    assert (plan.rows, plan.files, plan.bytes) == (4, 1, sizes[0])
    assert plan.to_dict()["attributes"] == [
        {
            "name": "tier",
            "column": "tier",
            "type": "string",
            "values": 3,
            "filled_pct": 75.0,
            "distinct": 2,
            "longest": 6,
        },
        {
            "name": "points",
            "column": "points",
            "type": "int64",
            "values": 3,
            "filled_pct": 75.0,
            "distinct": 3,
            "longest": 1,
        },
    ]
    json.dumps(plan.to_dict())


def test_the_plan_has_which_attributes_were_sent_before(tmp_path):
    plan, _ = plan_of([{"thirdPartyId": "U1", "tier": "gold", "score": 1}], tmp_path)
    text = plan.to_markdown()
    assert text.splitlines()[2].endswith("| Sent before |")
    assert text.count("| unknown |") == 2
    compared = plan.compared_with({"tier", "other"})
    assert [(it["name"], it["sent_before"]) for it in compared.attributes] == [("tier", True), ("score", False)]
    assert "| tier | string | 100.0 % | 1 | 4 | yes |" in compared.to_markdown()
    assert "| score | int64 | 100.0 % | 1 | 1 | **no** |" in compared.to_markdown()
    assert [it["sent_before"] for it in plan.compared_with(None).attributes] == [None, None]


def test_markdown_has_a_row_for_each_attribute_and_no_value(tmp_path):
    plan, _ = plan_of([{"thirdPartyId": "U1", "address": {"city": "Secretville"}, "tier": "gold"}], tmp_path)
    text = plan.to_markdown()
    assert text.startswith("Rows: 1. Files: 1. Bytes: ")
    assert "| address.city | string | 100.0 % | 1 | 11 | unknown |" in text
    assert not any(word in text for word in ("Secretville", "gold", "U1"))


def test_attributes_of_later_batches_and_of_fallback_ids_are_counted(tmp_path):
    rows = [{"third_party_id": f"U{n}", "pc_id": None, "a": None} for n in range(20_000)]
    rows += [{"third_party_id": None, "pc_id": f"p{n}", "a": "x", "b": n} for n in range(10)]
    plan, _ = plan_of(rows, tmp_path, id_column="third_party_id", fallback_id_column="pc_id")
    found = {attribute["name"]: attribute for attribute in plan.attributes}
    assert plan.rows == 10
    assert (found["a"]["values"], found["b"]["values"], found["b"]["distinct"]) == (10, 10, 10)
    assert found["b"]["type"] == "int64"


@pytest.mark.parametrize(
    ("calls", "per_minute", "minutes"), [(0, 30, 0), (30, 30, 0), (31, 30, 1), (60, 30, 1), (101, 50, 2)]
)
def test_minutes_at_the_rate_limit(calls, per_minute, minutes):
    assert minutes_at(calls, per_minute) == minutes
