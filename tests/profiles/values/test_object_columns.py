"""What Python values say, they say as a column too."""

from __future__ import annotations

import enum
import importlib
import io
import sys
import uuid
from collections import OrderedDict
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_provider_adobe_target.profiles.values import python_values
from airflow_provider_adobe_target.profiles.values.object_columns import from_objects
from airflow_provider_adobe_target.profiles.values.python_values import TextCells
from airflow_provider_adobe_target.profiles.values.to_text import to_text

UNSUPPORTED = "<unsupported>"
NAN = float("nan")
BERLIN = ZoneInfo("Europe/Berlin")


class Tier(enum.Enum):
    GOLD = "gold"
    ONE = 1


class TextTier(str, enum.Enum):
    GOLD = "gold"


class Rank(enum.IntEnum):
    FIRST = 1


class Name(str):
    __slots__ = ()

    def __str__(self):
        return "not the text it holds"


def outcome(array):
    column = to_text(array)
    marks = column.unsupported.to_pylist() if column.unsupported else [False] * len(array)
    return [UNSUPPORTED if mark else text for text, mark in zip(column.text.to_pylist(), marks, strict=True)]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        pytest.param([], pa.null(), [], id="nothing"),
        pytest.param([None, NAN, pd.NA, pd.NaT], pa.null(), [None] * 4, id="missing_only"),
        pytest.param(["a", "", None], pa.string(), ["a", None, None], id="str"),
        pytest.param(["a", NAN, pd.NA, pd.NaT], pa.string(), ["a", None, None, None], id="str_and_missing"),
        pytest.param([True, False, NAN], pa.bool_(), ["true", "false", None], id="bool"),
        pytest.param([2**63 - 1, -(2**63)], pa.int64(), [str(2**63 - 1), str(-(2**63))], id="int"),
        pytest.param([2**53 + 1, NAN], pa.int64(), ["9007199254740993", None], id="int_and_nan"),
        pytest.param([1.0, 0.1, None], pa.float64(), ["1", "0.1", None], id="float"),
        pytest.param([1, 2.5, NAN], pa.float64(), ["1", "2.5", None], id="int_and_float"),
        pytest.param([date(2026, 1, 31), pd.NaT], pa.date32(), ["2026-01-31", None], id="date"),
        pytest.param([datetime(1, 1, 1), None], pa.timestamp("us"), ["0001-01-01T00:00:00", None], id="datetime"),
        pytest.param([time(5, 0, 0, 1)], pa.time64("us"), ["05:00:00.000001"], id="time"),
        pytest.param([[1, 2], None, []], pa.list_(pa.int64()), ["1|2", None, None], id="list"),
        pytest.param([("a", None), ["b"]], pa.list_(pa.string()), ["a", "b"], id="tuple_and_list"),
        pytest.param([np.array(["a", "b"], object)], pa.list_(pa.string()), ["a|b"], id="numpy_strings"),
    ],
)
def test_values_of_one_kind_become_its_own_type(values, kind, expected):
    array = from_objects(values)
    assert array.type == kind
    assert outcome(array) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([True, 1], ["true", "1"], id="bool_and_int"),
        pytest.param([True, 1.5], ["true", "1.5"], id="bool_and_float"),
        pytest.param([2**53 + 1, 0.5], ["9007199254740993", "0.5"], id="int_no_float_holds"),
        pytest.param([2**64, -(2**63) - 1], [str(2**64), str(-(2**63) - 1)], id="int_beyond_64_bits"),
        pytest.param([10**5000], [UNSUPPORTED], id="int_python_does_not_write"),
        pytest.param(["a", 1, 2.5, None], ["a", "1", "2.5", None], id="mixed"),
        pytest.param([1e21, 1e-7, -0.0, "x"], ["1e+21", "1e-7", "0", "x"], id="floats_among_text"),
        pytest.param([float("inf"), "x"], [UNSUPPORTED, "x"], id="infinity_among_text"),
        pytest.param([Decimal("2"), Decimal("1.10")], ["2", "1.10"], id="decimals_as_given"),
        pytest.param([Decimal("1E+3"), Decimal("1E-9")], ["1000", "0.000000001"], id="decimal_exponents"),
        pytest.param(
            [Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")],
            [None, None, UNSUPPORTED],
            id="decimal_nan",
        ),
        pytest.param([Decimal("1" * 60)], ["1" * 60], id="decimal_of_60_digits"),
        pytest.param([uuid.UUID(int=1), None], [str(uuid.UUID(int=1)), None], id="uuid"),
        pytest.param([b"x", bytearray(b"x"), memoryview(b"x"), None], [*[UNSUPPORTED] * 3, None], id="bytes"),
        pytest.param([timedelta(1), pd.Timedelta(1)], [UNSUPPORTED] * 2, id="durations"),
        pytest.param([object(), {1}, 1j], [UNSUPPORTED] * 3, id="anything_else"),
        pytest.param(["\ud800", "ok", ""], [UNSUPPORTED, "ok", None], id="lone_surrogate"),
        pytest.param([Name("held"), np.str_("numpy")], ["held", "numpy"], id="str_subclasses"),
        pytest.param([Tier.GOLD, Tier.ONE, TextTier.GOLD, Rank.FIRST], ["gold", "1", "gold", "1"], id="enums"),
        pytest.param(
            [datetime(2026, 1, 31), date(2026, 1, 31)],
            ["2026-01-31T00:00:00", "2026-01-31"],
            id="datetime_and_date",
        ),
        pytest.param(
            [
                datetime(2026, 7, 1, tzinfo=BERLIN),
                datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=timezone.utc),
                datetime(2026, 1, 1, tzinfo=timezone(-timedelta(hours=3, minutes=30))),
                datetime(2026, 1, 1),
            ],
            [
                "2026-07-01T00:00:00+02:00",
                "2026-01-01T00:00:00.5Z",
                "2026-01-01T00:00:00-03:30",
                "2026-01-01T00:00:00",
            ],
            id="each_its_own_offset",
        ),
        pytest.param([time(5, tzinfo=timezone.utc), time(5)], ["05:00:00Z", "05:00:00"], id="time_with_zone"),
        pytest.param(
            [pd.Timestamp(1, unit="ns"), pd.Timestamp("2026-07-01T01:02:03.10", tz=BERLIN), pd.NaT],
            ["1970-01-01T00:00:00.000000001", "2026-07-01T01:02:03.1+02:00", None],
            id="pandas_timestamps",
        ),
        pytest.param(
            [np.float32(0.1), np.float16(0.1), np.float64(1e21), np.float32(NAN), np.float32("inf")],
            ["0.1", "0.1", "1e+21", None, UNSUPPORTED],
            id="numpy_floats",
        ),
        pytest.param(
            [np.int8(-1), np.uint64(2**64 - 1), np.bool_(True)],
            ["-1", str(2**64 - 1), "true"],
            id="numpy_ints",
        ),
        pytest.param(
            [
                np.datetime64("2026-01-31"),
                np.datetime64("2026-01-31T05"),
                np.datetime64("2026-01-31T05:06:07.120"),
                np.datetime64("2026-01"),
                np.datetime64("NaT"),
                np.datetime64("12026-01-01"),
                np.datetime64("-0001-01-01"),
                np.datetime64("0000-01-01"),
            ],
            [
                "2026-01-31",
                "2026-01-31T05:00:00",
                "2026-01-31T05:06:07.12",
                "2026-01-01",
                None,
                *[UNSUPPORTED] * 3,
            ],
            id="numpy_datetimes",
        ),
        pytest.param([np.timedelta64(1, "s"), np.timedelta64("NaT")], [UNSUPPORTED, None], id="numpy_durations"),
        pytest.param([{"a": 1}, "x", None], [UNSUPPORTED, "x", None], id="dict_among_text"),
        pytest.param([[1, "a"], [True, None], [NAN]], ["1|a", "true", None], id="list_of_mixed"),
        pytest.param([[1], "x", ["", ""], [""], []], ["1", "x", "|", None, None], id="list_among_text"),
        pytest.param([["a"], [b"x"], [Decimal("1.0")]], ["a", UNSUPPORTED, "1.0"], id="list_with_bytes"),
        pytest.param([[[1]], [2], []], [UNSUPPORTED, "2", None], id="list_in_list"),
        pytest.param([[{"a": 1}], ["x"]], [UNSUPPORTED, "x"], id="dict_in_list"),
        pytest.param([np.array([0.1, 0.5], np.float32)], ["0.1|0.5"], id="numpy_float32_list"),
        pytest.param([np.array([[1]]), np.array([1])], [UNSUPPORTED, "1"], id="numpy_matrix"),
        pytest.param([{1: "a"}, None], [UNSUPPORTED, None], id="dict_with_number_key"),
        pytest.param([{}, None], [None, None], id="empty_dict"),
    ],
)
def test_other_values_keep_each_its_own_text(values, expected):
    assert outcome(from_objects(values)) == expected
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    assert outcome(from_objects(objects)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", 1.5], True),
        (["a", np.float32(1)], True),
        ([2**53 + 1, 1.0], True),
        (["a", float("inf")], True),
        (["a", 1, NAN], False),
        ([Decimal("1.5"), NAN], True),
        ([Decimal("15"), NAN], False),
    ],
)
def test_floats_and_decimals_among_the_values_are_recorded(values, expected):
    assert from_objects(values).type.has_floats is expected


