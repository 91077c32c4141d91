"""What warehouses hold and nobody wants to send: each input by name, from its source to the exact body of a file.

Every one ends in one of three ways: the text that is sent, the reason why the row is not, or an error that says what to
do. There is no fourth.
"""

import enum
import gzip
import json
import sqlite3
from contextlib import closing, contextmanager
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest
from support.pipeline import cursor_source, run_pipeline

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.cursors import read_cursor
from airflow_provider_adobe_target.profiles.sources.files import read_files

EMPTY = object()


def case(name, value, sent=None, *, reject=None, error=None, **rules):
    return pytest.param(value, sent, reject, error, rules, id=name)


def broken_strings(*cells):
    """Make an Arrow string column of bytes that need not be UTF-8, as a file may hold."""
    binary = pa.array(cells, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())


class Tier(enum.Enum):
    GOLD = "gold"


class Plain:
    """A class of which nothing is known."""


class Level(str, enum.Enum):
    HIGH = "high"


# ------------------------------------------------------------------------------------------------------------------ ids

PC = {"id_type": "pcId"}

IDS = [
    case("plain", "customer-42", "customer-42"),
    case("none", None, reject="missing_id"),
    case("nan", float("nan"), reject="missing_id"),
    case("nat", pd.NaT, reject="missing_id"),
    case("pandas NA", pd.NA, reject="missing_id"),
    case("empty text", "", reject="missing_id"),
    case("one blank", " ", reject="missing_id"),
    case("blanks of many kinds", " \t\r\n\u00a0\u2003\u3000", reject="missing_id"),
    case("more blanks than an id may have characters", " " * 300, reject="missing_id"),
    case("blanks around it stay", "  U1 ", "%20%20U1%20"),
    case("blank inside stays", "a b", "a%20b"),
    case("no-break space inside stays", "a\u00a0b", "a%C2%A0b"),
    case("leading zeros stay", "00042", "00042"),
    case("looks like a float", "12345.0", "12345.0"),
    case("looks like null", "NULL", "NULL"),
    case("looks like nan", "nan", "nan"),
    case("plus", "a+b", reject="id_forbidden_character"),
    case("slash", "a/b", reject="id_forbidden_character"),
    case("backslash", "a\\b", "a%5Cb"),
    case("tab", "a\tb", reject="id_forbidden_character"),
    case("line feed at its end", "U1\n", reject="id_forbidden_character"),
    case("carriage return", "a\rb", reject="id_forbidden_character"),
    case("nul", "a\0b", reject="id_forbidden_character"),
    case("nul alone", "\0", reject="id_forbidden_character"),
    case("escape", "\x1b[0m", reject="id_forbidden_character"),
    case("delete", "a\x7f", reject="id_forbidden_character"),
    case("c1 control", "a\u0085b", reject="id_forbidden_character"),
    case("last c1 control", "a\u009f", reject="id_forbidden_character"),
    case("line separator", "a\u2028b", "a%E2%80%A8b"),
    case("zero-width space", "\u200b", "%E2%80%8B"),
    case("byte order mark", "\ufeffU1", "%EF%BB%BFU1"),
    case("lone surrogate", "a\ud800", reject="id_forbidden_character"),
    case("comma", "a,b", reject="id_forbidden_character"),
    case("comma, encode", "a,b", "a%2Cb", on_risky_value="encode"),
    case("comma, reject", "a,b", reject="id_forbidden_character", on_risky_value="reject"),
    case("line feed, encode", "a\nb", reject="id_forbidden_character", on_risky_value="encode"),
    case("carriage return", "a\rb", reject="id_forbidden_character"),
    case("comma and plus, reject", "a,+b", reject="id_forbidden_character", on_risky_value="reject"),
    case("quotes", '"a\'b"', "%22a%27b%22"),
    case("percent", "100%", "100%25"),
    case("encoded already", "a%2Cb", "a%252Cb"),
    case("encoded already, reject", "a%2Cb", "a%252Cb", on_risky_value="reject"),
    case("ampersand and equals", "a&b=c", "a%26b%3Dc"),
    case("e-mail address", "jo@example.com", "jo%40example.com"),
    case("umlaut", "Zoë", "Zo%C3%AB"),
    case("combining accent is not composed", "Zoe\u0308", "Zoe%CC%88"),
    case("emoji", "😀", "%F0%9F%98%80"),
    case("family of joined emoji", "👩\u200d👧", "%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7"),
    case("256 characters", "x" * 256, "x" * 256),
    case("257 characters", "x" * 257, reject="id_too_long"),
    case("256 emoji are 256 characters", "😀" * 256, "%F0%9F%98%80" * 256),
    case("257 emoji", "😀" * 257, reject="id_too_long"),
    case("257 characters and a plus", "+" * 257, reject="id_too_long"),
    case("pcId of 128 characters", "x" * 128, "x" * 128, **PC),
    case("pcId of 129 characters", "x" * 129, reject="id_too_long", **PC),
    case("pcId with a suffix", "1234-5678.28_0", "1234-5678.28_0", **PC),
    case("int", 42, "42"),
    case("zero", 0, "0"),
    case("negative int", -7, "-7"),
    case("int of 64 bits", 2**63 - 1, "9223372036854775807"),
    case("int of more than 64 bits", 10**30, "1" + "0" * 30),
    case("numpy int", np.int64(42), "42"),
    case("decimal without places", Decimal("12345"), "12345"),
    case("decimal of 30 digits", Decimal("1" * 30), "1" * 30),
    case("decimal with an exponent", Decimal("1E+3"), "1000"),
    case(
        "decimal with places", Decimal("12345.00"), error=r"'thirdPartyId' became floats.*CAST\(thirdPartyId AS VARCHAR"
    ),
    case("float", 12345.0, error="'thirdPartyId' became.*cast the column to text"),
    case("float that is no whole number", 0.5, error="'thirdPartyId' became"),
    case("numpy float", np.float32(1), error="'thirdPartyId' became"),
    case("bytes", b"U1", reject="unsupported_value"),
    case("duration", timedelta(1), reject="unsupported_value"),
    case("uuid", UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    case("date", date(2026, 1, 31), "2026-01-31"),
    case("enum", Tier.GOLD, "gold"),
]


@pytest.mark.parametrize("neighbour", [None, "U2"], ids=["alone", "among text"])
@pytest.mark.parametrize(("value", "sent", "reject", "error", "rules"), IDS)
def test_an_id_is_sent_as_it_is_or_not_at_all(value, sent, reject, error, rules, neighbour):
    rows = [{"thirdPartyId": value, "tier": "gold"}]
    lines = [f"{sent},gold"] if sent else []
    if neighbour:
        rows.append({"thirdPartyId": neighbour, "tier": "gold"})
        lines.append("U2,gold")
    check_outcome(rows, lines, reject, error, {"id_type": "thirdPartyId", **rules}, ["tier"])


def check_outcome(data, lines, reject, error, rules, names):
    key = rules.get("id_type", "thirdPartyId")
    if error:
        with pytest.raises(ProfileDataError, match=error):
            run_pipeline(data, **rules)
        return
    outcome = run_pipeline(data, **rules)
    assert outcome.bodies == (["\n".join([f"batch={','.join([key, *names])}", *lines])] if lines else [])
    assert outcome.reject_reasons == ([(0, reject)] if reject else [])


ID_COLUMNS = [
    case("float64", pa.array([12345.0]), error="became double.*12345.0"),
    case("float32", pa.array([1.0], pa.float32()), error="became float"),
    case("float of nothing but NaN", pa.array([np.nan]), error="became double"),
    case("float of nothing but null", pa.array([None], pa.float64()), reject="missing_id"),
    case("categories of floats", pa.array([1.0]).dictionary_encode(), error="became double"),
    case("runs of floats", pa.RunEndEncodedArray.from_arrays([1], pa.array([1.0])), error="became double"),
    case("decimal of scale 0", pa.array([Decimal(12345)], pa.decimal128(38, 0)), "12345"),
    case("decimal of scale 2", pa.array([Decimal("1.00")], pa.decimal128(10, 2)), error=r"became decimal128\(10, 2\)"),
    case("bool", pa.array([True]), error="type bool, which cannot be an id. Choose another id_column"),
    case("list", pa.array([["a"]]), error="type list.*cannot be an id"),
    case("struct", pa.array([{"a": "b"}]), error="type struct.*cannot be an id"),
    case("int8", pa.array([7], pa.int8()), "7"),
    case("uint64", pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
    case("large string", pa.array(["a b"], pa.large_string()), "a%20b"),
    case(
        "string view",
        pa.array(["long enough not to be inlined"], pa.string_view()),
        quote("long enough not to be inlined"),
    ),
    case("category", pa.array(["a b"]).dictionary_encode(), "a%20b"),
    case("uuid", pa.array([UUID(int=5).bytes], pa.uuid()), "00000000-0000-0000-0000-000000000005"),
    case("date", pa.array([date(2026, 1, 31)]), "2026-01-31"),
    case("timestamp", pa.array([datetime(2026, 1, 31)]), "2026-01-31T00%3A00%3A00"),
    case("binary", pa.array([b"U1"]), error="cannot be an id"),
    case("large binary", pa.array([b"U1"], pa.large_binary()), error="cannot be an id"),
    case("fixed-size binary", pa.array([b"U1"], pa.binary(2)), error="cannot be an id"),
    case("null", pa.nulls(1), reject="missing_id"),
    case("bytes that are not utf-8", broken_strings(b"a\xffb"), reject="id_forbidden_character"),
    case("surrogate written as utf-8", broken_strings(b"\xed\xa0\x80"), reject="id_forbidden_character"),
    case("utf-8 cut short", broken_strings(b"Z\xc3"), reject="id_forbidden_character"),
    case("nul written too long", broken_strings(b"\xc0\x80"), reject="id_forbidden_character"),
]


@pytest.mark.parametrize(("value", "sent", "reject", "error", "rules"), ID_COLUMNS)
def test_an_id_column_of_any_type_is_digits_text_or_an_error(value, sent, reject, error, rules):
    table = pa.table({"thirdPartyId": value, "tier": ["gold"]})
    check_outcome(table, [f"{sent},gold"] if sent else [], reject, error, rules, ["tier"])


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
    case("timestamp in a zone nobody knows", pa.array([0], pa.timestamp("s", "Mars/Olympus")), error="Mars/Olympus"),
    case("category", pa.array(["a b"]).dictionary_encode(), "a%20b"),
    case("runs", pa.RunEndEncodedArray.from_arrays([1], pa.array(["a b"])), "a%20b"),
    case("large list", pa.array([["a", None, "b"]], pa.large_list(pa.string())), "a%7Cb"),
    case("fixed-size list", pa.array([[1, 2]], pa.list_(pa.int64(), 2)), "1%7C2"),
]


@pytest.mark.parametrize(("value", "sent", "reject", "error", "rules"), VALUE_COLUMNS)
def test_a_column_of_any_arrow_type_is_text_or_its_rows_are_rejected(value, sent, reject, error, rules):
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


# ---------------------------------------------------------------------------------------------------------------- names

BUILT_IN = "it is built into Adobe Target.*attributes="

NAMES = [
    ("profile prefix", {"profile.tier": 1}, {}, r"'profile\.tier'.*adds 'profile\.' itself.*attributes="),
    ("profile prefix by nesting", {"profile": {"tier": 1}}, {}, r"'profile\.tier'.*itself"),
    ("profile prefix by mapping", {"t": 1}, {"attributes": {"t": "profile.t"}}, "'t' cannot be.*'profile.t'"),
    ("browserTime", {"browserTime": 1}, {}, BUILT_IN),
    ("averageDaysBetweenVisits", {"averageDaysBetweenVisits": 1}, {}, BUILT_IN),
    ("sessionCount", {"sessionCount": 1}, {}, BUILT_IN),
    ("firstSessionStart", {"firstSessionStart": 1}, {}, BUILT_IN),
    ("mobile", {"mobile.deviceModel": 1}, {}, BUILT_IN),
    ("geolocation by nesting", {"geolocation": {"city": "Ulm"}}, {}, r"'geolocation\.city'.*built into"),
    ("param", {"param": 1}, {}, BUILT_IN),
    ("parameter", {"parameter.x": 1}, {}, BUILT_IN),
    ("user", {"user.level": 1}, {}, BUILT_IN),
    ("crs by mapping", {"t": 1}, {"attributes": {"t": "crs.t"}}, BUILT_IN),
    ("entity", {"entity.id": 1}, {}, BUILT_IN),
    (
        "id key as attribute",
        {"pcId": 1},
        {"id_column": "pcId", "id_type": "pcId", "attributes": ["pcId"]},
        "name of the id",
    ),
    ("begins with a digit", {"2nd": 1}, {}, "a letter or underscore"),
    ("begins with a dot", {".a": 1}, {}, "a letter or underscore"),
    ("empty", {"": 1}, {}, "a letter or underscore"),
    ("blank", {" ": 1}, {}, "a letter or underscore"),
    ("blank inside", {"a b": 1}, {}, r"'a b'.*a letter or underscore.*attributes=\{'a b'"),
    ("umlaut", {"größe": 1}, {}, "a letter or underscore"),
    ("arabic digit", {"a٣": 1}, {}, "a letter or underscore"),
    ("comma", {"a,b": 1}, {}, "a letter or underscore"),
    ("line feed at its end", {"a\n": 1}, {}, "a letter or underscore"),
    ("percent", {"a%20b": 1}, {}, "a letter or underscore"),
    ("equals", {"a=b": 1}, {}, "a letter or underscore"),
    ("byte order mark", {"\ufefftier": 1}, {}, "a letter or underscore"),
    ("129 characters", {"x" * 129: 1}, {}, "at most 127"),
    ("129 characters by nesting", {"x" * 64: {"y" * 64: 1}}, {}, "at most 127"),
    ("blank key of a dict", {"a": {"b c": 1}}, {}, r"'a\.b c'.*a letter or underscore"),
    ("twice by flattening", {"a.b": 1, "a": {"b": 2}}, {}, r"'a\.b' comes up twice"),
    ("twice by mapping", {"a": 1, "b": 2}, {"attributes": {"a": "x", "b": "x"}}, "'x' comes up twice, from.*'a', 'b'"),
    (
        "twice by mapping and nesting",
        {"a": 1, "b": {"c": 2}},
        {"attributes": {"a": "x.c", "b": "x"}},
        r"'x\.c' comes up twice",
    ),
    ("twice in a list", {"a": 1}, {"attributes": ["a", "a"]}, "twice in attributes"),
    ("missing attribute", {"a": 1}, {"attributes": ["b"]}, "no column 'b' for attributes.*'a'"),
    (
        "attributes as one text",
        {"tier": 1},
        {"attributes": "tier"},
        r"attributes='tier' is not a list. Write \['tier'\]",
    ),
    ("missing id column", {"a": 1}, {"id_column": "b"}, "no column 'b' for id_column"),
    ("two possible ids", {"pcId": 1, "a": 1}, {}, "could each be the id.*id_column"),
    ("no attribute column", {}, {}, "no attribute column"),
]


@pytest.mark.parametrize("source", ["list", "cursor"])
@pytest.mark.parametrize(("columns", "rules", "error"), [pytest.param(*rest, id=name) for name, *rest in NAMES])
def test_a_name_that_target_would_not_take_ends_the_run(columns, rules, error, source):
    row = {"thirdPartyId": "SECRET", **columns}
    with pytest.raises(ProfileDataError, match=error) as raised:
        run_pipeline([row] if source == "list" else cursor_source(list(row), [tuple(row.values())]), **rules)
    assert "SECRET" not in str(raised.value)


NAMES_SENT = [
    ("id", {"id": "x"}, {}, "id", "x"),
    ("row_number", {"row_number": "x"}, {}, "row_number", "x"),
    ("reject_reason", {"reject_reason": "x"}, {}, "reject_reason", "x"),
    ("underscore", {"_": 1}, {}, "_", "1"),
    ("128 characters", {"x" * 128: 1}, {}, "x" * 128, "1"),
    ("dots and dashes", {"a.b-c_d": 1}, {}, "a.b-c_d", "1"),
    ("like a built-in one", {"users": 1}, {}, "users", "1"),
    ("profiles without the dot", {"profile": 1}, {}, "profile", "1"),
    ("a bad one, mapped", {"größe": 1}, {"attributes": {"größe": "size"}}, "size", "1"),
    ("the id too", {"t": 1}, {"attributes": {"thirdPartyId": "crm_id"}}, "crm_id", "U1"),
    ("three deep", {"a": {"b": {"c": {"d": 1}}}}, {}, "a.b.c.d", "1"),
    ("one of a dict", {"a": {"b": 1, "c": 2}}, {"attributes": ["a.c"]}, "a.c", "2"),
    ("a dict, mapped", {"a": {"b": 1}}, {"attributes": {"a": "x"}}, "x.b", "1"),
    ("a dotted column, mapped", {"a.b": 1}, {"attributes": {"a.b": "x"}}, "x", "1"),
]


@pytest.mark.parametrize("source", ["list", "cursor"])
@pytest.mark.parametrize(
    ("columns", "rules", "header", "line"), [pytest.param(*rest, id=name) for name, *rest in NAMES_SENT]
)
def test_a_name_that_target_takes_is_the_header(columns, rules, header, line, source):
    row = {"thirdPartyId": "U1", **columns}
    outcome = run_pipeline([row] if source == "list" else cursor_source(list(row), [tuple(row.values())]), **rules)
    assert outcome.bodies == [f"batch=thirdPartyId,{header}\nU1,{line}"]


# --------------------------------------------------------------------------------------------------------------- frames

U1 = {"thirdPartyId": "U1"}


def frame(**columns):
    return pd.DataFrame({"thirdPartyId": ["U1", "U2"], **columns})


def polars(**columns):
    return pl.DataFrame({"thirdPartyId": ["U1", "U2"], **columns}, strict=False)


def objects(*values):
    return pd.Series(values, dtype=object)


FRAMES = [
    ("pandas text", lambda: frame(v=["a", None]), ["U1,a"], 1),
    ("pandas nullable int", lambda: frame(v=pd.array([2**62 + 1, None], "Int64")), ["U1,4611686018427387905"], 1),
    ("pandas int that became float", lambda: frame(v=[3, None]), ["U1,3"], 1),
    ("pandas nullable bool", lambda: frame(v=pd.array([False, None], "boolean")), ["U1,false"], 1),
    ("pandas category", lambda: frame(v=pd.Categorical(["a", None], ["a", "unused"])), ["U1,a"], 1),
    ("pandas category of mixed types", lambda: frame(v=pd.Categorical(["a", 1])), ["U1,a", "U2,1"], 0),
    ("pandas arrow-backed", lambda: frame(v=pd.array(["ä", None], "string[pyarrow]")), ["U1,%C3%A4"], 1),
    (
        "pandas arrow decimal",
        lambda: frame(v=pd.array([Decimal("1.50"), None], pd.ArrowDtype(pa.decimal128(9, 2)))),
        ["U1,1.50"],
        1,
    ),
    (
        "pandas tz-aware",
        lambda: frame(v=pd.to_datetime(["2026-07-01", None]).tz_localize("Europe/Berlin")),
        ["U1,2026-07-01T00%3A00%3A00%2B02%3A00"],
        1,
    ),
    (
        "pandas mixed zones",
        lambda: frame(v=objects(datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 1, tzinfo=BERLIN))),
        ["U1,2026-01-01T00%3A00%3A00Z", "U2,2026-01-01T00%3A00%3A00%2B01%3A00"],
        0,
    ),
    ("pandas sparse", lambda: frame(v=pd.arrays.SparseArray([0, 7])), ["U1,0", "U2,7"], 0),
    ("pandas object of ints and bools", lambda: frame(v=objects(1, True)), ["U1,1", "U2,true"], 0),
    ("pandas object of dicts", lambda: frame(v=objects({"a": 1}, None)), ["U1,1"], 1),
    ("pandas nested dicts", lambda: frame(v=objects({"a": {"b": {"c": "x"}}}, {"a": None})), ["U1,x"], 1),
    ("pandas with an index that repeats", lambda: frame(v=["a", "b"]).set_axis([5, 5]), ["U1,a", "U2,b"], 0),
    ("pandas slice", lambda: pd.concat([frame(v=["x", "y"]), frame(v=["a", "b"])])[2:], ["U1,a", "U2,b"], 0),
    ("polars text", lambda: polars(v=["a", None]), ["U1,a"], 1),
    ("polars category", lambda: polars(v=pl.Series(["a", None], dtype=pl.Categorical)), ["U1,a"], 1),
    ("polars enum", lambda: polars(v=pl.Series(["a", None], dtype=pl.Enum(["b", "a"]))), ["U1,a"], 1),
    ("polars struct", lambda: polars(v=[{"a": {"b": 1}}, None]), ["U1,1"], 1),
    ("polars list", lambda: polars(v=[["a", None, "b"], []]), ["U1,a%7Cb"], 1),
    ("polars decimal", lambda: polars(v=pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(9, 2))), ["U1,1.50"], 1),
    (
        "polars zone",
        lambda: polars(v=pl.Series([datetime(2026, 7, 1), None]).dt.replace_time_zone("Europe/Berlin")),
        ["U1,2026-07-01T00%3A00%3A00%2B02%3A00"],
        1,
    ),
    ("polars int128", lambda: polars(v=pl.Series([2**100, None], dtype=pl.Int128)), [f"U1,{2**100}"], 1),
    ("polars lazy", lambda: polars(v=["a", "b"]).lazy(), ["U1,a", "U2,b"], 0),
    (
        "arrow table of many chunks",
        lambda: pa.concat_tables([pa.table({"thirdPartyId": [i], "v": [v]}) for i, v in [("U1", "a"), ("U2", "b")]]),
        ["U1,a", "U2,b"],
        0,
    ),
    (
        "arrow sliced",
        lambda: pa.table({"thirdPartyId": ["U0", "U1", "U2"], "v": ["x", "a,b", "b"]})[1:],
        ["U1,a%20b", "U2,b"],
        0,
    ),
    ("arrow reader", lambda: pa.table({"thirdPartyId": ["U1"], "v": ["a"]}).to_reader(), ["U1,a"], 0),
    ("arrow record batch", lambda: pa.record_batch({"thirdPartyId": ["U1"], "v": ["a"]}), ["U1,a"], 0),
    (
        "list of dicts with keys that come and go",
        lambda: [{**U1, "v": "a"}, {"v": "b"}, {"thirdPartyId": "U2"}],
        ["U1,a"],
        1,
    ),
    ("list of one row", lambda: [{**U1, "v": "a"}], ["U1,a"], 0),
    ("tuple of dicts", lambda: ({**U1, "v": "a"},), ["U1,a"], 0),
    ("dict that is empty in a row", lambda: [{**U1, "v": {"a": 1}}, {"thirdPartyId": "U2", "v": {}}], ["U1,1"], 1),
    ("all rows empty", lambda: frame(v=[None, ""]), [], 2),
    ("all rows bad", lambda: [{"thirdPartyId": "+", "v": 1}, {"thirdPartyId": None, "v": 1}], [], 0),
    ("no rows", lambda: frame(v=["a", "b"])[:0], [], 0),
    ("an empty list", lambda: [], [], 0),
    ("no rows, no columns", lambda: pd.DataFrame(), [], 0),
    ("no rows, no columns, polars", lambda: pl.DataFrame(), [], 0),
    ("no rows from a cursor", lambda: cursor_source(["thirdPartyId", "v"], []), [], 0),
]


