"""Values at the ends of their types have their true text, or none."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.values.to_text import to_text


def text_of(data):
    [batch] = read_data(data).record_batches()
    written = to_text(batch.column("v"))
    marks = written.unsupported.to_pylist() if written.unsupported is not None else [False] * len(batch)
    return [None if bad else text for text, bad in zip(written.text.to_pylist(), marks, strict=True)], marks


VALUES = [
    (2**64 - 1, str(2**64 - 1)),
    (np.uint64(2**64 - 1), str(2**64 - 1)),
    (-(2**63), str(-(2**63))),
    (2**100, str(2**100)),
    (Decimal(10**37), "1" + "0" * 37),
    (Decimal("1E+30"), "1" + "0" * 30),
    (np.datetime64("2026-01-31T05", "h"), "2026-01-31T05:00:00"),
    (np.datetime64("9999-12-31T23:59", "m"), "9999-12-31T23:59:00"),
    (np.datetime64("0001-01-01", "s"), "0001-01-01T00:00:00"),
    (np.datetime64("9999", "Y"), "9999-01-01"),
    (np.datetime64("1970-01-02T00:00:00.000000000001", "ps"), "1970-01-02T00:00:00.000000000001"),
    (Decimal("1E+999999999"), None),
    (Decimal("1E-999999999"), None),
    (np.datetime64(2**62, "h"), None),
    (np.datetime64(2**64 // 3600, "h"), None),  # in seconds this wraps round to 1969
    (np.datetime64(2**61, "W"), None),
    (np.datetime64(2**60, "D"), None),
    (np.datetime64("10000", "Y"), None),
    (np.datetime64("0000-12", "M"), None),
    (pd.Timestamp(np.datetime64("20000-01-01", "s")), None),
    (pd.Timestamp(np.datetime64("-0003-01-01", "s")), None),
]


@pytest.mark.parametrize(("value", "text"), VALUES, ids=lambda value: repr(value)[:50])
def test_a_python_value_has_its_true_text_or_none(value, text):
    for mixed in ([], ["x"]):
        texts, marks = text_of([{"v": value}, *({"v": other} for other in mixed)])
        assert (texts[0], marks[0]) == (text, text is None)


def far(unit):
    return pa.array([0, 2**63 - 1, -(2**63) + 1], pa.timestamp(unit))


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Zurich", "-05:00"])
def test_timestamps_at_the_ends_of_64_bits_have_no_text_form(unit, zone):
    table = pa.table({"v": far(unit).cast(pa.timestamp(unit, zone))})
    assert text_of(table)[1] == [False, True, True]


def test_arrow_numbers_at_the_ends_keep_their_digits():
    for array in (
        pa.array([2**64 - 1], pa.uint64()),
        pa.array([Decimal(10**75)], pa.decimal256(76, 0)),
        pa.array([Decimal("-0." + "1" * 38)], pa.decimal128(38, 38)),
    ):
        texts, _ = text_of(pa.table({"v": array}))
        assert texts == [format(array[0].as_py(), "f") if "decimal" in str(array.type) else str(array[0].as_py())]


def test_pandas_columns_beyond_nanoseconds_are_their_true_time():
    frame = pd.DataFrame({"v": pd.Series(np.array(["9999-12-31", "0001-01-01", "10000-01-01"], "M8[s]"))})
    assert text_of(frame)[0] == ["9999-12-31T00:00:00", "0001-01-01T00:00:00", None]
    assert text_of(pd.DataFrame({"v": pd.array([2**64 - 1, None], "UInt64")}))[0] == [str(2**64 - 1), None]


def test_polars_columns_at_the_ends_keep_their_values():
    assert text_of(pl.DataFrame({"v": pl.Series([2**64 - 1], dtype=pl.UInt64)}))[0] == [str(2**64 - 1)]
    assert text_of(pl.DataFrame({"v": pl.Series([2**100], dtype=pl.Int128)}))[0] == [str(2**100)]
    days = pl.Series([0, 2_932_896, 2_932_897, -719_163], dtype=pl.Int32).cast(pl.Date)
    assert text_of(pl.DataFrame({"v": days}))[0] == ["1970-01-01", "9999-12-31", None, None]
