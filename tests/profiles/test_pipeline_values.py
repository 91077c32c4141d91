"""Values and their sizes, from the source to the exact body of a file.

Each value is sent as text, its row is rejected with a reason, or an error names the remedy.
"""

import enum
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest

from support.pipeline import run_pipeline
from support.pipeline_cases import broken_strings, case, check_outcome

EMPTY = object()


class Tier(enum.Enum):
    GOLD = "gold"


class Plain:
    """A class of which nothing is known."""


class Level(str, enum.Enum):
    HIGH = "high"


# --------------------------------------------------------------------------------------------------------------- values

ENCODE, REJECT = {"on_risky_value": "encode"}, {"on_risky_value": "reject"}
BERLIN = ZoneInfo("Europe/Berlin")

VALUES = [
    case("plain", "gold", "gold"),
    case("blank", " ", "%20"),
    case("blanks around it stay", " a ", "%20a%20"),
    case("none", None, EMPTY),
    case("empty text", "", EMPTY),
    case("nan", float("nan"), EMPTY),
    case("nat", pd.NaT, EMPTY),
    case("pandas NA", pd.NA, EMPTY),
    case("decimal nan", Decimal("NaN"), EMPTY),
    case("empty list", [], EMPTY),
    case("list of nulls", [None, None], EMPTY),
    case("comma", "a,b", "a%20b"),
    case("comma, encode", "a,b", "a%2Cb", **ENCODE),
    case("comma and spaces are one space", "Paris ,  TX", "Paris%20TX"),
    case("comma, reject", "a,b", reject="risky_value", **REJECT),
    case("comma alone", " , ", EMPTY),
    case("line feed", "a\nb", "a%20b"),
    case("line feed, encode", "a\nb", "a%0Ab", **ENCODE),
    case("line feed, reject", "a\nb", reject="risky_value", **REJECT),
    case("carriage return", "a\rb", "a%20b"),
    case("carriage return, encode", "a\rb", "a%0Db", **ENCODE),
    case("carriage return, reject", "a\rb", reject="risky_value", **REJECT),
    case("cr lf, encode", "a\r\nb", "a%0D%0Ab", **ENCODE),
    case("cr lf is one space", "a\r\nb", "a%20b"),
    case("lf cr is one space", "a\n\rb", "a%20b"),
    case("delimiters at the ends are removed", ",a\r\n,b\r", "a%20b"),
    case("spaces elsewhere stay", " a, b  c ", "%20a%20b%20%20c%20"),
    case("line separator is not risky", "a\u2028b", "a%E2%80%A8b", **REJECT),
    case("next line is not risky", "a\u0085b", "a%C2%85b", **REJECT),
    case("full-width comma is not risky", "a\uff0cb", "a%EF%BC%8Cb", **REJECT),
    case("encoded comma is not risky", "a%2Cb", "a%252Cb", **REJECT),
    case("percent", "50% off", "50%25%20off"),
    case("ampersand", "a&b", "a%26b"),
    case("equals", "a=b", "a%3Db"),
    case("plus", "a+b", "a%2Bb"),
    case("batch marker", "batch=thirdPartyId", "batch%3DthirdPartyId"),
    case("quotes", "say \"hi\" and 'bye'", "say%20%22hi%22%20and%20%27bye%27"),
    case("semicolon, hash, question mark", ";#?", "%3B%23%3F"),
    case("url", "https://a.b/c?d=e", "https%3A%2F%2Fa.b%2Fc%3Fd%3De"),
    case("bare characters", "-_.~", "-_.~"),
    case("jinja", "{{ var.value.secret }}", "%7B%7B%20var.value.secret%20%7D%7D"),
    case("vertical bar", "a|b", "a%7Cb"),
    case("nul", "a\0b", "a%00b"),
    case("delete", "\x7f", "%7F"),
    case("tab", "a\tb", "a%09b"),
    case("umlaut", "Zürich", "Z%C3%BCrich"),
    case("combining", "u\u0308", "u%CC%88"),
    case("hangul", "한", "%ED%95%9C"),
    case("emoji", "😀", "%F0%9F%98%80"),
    case("zero-width joiner", "👩\u200d👧", "%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7"),
    case("right to left", "\u202eabc\u202c", "%E2%80%AEabc%E2%80%AC"),
    case("arabic", "مرحبا", quote("مرحبا")),
    case("byte order mark inside", "a\ufeffb", "a%EF%BB%BFb"),
    case("highest code point", "\U0010ffff", "%F4%8F%BF%BF"),
    case("lone surrogate", "\udfff", reject="unsupported_value"),
    case("256 characters", "x" * 256, "x" * 256),
    case("257 characters", "x" * 257, "x" * 257),
    case("5000 characters", "x" * 5000, "x" * 5000),
    case("5001 characters", "x" * 5001, reject="value_too_long"),
    case("5000 emoji are 5000 characters", "😀" * 5000, "%F0%9F%98%80" * 5000),
    case("5001 emoji", "😀" * 5001, reject="value_too_long"),
    case("at a limit of 3", "äöü", "%C3%A4%C3%B6%C3%BC", max_value_length=3),
    case("beyond a limit of 3", "abcd", reject="value_too_long", max_value_length=3),
    case("replaced to fit the limit", "a\r\nb", "a%20b", max_value_length=3),
    case("risky before it is too long", "a,bc", reject="risky_value", max_value_length=3, **REJECT),
    case("number beyond a limit of 3", 1234, reject="value_too_long", max_value_length=3),
    case("true", True, "true"),
    case("false is a value", False, "false"),
    case("zero is a value", 0, "0"),
    case("int", -12, "-12"),
    case("int of more than 64 bits", 2**70, str(2**70)),
    case("int of more digits than python writes", 10**5000, reject="unsupported_value"),
    case("whole float", 3.0, "3"),
    case("float", 0.1, "0.1"),
    case("negative zero", -0.0, "0"),
    case("float at its edge", 1e21, "1e%2B21"),
    case("float below the edge", 1e20, "100000000000000000000"),
    case("small float", 1e-7, "1e-7"),
    case("float32", np.float32(0.1), "0.1"),
    case("infinity", float("inf"), reject="unsupported_value"),
    case("negative infinity", float("-inf"), reject="unsupported_value"),
    case("decimal", Decimal("12.50"), "12.50"),
    case("small decimal", Decimal("1E-10"), "0.0000000001"),
    case("decimal infinity", Decimal("Infinity"), reject="unsupported_value"),
    case("date", date(2026, 1, 31), "2026-01-31"),
    case("time", datetime(2026, 1, 31, 23, 59, 59, 123400), "2026-01-31T23%3A59%3A59.1234"),
    case("midnight", datetime(2026, 1, 31), "2026-01-31T00%3A00%3A00"),
    case("time in utc", datetime(2026, 1, 31, tzinfo=timezone.utc), "2026-01-31T00%3A00%3A00Z"),
    case("time in berlin", datetime(2026, 7, 1, tzinfo=BERLIN), "2026-07-01T00%3A00%3A00%2B02%3A00"),
    case("nanoseconds", pd.Timestamp("2026-01-31T00:00:00.000000001"), "2026-01-31T00%3A00%3A00.000000001"),
    case("time of day", time(1, 2, 3), "01%3A02%3A03"),
    case("duration", timedelta(seconds=1), reject="unsupported_value"),
    case("pandas duration", pd.Timedelta("1s"), reject="unsupported_value"),
    case("uuid", UUID(int=2**127), "80000000-0000-0000-0000-000000000000"),
    case("enum", Tier.GOLD, "gold"),
    case("text enum", Level.HIGH, "high"),
    case("bytes", b"gold", reject="unsupported_value"),
    case("bytearray", bytearray(b"gold"), reject="unsupported_value"),
    case("set", {"a"}, reject="unsupported_value"),
    case("object", Plain(), reject="unsupported_value"),
    case("complex", 1j, reject="unsupported_value"),
    case("period", pd.Period("2026-01"), reject="unsupported_value"),
    case("list", ["a", "b"], "a%7Cb"),
    case("list with nulls", ["a", None, "b", float("nan")], "a%7Cb"),
    case("list of numbers", [1, 2.5, True], "1%7C2.5%7Ctrue"),
    case("list with commas", ["a,b", "c"], "a%20b%7Cc"),
    case("list with commas, reject", ["a,b", "c"], reject="risky_value", **REJECT),
    case("tuple", (1, 2), "1%7C2"),
    case("numpy array", np.array([1, 2]), "1%7C2"),
    case("list with infinity", [1.0, float("inf")], reject="unsupported_value"),
    case("list with bytes", ["a", b"b"], reject="unsupported_value"),
    case("nested list", [["a"]], reject="unsupported_value"),
    case("list of dicts", [{"a": 1}], reject="unsupported_value"),
    case("long list", ["x" * 100] * 50, reject="value_too_long"),
]


