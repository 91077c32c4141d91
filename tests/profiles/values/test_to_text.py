"""Each kind of value has one text. The expected texts are written out by hand."""

from __future__ import annotations

import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.values.object_columns import from_objects
from airflow_provider_adobe_target.profiles.values.to_text import to_text

UNSUPPORTED = "<unsupported>"
INT64_MAX, INT64_MIN = 2**63 - 1, -(2**63)
NAN, INFINITY = float("nan"), float("inf")


def outcome(array):
    """The texts of a column, None for null and UNSUPPORTED for what has no text form."""
    column = to_text(array)
    assert column.text.type == pa.string()
    assert len(column.text) == len(array)
    column.text.validate(full=True)
    texts = column.text.to_pylist()
    assert "" not in texts
    if column.unsupported is None:
        return texts
    marks = column.unsupported.to_pylist()
    assert set(marks) <= {True, False}
    assert True in marks
    assert not any(text is not None and mark for text, mark in zip(texts, marks, strict=True))
    return [UNSUPPORTED if mark else text for text, mark in zip(texts, marks, strict=True)]


def uuids(*values):
    storage = pa.array([None if value is None else value.bytes for value in values], pa.binary(16))
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def unknown_bytes(*cells):
    """A string column with bytes that are no UTF-8, as a broken file gives them."""
    binary = pa.array(cells, pa.binary())
    return pa.StringArray.from_buffers(len(binary), *binary.buffers()[1:], binary.buffers()[0])


def half(*values):
    return pa.array([None if value is None else np.float16(value) for value in values], pa.float16())


def column_cases():
    """Yield (name, array, expected) with as many cells in a column as belong together."""
    string = [
        "plain",
        " spaces kept ",
        "",
        None,
        "\x00",
        "%41",
        "a,b",
        "a\r\nb",
        "\u2028",
        "\U0010ffff",
        "e\u0301",
    ]
    kept = [*string[:2], None, None, *string[4:]]
    yield "string", pa.array(string), kept
    yield "large_string", pa.array(string, pa.large_string()), kept
    yield "string_view", pa.array(string).cast(pa.string_view()), kept
    yield "string_of_5000", pa.array(["ü" * 5000]), ["ü" * 5000]
    yield "string_looking_null", pa.array(["NaN", "null", "None", " "]), ["NaN", "null", "None", " "]
    yield "string_invalid_utf8", unknown_bytes(b"ok", b"\xff", None, b"", b"\xed\xa0\x80"), [
        "ok", UNSUPPORTED, None, None, UNSUPPORTED,
    ]  # fmt: skip
    for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64()):
        low, high = -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1
        yield str(kind), pa.array([0, -1, low, high, None], kind), ["0", "-1", str(low), str(high), None]
    for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()):
        yield (
            str(kind),
            pa.array([0, 2**kind.bit_width - 1, None], kind),
            ["0", str(2**kind.bit_width - 1), None],
        )
    yield "int64_beyond_doubles", pa.array([2**53 + 1]), ["9007199254740993"]
    yield "bool", pa.array([True, False, None]), ["true", "false", None]
    yield "null", pa.nulls(2), [None, None]
    yield "float64_whole", pa.array([3.0, -0.0, 1.7e12, NAN, None]), ["3", "0", "1700000000000", None, None]
    yield "float64_whole_infinite", pa.array([1.0, INFINITY, -INFINITY]), ["1", UNSUPPORTED, UNSUPPORTED]
    yield "float64_all_nan", pa.array([NAN, NAN]), [None, None]
    yield "float32", pa.array([0.1, 16777216.0, 3.4e38, 1e-7, 1e10, NAN, None, 0.30000001], pa.float32()), [
        "0.1", "16777216", "3.4e+38", "1e-7", "10000000000", None, None, "0.3",
    ]  # fmt: skip
    yield "float32_beyond_its_integers", pa.array([123456792.0, 1e20, 1e21, INFINITY], pa.float32()), [
        "123456790", "100000000000000000000", "1e+21", UNSUPPORTED,
    ]  # fmt: skip
    yield "float16", half(0.1, 2.5, -0.0, 2048, 65504, 6e-8, None, NAN, -INFINITY), [
        "0.1", "2.5", "0", "2048", "65500", "6e-8", None, None, UNSUPPORTED,
    ]  # fmt: skip
    for kind in (pa.decimal128(20, 9), pa.decimal256(60, 9)):
        values = [Decimal("0"), Decimal("1E-9"), Decimal("-1E-9"), Decimal("0.000001"), Decimal("12.5"), None]
        yield str(kind), pa.array(values, kind), [
            "0.000000000", "0.000000001", "-0.000000001", "0.000001000", "12.500000000", None,
        ]  # fmt: skip
    yield "decimal_scale_kept", pa.array([Decimal("12.50"), Decimal("-0.00")]), ["12.50", "0.00"]
    yield "decimal_whole", pa.array([Decimal(10) ** 37], pa.decimal128(38, 0)), ["1" + "0" * 37]
    yield "decimal_negative_scale", pa.array([Decimal("1.2E+4")], pa.decimal128(5, -2)), ["12000"]
    if hasattr(pa, "decimal32"):
        yield "decimal32", pa.array([Decimal("12.50"), None], pa.decimal32(5, 2)), ["12.50", None]
        yield "decimal64", pa.array([Decimal("0"), None], pa.decimal64(12, 9)), ["0.000000000", None]
    days = [date(1, 1, 1), date(1969, 12, 31), date(2026, 1, 31), date(9999, 12, 31), None]
    iso = ["0001-01-01", "1969-12-31", "2026-01-31", "9999-12-31", None]
    yield "date32", pa.array(days, pa.date32()), iso
    yield "date64", pa.array(days, pa.date64()), iso
    yield "date64_with_a_time", pa.array([-1, 86_399_999], pa.date64()), ["1969-12-31", "1970-01-01"]
    yield "date_outside_4_digits", pa.array([2_932_897, -719_163, 0, None], pa.date32()), [
        UNSUPPORTED, UNSUPPORTED, "1970-01-01", None,
    ]  # fmt: skip
    yield "time32_s", pa.array([0, 86_399, None], pa.time32("s")), ["00:00:00", "23:59:59", None]
    yield (
        "time32_ms",
        pa.array([0, 500, 86_399_001], pa.time32("ms")),
        ["00:00:00", "00:00:00.5", "23:59:59.001"],
    )
    yield "time64_us", pa.array([0, 1, None], pa.time64("us")), ["00:00:00", "00:00:00.000001", None]
    yield "time64_ns", pa.array([10, 10**9], pa.time64("ns")), ["00:00:00.00000001", "00:00:01"]
    yield "time_outside_a_day", pa.array([86_400_000_000, -1, 0], pa.time64("us")), [
        UNSUPPORTED, UNSUPPORTED, "00:00:00",
    ]  # fmt: skip
    yield "uuid", uuids(uuid.UUID(int=0), uuid.UUID("ABCDEF01-2345-6789-abcd-ef0123456789"), None), [
        "00000000-0000-0000-0000-000000000000", "abcdef01-2345-6789-abcd-ef0123456789", None,
    ]  # fmt: skip
    yield from timestamp_cases()
    yield from list_cases()
    yield from wrapped_cases()
    yield from formless_cases()


