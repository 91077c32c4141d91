"""Rows that are written to further ids of a person."""

import pandas as pd
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.id_map import IdMap
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data


def fan_out(data, links, tmp_path, max_linked_ids=10, **rules):
    """Process rows with an id map. Return the counts, and the lines of all files by key."""
    id_map = IdMap(read_data(links), max_linked_ids, rules.get("on_risky_value", "replace"))
    run = ProfilePipeline(read_data(data), ProfileOptions(**rules), tmp_path, keep_rejects=True, id_map=id_map)
    lines = {}
    for file in run.files():
        header, *rows = file.path.read_text().split("\n")
        assert file.rows == len(rows)
        lines.setdefault(header.removeprefix("batch=").partition(",")[0], []).extend(rows)
        file.path.unlink()
    account = run.counts
    settled = ("rows_sent", "rows_rejected", "rows_empty", "rows_unchanged")
    assert account["rows_read"] == sum(account[name] for name in settled)
    assert sum(map(len, lines.values())) == account["rows_sent"] + account["rows_extended"]
    return account, lines


def typed(*links):
    return [dict(zip(("id", "linked_id", "linked_id_type"), link, strict=True)) for link in links]


def rows(**tiers):
    return [{"thirdPartyId": id_, "tier": tier} for id_, tier in tiers.items()]


def test_a_row_goes_to_every_linked_id_in_files_of_one_id_type(tmp_path):
    links = typed(
        ("U1", "1.28_0", "pcId"), ("U1", "C1", "thirdPartyId"), ("U1", "2.28_0", "tntId"), ("U9", "9", "pcId")
    )
    account, lines = fan_out(rows(U1="gold", U2="silver"), links, tmp_path)
    assert lines == {
        "thirdPartyId": ["U1,gold", "U2,silver", "C1,gold"],
        "pcId": ["1.28_0,gold", "2.28_0,gold"],
    }
    assert (account["rows_read"], account["rows_sent"], account["rows_extended"]) == (2, 2, 3)
    assert account["links_dropped"] == {}


def test_links_of_target_apply_in_both_directions(tmp_path):
    links = [{"thirdPartyId": "U1", "ECID": "42", "pcId": "1.28_0"}, {"thirdPartyId": None, "ECID": "43", "pcId": "2"}]
    (tmp_path / "a").mkdir()
    account, lines = fan_out(rows(U1="gold"), links, tmp_path / "a")
    assert lines == {"thirdPartyId": ["U1,gold"], "pcId": ["1.28_0,gold"]}
    assert account["links_dropped"] == {"missing_id": 1}
    (tmp_path / "b").mkdir()
    _, lines = fan_out([{"pcId": "1.28_0", "tier": "gold"}], links, tmp_path / "b")
    assert lines == {"pcId": ["1.28_0,gold"], "thirdPartyId": ["U1,gold"]}


def test_without_a_type_a_linked_id_is_of_the_rows_own(tmp_path):
    links = [{"id": "1", "linked_id": "2"}]
    _, lines = fan_out([{"pcId": "1", "tier": "gold"}], links, tmp_path)
    assert lines == {"pcId": ["1,gold", "2,gold"]}


def test_a_row_of_an_id_wins_over_a_linked_row(tmp_path):
    links = typed(*(("U1", id_, "thirdPartyId") for id_ in ("U2", "U3", "U1")), ("U2", "U3", "thirdPartyId"))
    account, lines = fan_out(rows(U1="first", U2="second"), links, tmp_path)
    assert lines == {"thirdPartyId": ["U1,first", "U2,second", "U3,first"]}
    assert account["rows_rejected"] == 0
    assert account["links_dropped"] == {"duplicate_id": 2}


def test_links_beyond_the_cap_are_dropped_and_counted(tmp_path):
    links = typed(*(("U1", f"b{number}", "pcId" if number % 2 else "thirdPartyId") for number in range(7)))
    account, lines = fan_out(rows(U1="gold"), links, tmp_path, max_linked_ids=3)
    assert lines == {"thirdPartyId": ["U1,gold", "b0,gold", "b2,gold"], "pcId": ["b1,gold"]}
    assert account["links_dropped"] == {"over_max_linked_ids": 4}


