import logging
from itertools import groupby

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.profiles.delimiters import replace_delimiters
from airflow_provider_adobe_target.profiles.validation import (
    Verdicts,
    Warnings,
    check_ids,
    check_sizes,
    check_values,
)
from airflow_provider_adobe_target.profiles.values.to_text import to_text


def ids_checked(values, on_risky_value="encode", key="thirdPartyId"):
    verdicts = Verdicts(len(values))
    text = check_ids(values, "customer", key, on_risky_value, verdicts, Warnings())
    return text.to_pylist(), verdicts


def values_checked(cells, on_risky_value="encode", max_value_length=5_000):
    verdicts = Verdicts(len(cells))
    text = check_values(
        to_text(pa.array(cells, pa.string())), "tier", max_value_length, on_risky_value, verdicts, Warnings()
    )
    return text.to_pylist(), verdicts


def without_delimiters(cell):
    """Replace delimiters in one text, character by character: the reference for the vectorised form."""
    if not cell or not set(cell) & set(",\r\n"):
        return cell or None
    runs = [(kind, "".join(run)) for kind, run in groupby(cell, lambda character: character in " ,\r\n")]
    texts = []
    for index, (is_gap, run) in enumerate(runs):
        is_risky = is_gap and set(run) & set(",\r\n")
        at_an_end = index in (0, len(runs) - 1)
        texts.append(run if not is_risky else "" if at_an_end else " ")
    return "".join(texts) or None


@given(st.lists(st.none() | st.text(max_size=5)), st.sampled_from(["encode", "replace", "reject"]))
def test_an_id_is_returned_unaltered_or_its_row_is_marked(cells, on_risky_value):
    text, verdicts = ids_checked(pa.array(cells, pa.string()), on_risky_value)
    for row, cell in enumerate(cells):
        assert row in verdicts.reasons or text[row] == cell


@given(st.lists(st.none() | st.text(alphabet="ab ,\r\n\u2028ä", max_size=8)))
def test_values_are_altered_only_to_replace_what_is_risky(cells):
    assert values_checked(cells)[0] == [cell or None for cell in cells]
    replaced, verdicts = values_checked(cells, "replace")
    assert not verdicts.reasons
    assert replaced == [without_delimiters(cell) for cell in cells]
    assert verdicts.values_replaced == sum(bool(set(cell or "") & set(",\r\n")) for cell in cells)
    text, changed = replace_delimiters(pa.array(["x,y", *cells], pa.string())[1:])  # a slice
    assert text.to_pylist() == [cell and without_delimiters(cell) for cell in cells]
    assert changed == verdicts.values_replaced
    rejected = values_checked(cells, "reject")[1].reasons
    assert set(rejected) == {row for row, cell in enumerate(cells) if cell and set(cell) & set(",\r\n")}


def test_the_first_reason_of_a_row_stays():
    verdicts = Verdicts(3)
    verdicts.reject(np.array([True, False, False]), "missing_id", "customer")
    verdicts.reject(np.array([True, True, False]), "value_too_long", "tier")
    assert verdicts.reasons == {0: "missing_id", 1: "value_too_long"}
    assert verdicts.details == {0: "customer", 1: "tier"}
    assert verdicts.good.tolist() == [False, False, True]


@pytest.mark.parametrize("code", [*range(0x20), 0x7F, *range(0x80, 0xA0)], ids="{:#04x}".format)
def test_every_control_character_is_forbidden_within_an_id(code):
    assert ids_checked(pa.array([f"a{chr(code)}b"]))[1].reasons == {0: "id_forbidden_character"}


@pytest.mark.parametrize("code", [code for code in range(0x20, 0x7F) if chr(code) not in "+/,"], ids=chr)
def test_every_other_ascii_character_is_allowed_within_an_id(code):
    assert not ids_checked(pa.array([f"a{chr(code)}b"]), "reject")[1].reasons


def test_cells_of_a_slice_are_judged_and_those_around_it_are_not():
    around = pa.array(["a+b", "U1", None, "c/d", "a,b"])
    assert ids_checked(around.slice(1, 2), "reject")[1].reasons == {1: "missing_id"}


def test_details_name_the_column_and_the_limit():
    assert ids_checked(pa.array(["x" * 129]), key="pcId")[1].details == {0: "customer: more than 128 characters"}
    assert values_checked(["x" * 9], max_value_length=8)[1].details == {0: "tier: more than 8 characters"}


def test_sizes_count_the_names_of_what_is_given():
    verdicts = Verdicts(2)
    texts = {"n" * 100: pa.array(["x" * 63_900, "x" * 63_901]), "m" * 100: pa.array([None, None], pa.string())}
    check_sizes(pa.array(["U1", "U2"]), texts, 49_000_000, verdicts)
    assert verdicts.reasons == {1: "profile_too_large"}
    assert verdicts.details == {1: "more than 64000 bytes of attributes"}


# ------------------------------------------------------------------------------------------------------------- warnings


def messages(caplog, check):
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        check()
    return [record.getMessage() for record in caplog.records]


def test_long_texts_get_one_warning_a_column(caplog):
    warnings = Warnings()

    def twice():
        for column in ("a", "a", "b"):
            text = to_text(pa.array(["x" * 257, "x" * 257]))
            check_values(text, column, 5_000, "encode", Verdicts(2), warnings)

    assert [message[:23] for message in messages(caplog, twice)] == [
        "Some texts in a have mo",
        "Some texts in b have mo",
    ]


@pytest.mark.parametrize(
    ("cells", "policy", "warned"),
    [
        (["a,b"], "encode", True),
        (["a\nb"], "encode", True),
        (["a,b"], "replace", False),
        (["a,b"], "reject", False),
        (["ab"], "encode", False),
        (["x" * 256], "encode", False),
        (["ä" * 256], "encode", False),
        (["x" * 257], "encode", True),
    ],
    ids=["comma", "line", "replaced", "rejected", "harmless", "256 characters", "256 characters of two bytes", "257"],
)
def test_values_are_warned_of_where_they_may_be_misread(cells, policy, warned, caplog):
    assert bool(messages(caplog, lambda: values_checked(cells, policy))) is warned


@pytest.mark.parametrize(
    ("cell", "policy", "warned"),
    [
        ("a,b", "encode", True),
        ("a,b", "reject", False),
        ("a,+b", "encode", False),
        ("x" * 128, "encode", False),
        ("x" * 129, "encode", True),
        ("x" * 257, "encode", False),
    ],
)
def test_ids_are_warned_of_where_they_are_sent_and_may_be_misread(cell, policy, warned, caplog):
    assert bool(messages(caplog, lambda: ids_checked(pa.array([cell]), policy))) is warned