def timestamp_cases():
    def ticks(unit, zone, *values):
        return pa.array(values, pa.int64()).cast(pa.timestamp(unit, zone))

    yield "timestamp_s", ticks("s", None, 0, -1, -62_135_596_800, 253_402_300_799, None), [
        "1970-01-01T00:00:00", "1969-12-31T23:59:59", "0001-01-01T00:00:00", "9999-12-31T23:59:59", None,
    ]  # fmt: skip
    yield "timestamp_ms", ticks("ms", None, 1, -1, 1500), [
        "1970-01-01T00:00:00.001", "1969-12-31T23:59:59.999", "1970-01-01T00:00:01.5",
    ]  # fmt: skip
    yield "timestamp_us", ticks("us", None, 1, -1, 10**6, 123_450), [
        "1970-01-01T00:00:00.000001", "1969-12-31T23:59:59.999999", "1970-01-01T00:00:01",
        "1970-01-01T00:00:00.12345",
    ]  # fmt: skip
    yield "timestamp_us_years", ticks("us", None, -62_135_596_799_999_999, 253_402_300_799_999_999), [
        "0001-01-01T00:00:00.000001", "9999-12-31T23:59:59.999999",
    ]  # fmt: skip
    yield "timestamp_us_no_fraction", ticks("us", None, 10**7, None), ["1970-01-01T00:00:10", None]
    yield "timestamp_ns", ticks("ns", None, 1, INT64_MAX, INT64_MIN, 1_700_000_000_120_000_000), [
        "1970-01-01T00:00:00.000000001", "2262-04-11T23:47:16.854775807", "1677-09-21T00:12:43.145224192",
        "2023-11-14T22:13:20.12",
    ]  # fmt: skip
    yield "timestamp_outside_4_digits", ticks("us", None, INT64_MAX, INT64_MIN, 253_402_300_800_000_000, 0), [
        *[UNSUPPORTED] * 3, "1970-01-01T00:00:00",
    ]  # fmt: skip
    yield "timestamp_s_beyond", ticks("s", "UTC", INT64_MAX, INT64_MIN, 0), [
        *[UNSUPPORTED] * 2, "1970-01-01T00:00:00Z",
    ]  # fmt: skip
    yield "timestamp_utc", ticks("us", "UTC", 0, 500_000, None), [
        "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.5Z", None,
    ]  # fmt: skip
    yield "timestamp_utc_all_null", ticks("us", "UTC", None), [None]
    yield "timestamp_berlin", ticks("s", "Europe/Berlin", 1_768_000_000, 1_784_000_000, -3_000_000_000), [
        "2026-01-10T00:06:40+01:00", "2026-07-14T05:33:20+02:00", "1874-12-07T19:33:28+00:53:28",
    ]  # fmt: skip
    # 2026-10-25 01:00 UTC: three o'clock becomes two o'clock
    yield "timestamp_berlin_change", ticks("ms", "Europe/Berlin", 1_792_889_999_999, 1_792_890_000_000), [
        "2026-10-25T02:59:59.999+02:00", "2026-10-25T02:00:00+01:00",
    ]  # fmt: skip
    yield "timestamp_after_2037", ticks("s", "Europe/Berlin", 2_540_000_000, 2_550_000_000), [
        "2050-06-28T05:33:20+02:00", "2050-10-21T23:20:00+02:00",
    ]  # fmt: skip
    yield "timestamp_london_winter", ticks("s", "Europe/London", 1_768_000_000, 1_784_000_000), [
        "2026-01-09T23:06:40Z", "2026-07-14T04:33:20+01:00",
    ]  # fmt: skip
    yield "timestamp_fixed", ticks("us", "+02:00", 0), ["1970-01-01T02:00:00+02:00"]
    yield "timestamp_fixed_half", ticks("us", "-03:30", 1), ["1969-12-31T20:30:00.000001-03:30"]
    yield "timestamp_fixed_zero", ticks("us", "+00:00", 0), ["1970-01-01T00:00:00Z"]
    yield "timestamp_kathmandu", ticks("ns", "Asia/Kathmandu", 1_700_000_000_000_000_001), [
        "2023-11-15T03:58:20.000000001+05:45",
    ]  # fmt: skip
    yield "timestamp_ns_offset_overflows", ticks("ns", "+02:00", INT64_MAX, None, 0), [
        UNSUPPORTED, None, "1970-01-01T02:00:00+02:00",
    ]  # fmt: skip
    yield "timestamp_year_10000_by_offset", ticks("s", "+01:00", 253_402_300_799), [UNSUPPORTED]
    yield (
        "timestamp_year_9999_by_offset",
        ticks("s", "-01:00", 253_402_300_800),
        ["9999-12-31T23:00:00-01:00"],
    )
    yield "timestamp_year_1_berlin", ticks("s", "Europe/Berlin", -62_135_596_800), [
        "0001-01-01T00:53:28+00:53:28",
    ]  # fmt: skip