NEVER_TEXT = (timedelta, bytes, bytearray, set, complex, pd.Period, Plain)


@pytest.mark.parametrize("neighbour", [None, "text"], ids=["alone", "among text"])
@pytest.mark.parametrize(("value", "sent", "reject", "error", "rules"), VALUES)
def test_a_value_is_sent_whole_or_its_row_is_not(value, sent, reject, error, rules, neighbour):
    if neighbour is None and isinstance(value, NEVER_TEXT):
        reject, error = None, "no text form"
    rules = {"max_value_length": 5_000, **rules}
    other = neighbour if rules["max_value_length"] > 4 else neighbour and "text"[:3]
    rows = [{"thirdPartyId": "U1", "v": value, "w": 1}, {"thirdPartyId": "U2", "v": other, "w": 2}]
    lines = [f"U2,{other or ''},2"]
    if sent is EMPTY:
        lines.insert(0, "U1,,1")
    elif sent:
        lines.insert(0, f"U1,{sent},1")
    check_outcome(rows, lines, reject, error, rules, ["v", "w"])


def list_of_lists(*lists):
    return pa.array(lists, pa.list_(pa.list_(pa.string())))


VALUE_COLUMNS = [
    case("bytes that are not utf-8", broken_strings(b"a\xfe\xffb"), reject="unsupported_value"),
    case("a byte that would forge a separator", broken_strings(b"\xff"), reject="unsupported_value"),
    case("surrogate written as utf-8", broken_strings(b"\xed\xa0\x80"), reject="unsupported_value"),
    case(
        "category of broken bytes",
        pa.DictionaryArray.from_arrays([0], broken_strings(b"\xff")),
        reject="unsupported_value",
    ),
    case("list of broken bytes", pa.ListArray.from_arrays([0, 1], broken_strings(b"\xff")), reject="unsupported_value"),
    case("binary", pa.array([b"gold"]), error="no text form"),
    case("duration", pa.array([timedelta(1)]), error="no text form"),
    case("month interval", pa.array([pa.MonthDayNano([1, 2, 3])]), error="no text form"),
    case("map", pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), error="no text form"),
    case("list of lists", list_of_lists([["a"]]), error="no text form"),
    case("union", pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]), error="no text form"),
    case("infinity", pa.array([np.inf]), reject="unsupported_value"),
    case("year 10000", pa.array([2_932_897], pa.int32()).cast(pa.date32()), reject="unsupported_value"),
    case("nan", pa.array([np.nan]), EMPTY),
    case("null", pa.nulls(1), EMPTY),
    case("empty category", pa.array([""]).dictionary_encode(), EMPTY),
    case("half float", pa.array([np.float16(0.1)]), "0.1"),
    case("float32", pa.array([0.1], pa.float32()), "0.1"),
    case("decimal of scale 10", pa.array([Decimal("0.0000000001")], pa.decimal128(20, 10)), "0.0000000001"),
    case("decimal256", pa.array([Decimal(10) ** 60], pa.decimal256(76, 0)), "1" + "0" * 60),
    case("timestamp in seconds", pa.array([0], pa.timestamp("s")), "1970-01-01T00%3A00%3A00"),
    case("timestamp with an offset", pa.array([0], pa.timestamp("us", "+02:00")), "1970-01-01T02%3A00%3A00%2B02%3A00"),
    case("timestamp in an unknown zone", pa.array([0], pa.timestamp("s", "Mars/Olympus")), error="Mars/Olympus"),
    case("category", pa.array(["a b"]).dictionary_encode(), "a%20b"),
    case("runs", pa.RunEndEncodedArray.from_arrays([1], pa.array(["a b"])), "a%20b"),
    case("large list", pa.array([["a", None, "b"]], pa.large_list(pa.string())), "a%7Cb"),
    case("fixed-size list", pa.array([[1, 2]], pa.list_(pa.int64(), 2)), "1%7C2"),
]