@pytest.mark.parametrize(("data", "lines", "empty"), [pytest.param(*rest, id=name) for name, *rest in FRAMES])
def test_a_table_of_any_make_is_sent_row_by_row(data, lines, empty):
    outcome = run_pipeline(data())
    assert outcome.lines == lines
    assert outcome.empty == empty


WRONG_DATA = [
    ("a generator", lambda: (row for row in [U1]), "cannot be read from generator. Give a pandas"),
    ("a text", lambda: "thirdPartyId,v", "cannot be read from str"),
    ("bytes", lambda: b"thirdPartyId,v", "cannot be read from bytes"),
    ("a dict", lambda: {"thirdPartyId": ["U1"]}, "cannot be read from dict"),
    ("none", lambda: None, "cannot be read from NoneType"),
    ("a number", lambda: 7, "cannot be read from int"),
    ("a numpy array", lambda: np.array([["U1", "a"]]), "cannot be read from ndarray"),
    ("a pandas series", lambda: pd.Series(["U1"]), "cannot be read from Series"),
    ("a polars series", lambda: pl.Series(["U1"]), "cannot be read from Series"),
    ("a chunked array", lambda: pa.chunked_array([["U1"]]), "cannot be read from ChunkedArray"),
    ("a list of tuples", lambda: [("U1", "a")], "Item 0 of the list.*is tuple, not a dict"),
    ("a list with a none", lambda: [{**U1, "v": 1}, None], "Item 1 of the list.*NoneType"),
    ("a key that is no text", lambda: [{**U1, 1: "a"}], "Column 'int 1' cannot be the attribute"),
    ("a key with half a surrogate pair", lambda: [{**U1, "\ud800": "a"}], "half a surrogate pair"),
    (
        "pandas columns that share a name",
        lambda: pd.DataFrame([["U1", 1, 2]], columns=["thirdPartyId", "a", "a"]),
        "2 columns named 'a'",
    ),
    (
        "pandas columns that are ints",
        lambda: pd.DataFrame([["U1", 1]], columns=["thirdPartyId", 0]),
        "Column 'int 0' cannot be the attribute",
    ),
    (
        "pandas columns of two levels",
        lambda: pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_product([["a"], ["b", "c"]])),
        "MultiIndex.*join",
    ),
    (
        "pandas with its ids in the index",
        lambda: frame(v=[1, 2]).set_index("thirdPartyId"),
        "No column is named as an id",
    ),
    ("pandas rows without columns", lambda: pd.DataFrame(index=range(3)), "No column is named as an id"),
    (
        "arrow columns that share a name",
        lambda: pa.table([["U1"], ["a"]], names=["thirdPartyId", "thirdPartyId"]),
        "2 columns named 'thirdPartyId'",
    ),
    (
        "no rows, wrong columns",
        lambda: pd.DataFrame({"customer": [], "v": []}),
        "No column is named as an id.*'customer', 'v'",
    ),
    ("pandas ids that became float", lambda: pd.DataFrame({"thirdPartyId": [1, None], "v": 1}), "became double"),
    (
        "pandas category of float ids",
        lambda: pd.DataFrame({"thirdPartyId": pd.Categorical([1.0]), "v": 1}),
        "became double",
    ),
    ("polars float ids", lambda: pl.DataFrame({"thirdPartyId": [1.0], "v": [1]}), "became double"),
    (
        "a column of dicts and texts",
        lambda: [{**U1, "v": {"a": 1}}, {**U1, "v": "b"}],
        "'v' holds nested fields in some rows",
    ),
    (
        "a pandas column of dicts and texts",
        lambda: frame(v=objects({"a": 1}, "b")),
        "'v' holds nested fields in some rows",
    ),
    (
        "cursor columns that share a name",
        lambda: cursor_source(["thirdPartyId", "a", "a"], [("U1", 1, 2)]),
        "2 columns named 'a'",
    ),
    ("cursor with float ids", lambda: cursor_source(["thirdPartyId", "a"], [(1.0, 1)]), "became double"),
]


