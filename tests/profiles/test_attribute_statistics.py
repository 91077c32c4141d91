from __future__ import annotations

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics, DistinctCount, plain_type
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data


def statistics_of(table, folder, **options):
    statistics = AttributeStatistics()
    run = ProfilePipeline(read_data(table), ProfileOptions(**options), folder, statistics=statistics)
    for file in run.files():
        file.path.unlink()
    return statistics.to_dict()


def test_values_of_the_rows_that_are_sent_are_counted(tmp_path):
    table = pa.table(
        {
            "thirdPartyId": ["a", "a", "b", "c", None],
            "tier": ["gold", "a much longer duplicate", "Zürich", None, "without an id"],
            "score": pa.array([1, 2, None, 12345, 5]),
        }
    )
    assert statistics_of(table, tmp_path) == {
        "tier": {"type": "text", "filled": 2, "rows": 3, "max_length": 6},
        "score": {"type": "integer", "filled": 2, "rows": 3, "max_length": 5},
    }


def test_names_are_those_that_adobe_target_sees(tmp_path):
    table = pa.table({"thirdPartyId": ["a"], "home": pa.array([{"city": "Bern"}]), "T": ["x"]})
    found = statistics_of(table, tmp_path, attributes={"home": "address", "T": "tier"})
    assert set(found) == {"address.city", "tier"}


def test_an_attribute_without_any_value_has_no_length(tmp_path):
    table = pa.table({"thirdPartyId": ["a"], "tier": ["x"], "gone": pa.nulls(1, pa.string())})
    assert statistics_of(table, tmp_path)["gone"] == {"type": "text", "filled": 0, "rows": 1, "max_length": 0}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a", "text"),
        (1, "integer"),
        (1.5, "number"),
        (Decimal("1.50"), "number"),
        (True, "boolean"),
        (datetime.date(2026, 1, 31), "date"),
        (datetime.datetime(2026, 1, 31), "timestamp"),
        (datetime.time(1), "time"),
        (["a"], "list"),
        (None, "unknown"),
    ],
)
def test_types_have_plain_names(value, name):
    assert plain_type(pa.array([value]).type) == name


def test_categories_have_the_type_of_their_values():
    assert plain_type(pa.array(["a"]).dictionary_encode().type) == "text"


@given(st.lists(st.text(max_size=5), max_size=300))
def test_few_distinct_texts_are_counted_exactly(texts):
    count = DistinctCount()
    for start in range(0, len(texts), 50):
        count.add(pa.array(texts[start : start + 50], pa.string()))
    assert count.estimate == len(set(texts))


@pytest.mark.parametrize("distinct", [5_000, 300_000])
def test_many_distinct_texts_are_estimated_in_little_memory(distinct):
    count = DistinctCount()
    for start in range(0, 2 * distinct, 10_000):
        count.add(pa.array([f"text-{n % distinct}" for n in range(start, min(start + 10_000, 2 * distinct))]))
    assert len(count._smallest) == 1_024
    assert abs(count.estimate - distinct) < 0.12 * distinct