@pytest.mark.parametrize(("value", "sent", "reject", "error", "rules"), VALUE_COLUMNS)
def test_a_column_of_any_type_is_text_or_its_rows_are_rejected(value, sent, reject, error, rules):
    table = pa.table({"thirdPartyId": ["U1"], "v": value, "w": [1]})
    lines = [] if reject else [f"U1,{'' if sent is EMPTY else sent},1"]
    check_outcome(table, lines, reject, error, rules, ["v", "w"])


# ---------------------------------------------------------------------------------------------------------------- sizes


def wide(total_bytes):
    """Make a row whose attributes, names and values, have so many bytes: 16 columns of at most 4,096."""
    names = [f"a{number:02d}" for number in range(16)]
    left = total_bytes - sum(map(len, names))
    row = {"thirdPartyId": "U1"}
    for number, name in enumerate(names):
        row[name] = "x" * (left // 16 + (1 if number < left % 16 else 0))
    return row


def test_64_kilobytes_of_attributes_pass():
    outcome = run_pipeline([wide(64_000)])
    assert outcome.sent == 1


def test_a_byte_more_is_too_large():
    outcome = run_pipeline([wide(64_001), {"thirdPartyId": "U2", "a00": "x"}])
    assert outcome.reject_reasons == [(0, "profile_too_large")]
    assert outcome.lines == ["U2,x" + "," * 15]


def test_attributes_without_a_value_take_no_room():
    row = wide(64_000) | {"n" * 100: None}
    assert run_pipeline([row]).sent == 1


def test_attributes_are_counted_in_utf8_not_as_encoded():
    row = {"thirdPartyId": "U1"} | {f"a{number}": "ä" * 4_900 for number in range(6)}
    assert run_pipeline([row]).sent == 1  # 58,812 bytes, 176,400 once encoded


def test_a_row_fits_a_file_to_the_byte_or_is_rejected():
    row = {"thirdPartyId": "U1", "v": "ä" * 10}
    size = len("batch=thirdPartyId,v\nU1," + "%C3%A4" * 10)
    assert run_pipeline([row], max_bytes_per_file=size).sent == 1
    assert run_pipeline([row], max_bytes_per_file=size - 1).reject_reasons == [(0, "profile_too_large")]


def test_a_file_without_room_for_its_header_rejects_every_row():
    assert run_pipeline([{"thirdPartyId": "U1", "v": "x"}], max_bytes_per_file=1).reasons == {"profile_too_large": 1}