def list_cases():
    numbers = [[1, 2], [None, 3], None, [], [None]]
    joined = ["1|2", "3", None, None, None]
    yield "list", pa.array(numbers, pa.list_(pa.int64())), joined
    yield "large_list", pa.array(numbers, pa.large_list(pa.int64())), joined
    yield "list_view", pa.array(numbers, pa.list_view(pa.int64())), joined
    yield "large_list_view", pa.array(numbers, pa.large_list_view(pa.int64())), joined
    yield "fixed_size_list", pa.array([[1, 2], None, [None, 3]], pa.list_(pa.int8(), 2)), ["1|2", None, "3"]
    yield (
        "list_of_strings",
        pa.array([["a", "", "b"], [""], ["", ""], ["a|b", "c"]]),
        ["a||b", None, "|", "a|b|c"],
    )
    yield "list_of_floats", pa.array([[1.0, NAN, 0.5], [NAN], [INFINITY, 1.0]]), ["1|0.5", None, UNSUPPORTED]
    yield "list_of_bools", pa.array([[True, False]]), ["true|false"]
    yield "list_of_dates", pa.array([[date(2026, 1, 31), None]]), ["2026-01-31"]
    yield "list_of_times", pa.array([[datetime(2026, 1, 31, 5)]]), ["2026-01-31T05:00:00"]
    yield "list_of_decimals", pa.array([[Decimal("1.50"), Decimal("2.00")]]), ["1.50|2.00"]
    yield "list_of_uuids", pa.ListArray.from_arrays([0, 1], uuids(uuid.UUID(int=1))), [str(uuid.UUID(int=1))]
    yield "list_of_categories", pa.array([["a", "b"], []], pa.list_(pa.dictionary(pa.int8(), pa.string()))), [
        "a|b", None,
    ]  # fmt: skip
    yield "list_of_nulls", pa.array([[None], []], pa.list_(pa.null())), [None, None]
    yield "list_of_binary", pa.array([[b"x"], [None], []]), [UNSUPPORTED, None, None]
    yield "list_of_durations", pa.array([[timedelta(1)], None]), [UNSUPPORTED, None]
    yield (
        "list_of_lists",
        pa.array([[[1]], [[]], [None], None, []]),
        [UNSUPPORTED, UNSUPPORTED, None, None, None],
    )
    yield "list_of_structs", pa.array([[{"a": 1}], None]), [UNSUPPORTED, None]