@pytest.mark.parametrize(("data", "error"), [pytest.param(*rest, id=name) for name, *rest in WRONG_DATA])
def test_what_cannot_be_rows_is_named(data, error):
    with pytest.raises(ProfileDataError, match=error):
        run_pipeline(data())


# -------------------------------------------------------------------------------------------------------- every source

TEXT_ROWS = [
    ("00042", "gold", "kept as it stands"),
    ("U1", "a,b", "comma"),
    ("U2", "line\nbreak", None),
    ("U3", 'say "hi"', "quotes"),
    (None, "gold", "no id"),
    ("a+b", "gold", "forbidden"),
    ("U4", None, None),
    ("U5", "Zürich 😀", "50% & more = +"),
    (" U6 ", "{{ ds }}", "null"),
    ("U1", "later", "duplicate"),
    ("U7", "x" * 5001, None),
]
LF = chr(10)
TEXT_LINES = [
    f"{quote(id_, safe='')},{quote(a.replace(',', ' ').replace(LF, ' '), safe='')},{quote(b or '', safe='')}"
    for number, (id_, a, b) in enumerate(TEXT_ROWS)
    if number not in (4, 5, 6, 9, 10)
]
COLUMNS = ["thirdPartyId", "a", "b"]


def text_table():
    return pa.table([pa.array(column, pa.string()) for column in zip(*TEXT_ROWS)], COLUMNS)


