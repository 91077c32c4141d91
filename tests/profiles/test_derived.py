"""Constants, templates, functions and stamps, from the source to the lines of a file."""

from __future__ import annotations

import datetime
import time
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_provider_adobe_target.derived_attributes import DerivedAttributes, RunStamp
from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.privacy import PrivacyOptions, PrivacyRules
from airflow_provider_adobe_target.profiles.preview import encode_rows, preview_profile
from support.pipeline import cursor_source, run_pipeline

ROWS = [
    {"id": "U1", "first": "Ada", "last": "Lovelace", "score": 12},
    {"id": "U2", "first": "Bo", "last": None, "score": 7},
]
STAMP = RunStamp(datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc), "manual__1")


def lines(derived, rows=ROWS, **options):
    return run_pipeline(rows, id_column="id", **{"attributes": ["first"], "derived": derived, **options}).bodies[0]


def band(batch):
    return pc.if_else(pc.greater(batch.column("score"), 10), "high", "low")


def test_all_kinds_follow_the_columns_in_the_header():
    derived = DerivedAttributes(
        constants={"source": "crm"},
        templates={"name": "{first} {last}"},
        functions={"band": band},
        sent_at="sent_at",
        run_id="run",
    )
    assert lines(derived, run_stamp=STAMP).split("\n") == [
        "batch=id,first,source,name,band,sent_at,run".replace("id,", "thirdPartyId,", 1),
        "U1,Ada,crm,Ada%20Lovelace,high,2026-01-31T12%3A00%3A00Z,manual__1",
        "U2,Bo,crm,,low,2026-01-31T12%3A00%3A00Z,manual__1",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3.0, "3"),
        (12, "12"),
        (Decimal("1.50"), "1.50"),
        (datetime.date(2026, 1, 31), "2026-01-31"),
        ("a, b", "a%20b"),
        ("Zürich", "Z%C3%BCrich"),
    ],
)
def test_a_constant_is_written_as_a_value_of_a_column(value, text):
    assert lines(DerivedAttributes(constants={"c": value})).split("\n")[1] == f"U1,Ada,{text}"


def test_a_template_inserts_the_text_of_each_column():
    rows = [{"id": "U1", "n": 3.0, "day": datetime.date(2026, 1, 31), "a": {"b": "x"}, "t": True}]
    derived = DerivedAttributes(templates={"t": "{{{n}}}|{day}|{a.b}|{id}"})
    assert preview_profile(rows, "U1", id_column="id", attributes=["n"], derived=derived) == {
        "n": "3",
        "t": "{3}|2026-01-31|x|U1",
    }


def test_a_null_or_empty_column_makes_a_template_null():
    rows = [{"id": "U1", "a": "x", "b": ""}, {"id": "U2", "a": None, "b": "y"}, {"id": "U3", "a": "x", "b": "y"}]
    derived = DerivedAttributes(templates={"t": "{a}-{b}"})
    assert run_pipeline(rows, id_column="id", attributes=["a"], derived=derived).lines == ["U1,x,", "U3,x,x-y"]


def test_a_value_without_a_text_form_rejects_the_row():
    rows = [{"id": "U1", "a": float("inf"), "b": "x"}, {"id": "U2", "a": 1.5, "b": "y"}]
    result = run_pipeline(rows, id_column="id", attributes=["b"], derived=DerivedAttributes(templates={"t": "{a}"}))
    assert result.lines == ["U2,y,1.5"]
    assert result.reject_reasons == [(0, "unsupported_value")]


def test_ids_alone_can_get_a_constant():
    rows = [{"id": "U1"}, {"id": "U2"}]
    assert run_pipeline(rows, id_column="id", derived=DerivedAttributes(constants={"vip": True})).lines == [
        "U1,true",
        "U2,true",
    ]
    with pytest.raises(ProfileDataError, match="There is no attribute column"):
        run_pipeline(rows, id_column="id", derived=DerivedAttributes(run_id="run"), run_stamp=STAMP)


def test_a_row_with_a_stamp_only_is_empty():
    rows = [{"id": "U1", "a": None}, {"id": "U2", "a": "x"}]
    result = run_pipeline(rows, id_column="id", derived=DerivedAttributes(run_id="run"), run_stamp=STAMP)
    assert (result.empty, result.lines) == (1, ["U2,x,manual__1"])


def test_rejects_have_no_stamps_and_keep_their_reasons():
    rows = [{"id": "a+b", "a": "x"}, {"id": "U2", "a": "x"}, {"id": "U2", "a": "y"}]
    derived = DerivedAttributes(constants={"c": "1"}, run_id="run")
    result = run_pipeline(rows, id_column="id", derived=derived, run_stamp=STAMP)
    assert [set(row) - {"row_number", "reject_reason", "reject_detail"} for row in result.rejects] == [
        {"id", "a", "c"}
    ] * 2
    assert result.reasons == {"id_forbidden_character": 1, "duplicate_id": 1}


@pytest.mark.parametrize("kept", ["first", "last"])
def test_both_id_columns_get_the_attributes(kept):
    rows = [{"third_party_id": "U1", "pc_id": None, "a": "x"}, {"third_party_id": None, "pc_id": "p1.28_0", "a": "y"}]
    derived = DerivedAttributes(constants={"c": "1"}, templates={"t": "{a}{a}"}, run_id="run")
    bodies = run_pipeline(
        rows,
        id_column="third_party_id",
        fallback_id_column="pc_id",
        on_duplicate_id=kept,
        derived=derived,
        run_stamp=STAMP,
    ).bodies
    assert bodies == [
        "batch=thirdPartyId,a,c,t,run\nU1,x,1,xx,manual__1",
        "batch=pcId,a,c,t,run\np1.28_0,y,1,yy,manual__1",
    ]