def wrapped_cases():
    coded = pa.DictionaryArray.from_arrays([0, 1, 2, None, 3, 0], pa.array(["a", None, "", "ü"]))
    yield "dictionary", coded, ["a", None, None, None, "ü", "a"]
    yield "dictionary_larger_than_slice", coded.slice(4, 2), ["ü", "a"]
    yield "dictionary_of_floats", pa.array([1.5, INFINITY, 1.5, None]).dictionary_encode(), [
        "1.5", UNSUPPORTED, "1.5", None,
    ]  # fmt: skip
    unused = pa.DictionaryArray.from_arrays([0, 0, 0], pa.array([1.0, INFINITY]))
    yield "dictionary_unused_unsupported", unused, ["1", "1", "1"]
    runs = pa.RunEndEncodedArray.from_arrays([2, 3, 5], ["x", None, ""])
    yield "run_end_encoded", runs, ["x", "x", None, None, None]
    yield "run_end_encoded_slice", runs.slice(1, 2), ["x", None]
    tensor = pa.fixed_shape_tensor(pa.int8(), (2,))
    storage = pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2))
    yield "extension_by_storage", pa.ExtensionArray.from_storage(tensor, storage), ["1|2", "3|4"]
    if hasattr(pa, "bool8"):
        yield "bool8", pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())), [
            "true", "false", None,
        ]  # fmt: skip
    if hasattr(pa, "json_"):
        yield "json", pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', ""])), ['{"a":1}', None]


def formless_cases():
    for kind in (pa.binary(), pa.large_binary(), pa.binary(1), pa.binary_view()):
        yield f"binary_{kind}", pa.array([b"x", None], pa.binary(1)).cast(pa.binary()).cast(kind), [
            UNSUPPORTED, None,
        ]  # fmt: skip
    yield "binary_empty", pa.array([b""]), [UNSUPPORTED]
    for unit in ("s", "ms", "us", "ns"):
        yield f"duration_{unit}", pa.array([0, None], pa.duration(unit)), [UNSUPPORTED, None]
    interval = pa.array([pa.MonthDayNano([1, 2, 3]), None])
    yield "interval", interval, [UNSUPPORTED, None]
    yield "struct", pa.array([{"a": 1}, None]), [UNSUPPORTED, None]
    yield "map", pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())), [UNSUPPORTED, None]
    union = pa.UnionArray.from_sparse(pa.array([0, 1, 1], pa.int8()), [pa.array([1, 2, 3]), pa.array(["a", "b", None])])
    yield "union", union, [UNSUPPORTED, UNSUPPORTED, None]


FLOATS = {
    "3.0": "3", "-0.0": "0", "0.0": "0", "0.1": "0.1", "-0.1": "-0.1", "1e21": "1e+21",
    "1e20": "100000000000000000000", "-1e20": "-100000000000000000000", "1e-6": "0.000001", "1e-7": "1e-7",
    "1.234e-7": "1.234e-7", "123456789012.5": "123456789012.5", "-123456789012.5": "-123456789012.5",
    "1e10": "10000000000", "12345678901.0": "12345678901", "9999999999.5": "9999999999.5",
    "99999999999.25": "99999999999.25", "1.7e12": "1700000000000", "9007199254740992.0": "9007199254740992",
    "9007199254740994.0": "9007199254740994", "12345678901234567890.0": "12345678901234567000",
    "999999999999999900000.0": "999999999999999900000", "1.5e300": "1.5e+300", "-1.5e-300": "-1.5e-300",
    "5e-324": "5e-324", "1.7976931348623157e308": "1.7976931348623157e+308", "0.000123": "0.000123",
    "1e-5": "0.00001", "0.30000000000000004": "0.30000000000000004", "1e22": "1e+22", "4.35": "4.35",
    "100.0": "100", "1e6": "1000000", "9223372036854775807.0": "9223372036854776000",
}  # fmt: skip
COLUMNS = list(column_cases())
CELLS = [
    pytest.param(array.slice(row, 1), text, id=f"{name}-{row}")
    for name, array, expected in COLUMNS
    for row, text in enumerate(expected)
]