def parquet_files(folder):
    pa.parquet.write_table(text_table(), folder / "rows.parquet", row_group_size=3)
    return read_files([folder / "rows.parquet"])


def csv_files(folder):
    pa.csv.write_csv(text_table(), folder / "rows.csv")
    return read_files([folder / "rows.csv"])


def zipped_csv_files(folder):
    csv_files(folder)
    (folder / "rows.csv.gz").write_bytes(gzip.compress((folder / "rows.csv").read_bytes()))
    return read_files([folder / "rows.csv.gz"])


def ndjson_files(folder):
    (folder / "rows.ndjson").write_text("\n".join(json.dumps(row) for row in text_table().to_pylist()))
    return read_files([folder / "rows.ndjson"])


def one_file_of_each(folder):
    """Cut the rows into a Parquet, a CSV and an NDJSON file."""
    table = text_table()
    pa.parquet.write_table(table[:3], folder / "1.parquet")
    pa.csv.write_csv(table[3:8], folder / "2.csv")
    (folder / "3.jsonl").write_text("\n".join(json.dumps(row) for row in table[8:].to_pylist()))
    return read_files([folder / name for name in ("1.parquet", "2.csv", "3.jsonl")])


def sqlite_cursor(folder):
    with closing(sqlite3.connect(folder / "rows.db")) as connection, connection:
        connection.execute("CREATE TABLE profiles (thirdPartyId TEXT, a TEXT, b TEXT)")
        connection.executemany("INSERT INTO profiles VALUES (?, ?, ?)", TEXT_ROWS)

    @contextmanager
    def opened():
        with closing(sqlite3.connect(folder / "rows.db")) as connection, closing(connection.cursor()) as db_cursor:
            yield db_cursor.execute("SELECT * FROM profiles ORDER BY rowid")

    return read_cursor(opened, fetch_size=4)