def test_a_cursor_reads_the_columns_of_templates_and_functions():
    source = cursor_source(["id", "a", "b"], [("U1", "x", 2), ("U2", "y", 3)])
    derived = DerivedAttributes(templates={"t": "{b}!"}, functions={"f": lambda batch: batch.num_columns})
    assert run_pipeline(source, id_column="id", attributes=["a"], derived=derived).lines == [
        "U1,x,2%21,3",
        "U2,y,3%21,3",
    ]


def test_a_function_gets_text_for_columns_of_python_objects():
    rows = [{"id": "U1", "a": "x"}, {"id": "U2", "a": 5}]
    derived = DerivedAttributes(functions={"f": lambda batch: pc.utf8_upper(batch.column("a"))})
    assert run_pipeline(rows, id_column="id", derived=derived).lines == ["U1,x,X", "U2,5,5"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda batch: 1 / 0, r"functions\['f'\] raised ZeroDivisionError in line \d+"),
        (lambda batch: {}["SECRET"], "raised KeyError"),
        (lambda batch: [1, 2], "returned list, not an Arrow array"),
        (lambda batch: pa.array([1]), "returned 1 values for 2 rows"),
        (lambda batch: pa.array([b"x", b"y"]), "type binary, which has no text form"),
        (lambda batch: pa.array([{"a": 1}] * 2), "type struct"),
    ],
)
def test_a_function_that_fails_is_named_without_a_value(function, message):
    with pytest.raises(ProfileDataError, match=message) as error:
        lines(DerivedAttributes(functions={"f": function}))
    assert "SECRET" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"constants": {"c": None}}, r"constants\['c'\] must be text"),
        ({"constants": {"c": ""}}, r"constants\['c'\] must be text"),
        ({"constants": ["c"]}, "constants must be a dict"),
        ({"templates": {"t": "x"}}, "has no column"),
        ({"templates": {"t": "{}"}}, "a brace without a column name"),
        ({"templates": {"t": "{a"}}, "a brace without a column name"),
        ({"templates": {"t": 1}}, "must be text, not int"),
        ({"functions": {"f": "x"}}, "must be a function, not str"),
        ({"constants": {"a": 1}, "sent_at": "a"}, "needs a name of its own: a"),
        ({"sent_at": 1}, "sent_at must be the name"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(ProfileDataError, match=message):
        DerivedAttributes(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"constants": {"first": "x"}}, "'first' is also the column 'first'"),
        ({"constants": {"user.x": "x"}}, "invalid name"),
        ({"constants": {"thirdPartyId": "x"}}, "invalid name"),
        ({"constants": {"c": float("nan")}}, "has no text form"),
        ({"templates": {"t": "{nothing}"}}, r"no column 'nothing' for templates\['t'\]"),
        ({"templates": {"t": "{first:>10}"}}, "no column 'first:>10'"),
        ({"templates": {"t": "{first.__class__}"}}, "first.__class__"),
        ({"run_id": "run"}, "require run_stamp"),
    ],
)
def test_bad_attributes_are_refused_before_anything_is_sent(arguments, message):
    with pytest.raises(ProfileDataError, match=message):
        lines(DerivedAttributes(**arguments))


def test_privacy_rules_apply_to_derived_attributes():
    derived = DerivedAttributes(templates={"contact": "{last}"})
    hashed = PrivacyRules(PrivacyOptions(hash_attributes=["contact"]))
    assert len(lines(derived, ROWS[:1], privacy_rules=hashed).split(",")[-1]) == 64
    for options, message in (
        ({"block_attributes": ["last"]}, "contains 'last', which must not be sent"),
        ({"block_attributes": ["contact"]}, "'contact' must not be sent"),
        ({"hash_attributes": ["last"]}, "contains 'last', which hash_attributes sends as a digest"),
    ):
        with pytest.raises(ProfileDataError, match=message):
            lines(derived, attributes=["first", "last"], privacy_rules=PrivacyRules(PrivacyOptions(**options)))


def test_the_repr_has_names_only():
    derived = DerivedAttributes(constants={"c": "SECRET"}, templates={"t": "SECRET {a}"}, functions={"f": band})
    assert repr(derived) == "DerivedAttributes(constants=['c'], templates=['t'], functions=['f'])"


def test_encode_rows_shows_the_lines():
    derived = DerivedAttributes(constants={"c": "1"})
    assert encode_rows([{"id": "U1"}], id_column="id", derived=derived).files == [["batch=thirdPartyId,c", "U1,1"]]


def test_long_values_and_rows_are_checked():
    rows = [{"id": "U1", "a": "x" * 4_000}, {"id": "U2", "a": "y"}]
    derived = DerivedAttributes(templates={"t": "{a}{a}"})
    assert run_pipeline(rows, id_column="id", derived=derived).reasons == {"value_too_long": 1}


def test_derived_attributes_take_about_the_time_of_columns():
    table = pa.table({"id": [f"U{n}" for n in range(200_000)], "a": ["x"] * 200_000})
    started = time.process_time()
    run_pipeline(table.append_column("b", table["a"]).append_column("c", table["a"]), id_column="id")
    columns = time.process_time() - started
    derived = DerivedAttributes(constants={"b": "x"}, templates={"c": "{a}"})
    started = time.process_time()
    run_pipeline(table, id_column="id", derived=derived)
    assert time.process_time() - started < 3 * columns + 0.5