def test_dicts_become_a_struct_of_what_each_key_holds():
    rows = [{"a": 1, "b": True}, None, {"b": 1, "c": {"d": Decimal("1.50")}}, OrderedDict(a=2)]
    array = from_objects(rows)
    assert array.is_valid().to_pylist() == [True, False, True, True]
    a, b, c = array.flatten()
    assert [field.name for field in array.type] == ["a", "b", "c"]
    assert a.type == pa.int64()
    assert outcome(a) == ["1", None, None, "2"]
    assert outcome(b) == ["true", None, "1", None]
    assert outcome(c.flatten()[0]) == [None, None, "1.50", None]


MIXED = ["a", 1, None, b"x", 2.5, Decimal("1.10")]
EXPECTED = ["a", "1", None, UNSUPPORTED, "2.5", "1.10"]


def test_text_cells_survive_what_is_done_to_columns():
    array = from_objects(MIXED)
    assert array.is_null().to_pylist() == [text is None for text in EXPECTED]
    assert outcome(array[2:5]) == EXPECTED[2:5]
    assert outcome(array.take(pa.array([3, 0, None]))) == [UNSUPPORTED, "a", None]
    assert outcome(array.filter(pa.array([True, False] * 3))) == EXPECTED[::2]
    assert outcome(pa.concat_arrays([array, array[3:]])) == EXPECTED + EXPECTED[3:]
    batch = pa.record_batch({"cells": array})
    assert outcome(batch.slice(3)["cells"]) == EXPECTED[3:]
    table = pa.Table.from_batches([batch, batch]).filter(pa.array([True] * 12)).combine_chunks()
    assert outcome(table["cells"].chunk(0)) == EXPECTED * 2


@pytest.mark.parametrize("values", [MIXED, ["a", 1, None]])
def test_text_cells_survive_arrow_files(values):
    batch = pa.record_batch({"cells": from_objects(values)})
    file = io.BytesIO()
    with pa.ipc.new_stream(file, batch.schema) as writer:
        writer.write_batch(batch)
    read = pa.ipc.open_stream(file.getvalue()).read_next_batch()
    assert isinstance(read["cells"].type, TextCells)
    assert read["cells"].type == batch["cells"].type
    assert read["cells"].type.has_floats is (2.5 in values)
    assert outcome(read["cells"]) == outcome(batch["cells"])


def test_text_cells_may_be_imported_again(monkeypatch):
    array = from_objects(MIXED)
    monkeypatch.delitem(sys.modules, python_values.__name__)
    again = importlib.import_module(python_values.__name__)
    assert again.TextCells is not TextCells
    assert outcome(pa.ExtensionArray.from_storage(again.TextCells(), array.storage)) == EXPECTED


def test_ids_of_one_column_read_in_two_ways_are_the_same_text():
    assert outcome(from_objects([Decimal("10"), Decimal("20")])) == outcome(from_objects([10, 20])) == ["10", "20"]