SOURCES = {
    "list of dicts": lambda folder: text_table().to_pylist(),
    "pandas": lambda folder: text_table().to_pandas(),
    "pandas objects": lambda folder: pd.DataFrame(TEXT_ROWS, columns=COLUMNS, dtype=object),
    "polars": lambda folder: pl.DataFrame(TEXT_ROWS, schema=COLUMNS, orient="row"),
    "arrow": lambda folder: text_table(),
    "arrow reader": lambda folder: text_table().to_reader(max_chunksize=2),
    "parquet": parquet_files,
    "csv": csv_files,
    "gzipped csv": zipped_csv_files,
    "ndjson": ndjson_files,
    "one file of each kind": one_file_of_each,
    "sqlite cursor": sqlite_cursor,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_same_rows_are_the_same_bytes_from_every_source(source, tmp_path):
    outcome = run_pipeline(source(tmp_path))
    assert outcome.bodies == ["\n".join(["batch=thirdPartyId,a,b", *TEXT_LINES])]
    assert outcome.reject_reasons == [
        (4, "missing_id"),
        (5, "id_forbidden_character"),
        (9, "duplicate_id"),
        (10, "value_too_long"),
    ]
    assert outcome.empty == 1


def test_numbers_of_ndjson_keep_their_digits_and_csv_cells_are_text(tmp_path):
    (tmp_path / "rows.ndjson").write_text('{"thirdPartyId": 12345678901234567890, "v": 1e2, "w": 3.10, "x": null}\n')
    (tmp_path / "rows.csv").write_text("thirdPartyId,v,w,x\n007,1e2,3.10,\n")
    assert run_pipeline(read_files([tmp_path / "rows.ndjson"])).lines == ["12345678901234567890,100,3.1,"]
    assert run_pipeline(read_files([tmp_path / "rows.csv"])).lines == ["007,1e2,3.10,"]


WRONG_FILES = [
    ("csv, latin-1", "rows.csv", "thirdPartyId,v\nU1,Zürich\n".encode("latin-1"), "is not UTF-8"),
    ("csv, a cell too many", "rows.csv", b"thirdPartyId,v\nU1,a\nU2,SECRET,b\n", "line 3.*3 cells, the header 2"),
    ("csv, a column twice", "rows.csv", b"thirdPartyId,v,v\nU1,a,b\n", "2 columns named 'v'"),
    ("csv, empty", "rows.csv", b"", "has no header"),
    ("csv, an open quote", "rows.csv", b'thirdPartyId,v\nU1,"SECRET\nU2,b\n', "quoted cell is not closed"),
    ("csv, separated by semicolons", "rows.csv", b"thirdPartyId;v\nU1;a\n", "No column is named as an id"),
    ("csv.gz, not gzipped", "rows.csv.gz", b"thirdPartyId,v\nU1,a\n", "damaged"),
    ("ndjson, an array", "rows.json", b'[{"thirdPartyId": "SECRET"}]\n', "line 1.*no JSON object"),
    ("ndjson, cut short", "rows.ndjson", b'{"thirdPartyId": "U1", "v": 1}\n{"thirdPartyId": "SECR', "line 2"),
    ("ndjson, a key twice", "rows.ndjson", b'{"thirdPartyId": "U1", "v": 1, "v": 2}\n', "line 1: a key comes up twice"),
    ("ndjson, float ids", "rows.ndjson", b'{"thirdPartyId": 1.0, "v": 1}\n', "became"),
    (
        "ndjson, dicts and texts",
        "rows.ndjson",
        b'{"thirdPartyId":"U1","v":{"a":1}}\n{"thirdPartyId":"U2","v":"SECRET"}',
        "nested fields in some rows",
    ),
    ("parquet, not parquet", "rows.parquet", b"thirdPartyId,v\nSECRET,a\n", "damaged"),
    ("a name of no known kind", "rows.xlsx", b"", "of no known kind"),
]


@pytest.mark.parametrize(("name", "content", "error"), [pytest.param(*rest, id=name) for name, *rest in WRONG_FILES])
def test_a_file_that_cannot_be_read_is_named(name, content, error, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProfileDataError, match=error) as raised:
        run_pipeline(read_files([tmp_path / name]))
    assert "SECRET" not in str(raised.value)


# ---------------------------------------------------------------------------------------------------------------- rules

WRONG_RULES = [
    ({"id_type": "tntId"}, "id_type='tntId'"),
    ({"on_duplicate_id": "any"}, "on_duplicate_id='any' is not one of 'first', 'last', 'fail'"),
    ({"on_risky_value": "drop"}, "on_risky_value='drop' is not one of 'replace', 'reject', 'encode'"),
    ({"max_rows_per_file": 0}, "max_rows_per_file must be between 1 and 499,999"),
    ({"max_rows_per_file": 500_000}, "max_rows_per_file"),
    ({"max_rows_per_file": 1.5}, "max_rows_per_file must be a whole number between 1 and 499,999"),
    ({"max_rows_per_file": True}, "max_rows_per_file"),
    ({"max_rows_per_file": "9"}, "max_rows_per_file"),
    ({"max_bytes_per_file": 50_000_000}, "max_bytes_per_file"),
    ({"max_value_length": 0}, "max_value_length"),
    ({"max_invalid_pct": 101}, "max_invalid_pct must be between 0 and 100"),
    ({"max_invalid_pct": float("nan")}, "max_invalid_pct"),
]


@pytest.mark.parametrize(
    ("rules", "error"), WRONG_RULES, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_a_rule_that_cannot_be_is_named(rules, error):
    with pytest.raises(ProfileDataError, match=error):
        run_pipeline([{"thirdPartyId": "U1", "v": 1}], **rules)