@pytest.mark.parametrize(("array", "expected"), [pytest.param(*case[1:], id=case[0]) for case in COLUMNS])
def test_a_column_has_its_text(array, expected):
    assert outcome(array) == expected


@pytest.mark.parametrize(("array", "expected"), CELLS)
def test_a_cell_has_the_same_text_by_itself(array, expected):
    assert outcome(array) == [expected]


@pytest.mark.parametrize(("written", "expected"), [pytest.param(*case, id=case[0]) for case in FLOATS.items()])
def test_a_float_is_written_as_javascript_writes_it(written, expected):
    number = float(written)
    assert outcome(pa.array([number])) == [expected]
    assert outcome(pa.array([number, 0.5])) == [expected, "0.5"]
    assert outcome(from_objects([number, "a"])) == [expected, "a"]


@pytest.mark.parametrize(("array", "expected"), [pytest.param(*case[1:], id=case[0]) for case in COLUMNS])
def test_slices_equal_the_whole(array, expected):
    for start in range(len(array) + 1):
        for stop in range(start, len(array) + 1):
            assert outcome(array[start:stop]) == expected[start:stop]


def test_a_slice_of_many_rows_equals_the_whole():
    generator = np.random.default_rng(5)
    valid = pa.array(generator.random(3000) < 0.8)
    for kind in (pa.float64(), pa.timestamp("us", "Europe/Berlin"), pa.decimal128(38, 9), pa.string()):
        numbers = pa.array(generator.integers(-(10**15), 10**15, 3000)).cast(pa.decimal128(19, 0))
        array = pc.if_else(valid, numbers.cast(pa.int64()).cast(kind), None)
        whole = outcome(array)
        assert outcome(array[1001:2047]) == whole[1001:2047]
        assert outcome(pa.chunked_array([array[:7], array[7:]]).chunk(1)) == whole[7:]


@pytest.mark.parametrize(("array", "expected"), [pytest.param(*case[1:], id=case[0]) for case in COLUMNS])
def test_a_plain_column_needs_no_encoding(array, expected):
    column = to_text(array)
    if column.plain:
        assert pc.all(pc.match_substring_regex(column.text, "^[A-Za-z0-9._~-]*$")).as_py() is not False


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1]),
        pa.array([True]),
        pa.array([date(2026, 1, 1)]),
        pa.array([Decimal("1.5")]),
        uuids(uuid.UUID(int=1)),
        pa.array([0.5, 1e20, 1e-9]),
        pa.array([1]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_numbers_dates_and_uuids_are_plain(array):
    assert to_text(array).plain


@pytest.mark.parametrize("array", [pa.array(["a"]), pa.array([1e21]), pa.array([datetime(2026, 1, 1)])])
def test_what_may_need_encoding_is_not_plain(array):
    assert not to_text(array).plain


@pytest.mark.parametrize("name", ["string", "float64", "timestamp", "list", "dictionary", "binary", "uuid", "run"])
def test_a_column_of_no_rows_has_no_texts(name):
    for case, array, _ in COLUMNS:
        if case.startswith(name):
            assert outcome(array[:0]) == []


def test_an_unknown_zone_is_named_with_a_hint():
    with pytest.raises(ProfileDataError, match=r"'Mars/Olympus'.*tzdata"):
        to_text(pa.array([0], pa.timestamp("s", "Mars/Olympus")))


def test_a_null_has_no_text_whatever_lies_beneath_it():
    garbage = pa.array([INT64_MAX, 5]).buffers()[1]
    validity = pa.py_buffer(bytes([0b10]))
    for kind in (
        pa.timestamp("us"),
        pa.timestamp("s", "Europe/Berlin"),
        pa.time64("us"),
        pa.date64(),
        pa.float64(),
    ):
        array = pa.Array.from_buffers(kind, 2, [validity, garbage])
        assert outcome(array)[0] is None
        assert to_text(array).unsupported is None


def test_every_half_float_is_written_in_round_trip_digits():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    texts = outcome(pa.array(every))
    assert (np.array(texts).astype(np.float16) == every).all()
    assert max(len(text.lstrip("-0.").replace(".", "").rstrip("0")) for text in texts if "e" not in text) == 5


def test_time_is_not_taken_for_a_timestamp():
    assert outcome(pa.array([time(5, 0, 0, 120_000)])) == ["05:00:00.12"]
