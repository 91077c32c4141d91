"""The texts against a slow and simple reference, from the rules of ECMAScript and datetime's own."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_adobe_target.profiles.values.object_columns import from_objects
from airflow_provider_adobe_target.profiles.values.to_text import to_text

TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
ZONES = [
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "UTC",
]
EPOCH = datetime(1970, 1, 1)


def columns(cells, min_size=0):
    return st.lists(st.none() | cells, min_size=min_size, max_size=12)


def javascript(shortest):
    """Number::toString of ECMA-262, from the digits s (k of them) and n of `0.s * 10**n`."""
    sign, digits, exponent = Decimal(shortest).as_tuple()
    s = "".join(map(str, digits)).lstrip("0")
    n = len(s) + exponent
    s = s.rstrip("0")
    k = len(s)
    if not s:
        return "0"
    if k <= n <= 21:
        text = s + "0" * (n - k)
    elif 0 < n <= 21:
        text = f"{s[:n]}.{s[n:]}"
    elif -6 < n <= 0:
        text = f"0.{'0' * -n}{s}"
    else:
        text = s[0] + ("." + s[1:] if k > 1 else "") + f"e{'+' if n > 0 else '-'}{abs(n - 1)}"
    return "-" * sign + text


def moment(seconds, fraction, places, offset=None):
    """A wall time `seconds` after 1970 in UTC, shown at `offset`, with a fraction of so many places."""
    text = (EPOCH + timedelta(seconds=seconds) + (offset or timedelta())).isoformat(timespec="seconds")
    if fraction:
        text += f".{fraction:0{places}d}".rstrip("0")
    if offset is None:
        return text
    return text + datetime(2000, 1, 1, tzinfo=timezone(offset)).isoformat()[19:].replace("+00:00", "Z")


def texts(array):
    column = to_text(array)
    assert column.unsupported is None
    return column.text.to_pylist()


@given(columns(st.integers(-(2**63), 2**63 - 1)))
def test_integers_are_their_digits(values):
    assert texts(pa.array(values, pa.int64())) == [None if value is None else str(value) for value in values]


FINITE = st.floats(allow_nan=False, allow_infinity=False)
USUAL = st.integers(-(10**15), 10**15).map(lambda cents: cents / 100)
WHOLE = st.integers(-(2**60), 2**60).map(float)
BETWEEN = st.floats(1e9, 1e22) | st.floats(-1e22, -1e9)


@given(columns(FINITE | USUAL | WHOLE | BETWEEN | st.just(float("nan"))))
@example([1e10, 0.5])
@example([9007199254740993.0, -0.0, None])
def test_floats_are_written_by_the_rules_of_ecmascript(values):
    expected = [None if value is None or value != value else javascript(repr(value)) for value in values]
    assert texts(pa.array(values, pa.float64())) == expected
    assert texts(from_objects([*values, "text"])) == [*expected, "text"]


@given(columns(st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(0, 2**40).map(np.float32)))
def test_float32_is_written_in_the_digits_of_its_own_width(values):
    expected = [None if value is None else javascript(str(np.float32(value))) for value in values]
    assert texts(pa.array(values, pa.float32())) == expected
    scalars = [None if value is None else np.float32(value) for value in values]
    assert texts(from_objects([*scalars, "text"])) == [*expected, "text"]


# 34 digits, since pyarrow itself refuses to build some numbers of 37 and more with a negative scale.
@given(st.integers(-3, 30).flatmap(lambda s: st.tuples(st.just(s), columns(st.integers(-(10**34) + 1, 10**34 - 1)))))
def test_decimals_are_plain_digits_with_the_places_of_their_type(drawn):
    scale, unscaled = drawn
    exact = [
        None if number is None else Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -scale))
        for number in unscaled
    ]

    def plain(number):
        digits = str(abs(number)).rjust(max(scale, 0) + 1, "0") + "0" * max(-scale, 0)
        whole, places = (digits[:-scale], digits[-scale:]) if scale > 0 else (digits.lstrip("0") or "0", "")
        return "-" * (number < 0) + whole + ("." + places if places else "")

    expected = [None if number is None else plain(number) for number in unscaled]
    assert texts(pa.array(exact, pa.decimal128(38, scale))) == expected
    assert texts(pa.array(exact, pa.decimal256(60, scale))) == expected


@given(columns(st.decimals(allow_nan=False, allow_infinity=False, places=None)))
def test_python_decimals_are_plain_digits_as_given(values):
    for value, text in zip(values, texts(from_objects(values)), strict=True):
        if value is None:
            assert text is None
        else:
            assert re.fullmatch(r"-?\d+(\.\d+)?", text)
            assert Decimal(text) == value
            assert "." not in text or len(text.partition(".")[2]) == -value.as_tuple().exponent


@given(columns(st.dates()))
def test_dates_are_iso(values):
    expected = [None if value is None else value.isoformat() for value in values]
    assert texts(pa.array(values, pa.date32())) == expected
    assert texts(pa.array(values, pa.date64())) == expected


SECONDS = st.integers(-62_135_596_800, 253_402_300_799)
NANOSECOND_SECONDS = st.integers(-(2**63) // 10**9 + 1, 2**63 // 10**9 - 1)


def ticks(unit):
    """Seconds since 1970 and the ticks beyond them, often none or of few places."""
    ticks_per_second = TICKS_PER_SECOND[unit]
    fractions = st.just(0) | st.integers(0, ticks_per_second - 1)
    fractions |= st.integers(0, 9).map(lambda tenths: tenths * ticks_per_second // 10)
    return st.tuples(NANOSECOND_SECONDS if unit == "ns" else SECONDS, fractions)


def timestamps(unit, zone, values):
    per_second = TICKS_PER_SECOND[unit]
    numbers = [None if value is None else value[0] * per_second + value[1] for value in values]
    return pa.array(numbers, pa.int64()).cast(pa.timestamp(unit, zone))


UNIT_AND_TICKS = st.sampled_from(sorted(TICKS_PER_SECOND)).flatmap(
    lambda unit: st.tuples(st.just(unit), columns(ticks(unit)))
)


@given(UNIT_AND_TICKS)
def test_timestamps_are_iso_without_trailing_zeros(drawn):
    unit, values = drawn
    places = len(str(TICKS_PER_SECOND[unit])) - 1
    expected = [None if value is None else moment(*value, places) for value in values]
    assert texts(timestamps(unit, None, values)) == expected


@given(UNIT_AND_TICKS, st.sampled_from(ZONES))
def test_zoned_timestamps_are_wall_times_with_their_offset(drawn, zone):
    unit, values = drawn
    # What an offset can carry out of year 1, year 9999 or 64 bits has its own, exact tests.
    within = [value if value and abs(value[0] - 95_000_000_000) < 156_000_000_000 else None for value in values]
    if unit == "ns":
        within = [value if value and abs(value[0]) < 9_223_000_000 else None for value in within]
    places = len(str(TICKS_PER_SECOND[unit])) - 1
    expected = [None] * len(within)
    for row, value in enumerate(within):
        if value is not None:
            utc = EPOCH.replace(tzinfo=timezone.utc) + timedelta(seconds=value[0])
            expected[row] = moment(*value, places, utc.astimezone(ZoneInfo(zone)).utcoffset())
    assert texts(timestamps(unit, zone, within)) == expected


@given(st.lists(st.integers(-5400, 5400), min_size=1, max_size=30), st.sampled_from([2026, 1995, 2045]))
def test_offsets_are_exact_around_a_change(seconds, year):
    changes = [datetime(year, 3, 25, 1), datetime(year, 10, 25, 1)]
    moments = [change + timedelta(days=d, seconds=s) for change in changes for d in range(7) for s in seconds]
    array = pa.array(moments, pa.timestamp("us", "Europe/Berlin"))
    expected = [m.replace(tzinfo=timezone.utc).astimezone(ZoneInfo("Europe/Berlin")).isoformat() for m in moments]
    assert texts(array) == expected


@given(columns(st.datetimes(timezones=st.sampled_from([timezone.utc, *map(ZoneInfo, ZONES)]))))
def test_python_datetimes_keep_their_own_offset(values):
    for value, text in zip(values, texts(from_objects(values)), strict=True):
        if value is None:
            assert text is None
            continue
        assert not re.search(r"\.\d*0([+-]|Z|$)", text)
        wall, fraction, offset = re.fullmatch(r"(.{19})(\.\d+)?(Z|[+-].*)", text).groups()
        assert wall + (fraction or "").ljust(7, "0") == value.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (
            f".{value.microsecond:06d}" if fraction else "0" * 7
        )
        assert value.microsecond == 0 or fraction
        assert offset.replace("Z", "+00:00") == value.isoformat()[len(value.replace(tzinfo=None).isoformat()) :]


@given(columns(st.text()))
def test_text_is_unchanged(values):
    expected = [value or None for value in values]
    for kind in (pa.string(), pa.large_string()):
        assert texts(pa.array(values, kind)) == expected
        assert texts(pa.array(values, kind).dictionary_encode()) == expected
    assert texts(from_objects(values)) == expected


ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=3)


@given(columns(ANY_TEXT))
def test_text_with_lone_surrogates_has_no_text_form(values):
    column = to_text(from_objects(values))
    lone = [value is not None and re.search("[\ud800-\udfff]", value) is not None for value in values]
    expected = [None if bad else (value or None) for value, bad in zip(values, lone, strict=True)]
    assert column.text.to_pylist() == expected
    assert (column.unsupported.to_pylist() if column.unsupported else [False] * len(values)) == lone


ELEMENTS = st.one_of(
    st.lists(st.none() | st.text(max_size=3), max_size=4),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=4),
    st.lists(st.none() | st.booleans(), max_size=4),
    st.lists(st.none() | st.dates(), max_size=4),
)


@given(st.lists(st.none() | ELEMENTS, max_size=8))
def test_lists_are_joined_without_their_nulls(rows):
    def written(element):
        if isinstance(element, bool):
            return str(element).lower()
        return element.isoformat() if isinstance(element, date) else str(element)

    expected = ["|".join(written(element) for element in row or () if element is not None) or None for row in rows]
    assert texts(from_objects(rows)) == expected
    array = from_objects(rows)
    if pa.types.is_list(array.type) and not isinstance(array.type.value_type, pa.BaseExtensionType):
        assert texts(array.cast(pa.large_list(array.type.value_type))) == expected
        assert texts(array[1:]) == expected[1:]
