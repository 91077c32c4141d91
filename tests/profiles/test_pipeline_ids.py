"""Ids, from the source to the exact body of a file: sent unchanged, rejected with a reason, or an error."""

import enum
from datetime import date, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest

from support.pipeline_cases import broken_strings, case, check_outcome


class Tier(enum.Enum):
    GOLD = "gold"


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