def test_rows_that_are_not_sent_go_to_no_linked_id(tmp_path):
    data = [*rows(U1=None, U2="x" * 5_001, U3="ok"), *rows(U3="again")]
    account, lines = fan_out(data, typed(*((f"U{n}", f"b{n}", "pcId") for n in (1, 2, 3))), tmp_path)
    assert lines == {"thirdPartyId": ["U3,ok"], "pcId": ["b3,ok"]}
    assert account["rejected_by_reason"] == {"value_too_long": 1, "duplicate_id": 1}
    assert (account["rows_empty"], account["rows_extended"]) == (1, 1)


def test_invalid_linked_ids_are_dropped_with_their_reason(tmp_path):
    links = typed(("U1", "a+b", "pcId"), ("U1", None, "pcId"), ("U1", "9" * 129, "pcId"), ("U1", "ok", "pcId"))
    account, lines = fan_out(rows(U1="gold"), links, tmp_path)
    assert lines["pcId"] == ["ok,gold"]
    assert account["links_dropped"] == {"id_forbidden_character": 1, "missing_id": 1, "id_too_long": 1}


def test_100_000_rows_find_their_links_whatever_the_order(tmp_path):
    data = pd.DataFrame({"thirdPartyId": [f"U{number}" for number in range(100_000)], "tier": "a"})
    links = pd.DataFrame({"thirdPartyId": [f"U{n % 150_000}" for n in range(300_000)], "pcId": range(300_000)})
    account, lines = fan_out(data, links.sample(frac=1, random_state=0), tmp_path)
    assert (account["rows_sent"], account["rows_extended"]) == (100_000, 200_000)
    assert {int(line.partition(",")[0]) % 150_000 for line in lines["pcId"]} == set(range(100_000))


def test_an_empty_map_adds_nothing(tmp_path):
    account, lines = fan_out(rows(U1="gold"), [], tmp_path)
    assert (lines, account["rows_extended"]) == ({"thirdPartyId": ["U1,gold"]}, 0)


@pytest.mark.parametrize(
    ("links", "cap", "words"),
    [
        ([{"a": "1"}], 10, "rename|Rename them"),
        ([{"thirdPartyId": "1", "mboxPC": "2", "pcId": "3"}], 10, "Rename them"),
        (typed(("U1", "2", "email")), 10, "linked_id_type that is not one of"),
        ([{"id": "U1", "linked_id": 1.5}], 10, "became double"),
        (typed(("U1", "2", "pcId")), 0, "max_linked_ids must be"),
        (typed(("U1", "2", "pcId")), 1_001, "max_linked_ids must be"),
        (typed(("U1", "2", "pcId")), True, "whole number"),
    ],
)
def test_rows_that_are_not_a_map_are_refused_with_a_hint(tmp_path, links, cap, words):
    with pytest.raises(ProfileDataError, match=words):
        fan_out(rows(U1="gold"), links, tmp_path, max_linked_ids=cap)


def test_an_attribute_cannot_be_called_as_the_other_type_of_id(tmp_path):
    rules = {"id_column": "thirdPartyId", "attributes": ["pcId"]}
    with pytest.raises(ProfileDataError, match="name of the id"):
        fan_out([{"thirdPartyId": "U1", "pcId": "x"}], typed(("U1", "2", "pcId")), tmp_path, **rules)


@pytest.mark.parametrize("on_risky_value", ["replace", "reject"])
def test_a_linked_id_with_a_comma_is_dropped(tmp_path, on_risky_value):
    links = typed(("U1", "C,1", "thirdPartyId"), ("U1", "C\r1", "thirdPartyId"), ("U1", "C2", "thirdPartyId"))
    account, lines = fan_out(rows(U1="gold"), links, tmp_path, on_risky_value=on_risky_value)
    assert lines == {"thirdPartyId": ["U1,gold", "C2,gold"]}
    assert account["links_dropped"] == {"id_forbidden_character": 2}


def test_a_linked_id_with_a_comma_is_encoded_on_request(tmp_path):
    links = typed(("U1", "C,1", "thirdPartyId"))
    _, lines = fan_out(rows(U1="gold"), links, tmp_path, on_risky_value="encode")
    assert lines == {"thirdPartyId": ["U1,gold", "C%2C1,gold"]}
