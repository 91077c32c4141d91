from __future__ import annotations

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics, type_name
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
    assert type_name(pa.array([value]).type) == name


def test_categories_have_the_type_of_their_values():
    assert type_name(pa.array(["a"]).dictionary_encode().type) == "text"
