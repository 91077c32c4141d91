"""Memberships and the universe to flags, against a plain join in Python."""

import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.audiences import AudienceRows, audience_names
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.record_batches import MAX_ROWS


def flags(memberships, universe, audiences=("gold", "lapsed"), **options):
    options = {"audience_column": "audience", "id_column": None, "universe_id_column": None, **options}
    with tempfile.TemporaryDirectory() as folder:
        rows = AudienceRows(
            read_data(memberships),
            read_data(universe),
            audience_names(audiences),
            **{"folder": Path(folder), **options},
        )
        return rows, list(rows.record_batches())


def people(batches):
    return {row.pop(next(iter(row))): row for batch in batches for row in batch.to_pylist()}


def members(*pairs):
    return pa.table({"thirdPartyId": [id_ for id_, _ in pairs], "audience": [name for _, name in pairs]})


IDS = st.sampled_from([f"U{number}" for number in range(30)])


@given(st.lists(st.tuples(IDS, st.sampled_from(["gold", "lapsed", "other", None]))), st.lists(IDS, min_size=1))
def test_flags_are_those_of_a_plain_join(pairs, universe):
    table = pa.table(
        {
            "thirdPartyId": pa.array([id_ for id_, _ in pairs], pa.string()),
            "audience": pa.array([name for _, name in pairs], pa.string()),
        }
    )
    rows, batches = flags(table, pa.table({"id": pa.array(universe, pa.string())}), allow_no_members=True)
    asked = {(id_, name) for id_, name in pairs if name in ("gold", "lapsed")}
    everybody = set(universe) | {id_ for id_, _ in asked}
    assert people(batches) == {
        id_: {f"audience.{name}": (id_, name) in asked for name in ("gold", "lapsed")} for id_ in everybody
    }
    assert sum(map(len, batches)) == len(everybody)
    assert rows.members == {f"audience.{name}": sum(of == name for _, of in asked) for name in ("gold", "lapsed")}


def test_members_have_the_same_order_for_any_source_order():
    pairs = [(f"U{number}", "gold") for number in range(2_000)]
    universe = [f"U{number}" for number in range(5_000)]
    once = flags(members(*pairs), pa.table({"id": universe}))[1]
    again = flags(members(*reversed(pairs)), pa.table({"id": universe[2_500:] + universe[:2_500]}))[1]
    assert [batch.to_pylist() for batch in once] == [batch.to_pylist() for batch in again]


def test_batches_have_a_limited_size():
    universe = pa.table({"id": pa.array(range(64 * MAX_ROWS // 16)).cast(pa.string())})
    batches = flags(members(("1", "gold")), universe)[1]
    assert max(map(len, batches)) <= MAX_ROWS
    assert sum(map(len, batches)) == len(universe)


def test_ids_of_numbers_and_texts_are_joined():
    frame = pd.DataFrame({"customer": [1, 2], "segment": [7, 8]})
    _, batches = flags(
        frame, pa.table({"customer": ["1", "3"]}), ["7"], id_column="customer", audience_column="segment"
    )
    assert people(batches) == {"1": {"audience.7": True}, "3": {"audience.7": False}}


def test_a_missing_id_is_left_for_the_checks_to_find():
    _, batches = flags(members(("U1", "gold"), (None, "gold")), pa.table({"id": ["U1", None]}))
    assert set(people(batches)) == {"U1", None}


def test_an_audience_may_be_called_otherwise():
    _, batches = flags(members(("U1", "Big Spenders")), pa.table({"id": ["U1"]}), {"Big Spenders": "big_spenders"})
    assert people(batches) == {"U1": {"audience.big_spenders": True}}


def test_rows_of_other_audiences_are_ignored_with_a_log_line(caplog):
    flags(members(("U1", "gold"), ("U2", "unknown")), pa.table({"id": ["U1"]}))
    assert "1 rows name an audience that is not in audiences" in caplog.text


def test_nothing_is_left_on_disk(tmp_path):
    flags(members(("U1", "gold")), pa.table({"id": ["U1"]}), folder=tmp_path)
    with pytest.raises(ProfileDataError):
        flags(members(("U1", "other")), pa.table({"id": ["U1"]}), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("memberships", "universe", "options", "words"),
    [
        (members(("U1", "other")), pa.table({"id": ["U1"]}), {}, "allow_no_members"),
        (members(("U1", "gold")), pa.table({"id": pa.array([], pa.string())}), {}, "universe has no rows"),
        (members(("U1", "gold")), pa.table({"a": ["U1"], "b": ["U1"]}), {}, "universe_id_column"),
        (members(("U1", "gold")), pa.table({"a": ["U1"]}), {"universe_id_column": "c"}, "universe_id_column"),
        (members(("U1", "gold")), pa.table({"id": [1.0]}), {}, "floats|double"),
        (pd.DataFrame({"id": [1.0], "audience": ["gold"]}), pa.table({"id": ["1"]}), {"id_column": "id"}, "double"),
        (members(("U1", "gold")), pa.table({"id": ["U1"]}), {"audience_column": "segment"}, "segment"),
    ],
)
def test_tables_that_cannot_be_joined_are_refused(memberships, universe, options, words):
    with pytest.raises(ProfileDataError, match=words):
        flags(memberships, universe, **options)


@pytest.mark.parametrize("audiences", ["gold", [], ["Big Spenders"], ["a", "a"], {"a": "x", "b": "x"}, ["x" * 120]])
def test_names_that_cannot_be_attributes_are_refused(audiences):
    with pytest.raises(ProfileDataError, match="udience"):
        audience_names(audiences)


def test_flags_can_have_names_of_existing_attributes():
    assert audience_names({"gold": "isGold", "Big Spenders": "crm.big"}, "") == {
        "gold": "isGold",
        "Big Spenders": "crm.big",
    }
    with pytest.raises(ProfileDataError, match="must start with a letter"):
        audience_names(["2024"], "")
    with pytest.raises(ProfileDataError, match="cannot be the attribute ''"):
        audience_names({"gold": ""}, "")


def test_columns_are_found_in_any_letter_case():
    table = pa.table({"THIRD_PARTY_ID": ["U1"], "AUDIENCE": ["gold"]})
    _, batches = flags(table, pa.table({"THIRD_PARTY_ID": ["U1", "U2"], "N": [1, 2]}), id_column="third_party_id")
    assert {id_: row["audience.gold"] for id_, row in people(batches).items()} == {"U1": True, "U2": False}
    with pytest.raises(ProfileDataError, match="no column 'segment' for audience_column"):
        flags(table, table, audience_column="segment")
