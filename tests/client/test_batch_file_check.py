"""Every problem of a batch file, with line and column."""

from __future__ import annotations

import pytest

from airflow_provider_adobe_target.client.batch_file_check import (
    MAX_PROFILE_BYTES,
    check_batch_file,
    format_problems,
    row_problems,
)
from airflow_provider_adobe_target.exceptions import ProfileDataError

HEADER = b"batch=thirdPartyId,tier,city\n"


def found(problems):
    return [(problem.rule, problem.line, problem.column, problem.is_error) for problem in problems]


def test_a_valid_file_has_no_problem():
    body = HEADER + b"U1,gold,New%20York\nU2,,Z%C3%BCrich\nU3,silver\n"
    assert found(format_problems(body)) == found(row_problems(body)) == []


def test_every_reserved_character_is_listed_with_its_place():
    body = HEADER + b"U1,50% off,a&b\nU2,a+b,c=d\r\nU\t3,\xfcber,x"
    assert found(format_problems(body)) == [
        ("bare_percent", 2, 6, True),
        ("bare_ampersand", 2, 13, True),
        ("bare_plus", 3, 5, True),
        ("bare_equals", 3, 9, True),
        ("carriage_return", 3, 11, True),
        ("control_character", 4, 2, True),
        ("not_ascii", 4, 5, True),
    ]


def test_problems_of_the_whole_file_and_the_header_are_listed_together():
    body = b"\xef\xbb\xbfcustomer,\n\n\n"
    assert [problem.rule for problem in format_problems(body)] == [
        "byte_order_mark",
        "prefix",
        "empty_line",
        "empty_line",
        "id_column",
        "attribute_names",
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (b"U1,gold,Bern,CH", [("too_many_cells", 2, 14, True)]),
        (b",gold,Bern", [("missing_id", 2, 1, True)]),
        (b"%20,gold,Bern", [("missing_id", 2, 1, True)]),
        (b"U%2F1,gold,Bern", [("id_forbidden_character", 2, 1, True)]),
        (b"U%2B1,gold,Bern", [("id_forbidden_character", 2, 1, True)]),
        (b"U" * 257 + b",gold,Bern", [("id_too_long", 2, 1, True)]),
        (b"U%FF,gold,Bern", [("not_utf8", 2, 1, True)]),
        (b"U1,gold,%FF", [("not_utf8", 2, 9, True)]),
        (b"U1,,", [("empty_row", 2, 3, False)]),
        (b"U1", [("empty_row", 2, 3, False)]),
        (b"U1,a%2Cb,c%0Ad", [("encoded_delimiter", 2, 5, False), ("encoded_delimiter", 2, 11, False)]),
        (b"U%2c1,gold", [("encoded_delimiter", 2, 2, False)]),
        (b"U1," + b"x" * 257, [("long_value", 2, 4, False)]),
        (b'U1,gold,"Bern"', [("quote", 2, 9, False)]),
        (b"U1," + b"x" * (MAX_PROFILE_BYTES + 1), [("long_value", 2, 4, False), ("profile_too_large", 2, 1, True)]),
    ],
    ids=lambda value: value[0][0] if isinstance(value, list) else "",
)
def test_each_problem_of_a_row_is_listed_with_its_place(row, expected):
    assert found(row_problems(HEADER + row)) == expected


def test_the_length_limit_of_an_id_is_in_characters_and_depends_on_the_id_type():
    assert found(row_problems(HEADER + b"%C3%BC" * 256 + b",gold")) == []
    assert found(row_problems(b"batch=pcId,tier\n" + b"1" * 129 + b",gold")) == [("id_too_long", 2, 1, True)]


def test_each_repeated_id_is_listed():
    body = HEADER + b"U1,gold\nU2,gold\nU1,silver\nU1,bronze\n"
    problems = list(row_problems(body))
    assert found(problems) == [("duplicate_id", 4, 1, False), ("duplicate_id", 5, 1, False)]
    assert "Line 2 has the same id" in problems[0].message


def test_the_first_problem_of_the_list_is_the_error_of_the_check():
    body = HEADER + b"U1,a&b\nU2,c+d"
    with pytest.raises(ProfileDataError, match="a bare '&' in line 2, column 5. Adobe Target drops the rest"):
        check_batch_file(body)


@pytest.mark.parametrize(
    "profile_id",
    [b"U%2B1", b"U%2F1", b"U/1", b"U%0A1", b"U%FF", b"U" * 257, b"%20", b""],
    ids=["plus", "encoded slash", "slash", "line feed", "not UTF-8", "long", "blank", "empty"],
)
def test_an_id_that_is_an_error_of_the_list_is_one_of_the_check(profile_id):
    body = HEADER + b"U1,gold\n" + profile_id + b",gold\n"
    [problem] = [problem for problem in row_problems(body) if problem.is_error]
    with pytest.raises(ProfileDataError, match="in line 3, column 1") as error:
        check_batch_file(body)
    assert problem.message.removesuffix(".") in str(error.value)


@pytest.mark.parametrize("profile_id", [b"U%2C1", b"%C3%BC" * 256, b"crm:1|2", b"a%20b"])
def test_an_id_that_is_allowed_passes_the_check(profile_id):
    assert check_batch_file(HEADER + profile_id + b",gold\n").rows == 1


def test_no_message_contains_an_id_or_a_value():
    body = HEADER + b"secret/1,sec%FFret,sec%2Cret\nsecret/1," + b"secret" * 100 + b",a,b\n"
    problems = [*format_problems(body), *row_problems(body)]
    assert len(problems) >= 6
    assert not any("secret" in problem.message + problem.advice for problem in problems)
