from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.profiles.sources.files import read_files
from airflow_provider_adobe_target.profiles.values.to_text import to_text

INT96 = {"use_deprecated_int96_timestamps": True}
MOMENTS = {
    "9999-12-31 00:00:00": "9999-12-31T00:00:00",
    "1500-01-01 00:00:00": "1500-01-01T00:00:00",
    "0001-01-01 00:00:00": "0001-01-01T00:00:00",
    "2262-04-12 00:00:00.5": "2262-04-12T00:00:00.5",
    "1677-09-20 23:59:59.999999": "1677-09-20T23:59:59.999999",
    "2026-01-31 23:59:59.123456": "2026-01-31T23:59:59.123456",
}


def texts(path: Path, column: str = "t") -> list[tuple[str | None, bool]]:
    found = []
    for batch in read_files([path]).record_batches():
        written = to_text(batch.column(column))
        marks = written.unsupported.to_pylist() if written.unsupported is not None else [False] * len(batch)
        found += zip(written.text.to_pylist(), marks, strict=True)
    return found


@pytest.mark.parametrize(("moment", "text"), MOMENTS.items())
def test_an_int96_timestamp_of_any_year_is_its_true_time(tmp_path, moment, text):
    table = pa.table({"t": pa.array([datetime.fromisoformat(moment), None], pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "a.parquet", **INT96)
    assert texts(tmp_path / "a.parquet") == [(text, False), (None, False)]


ROUND = 2**64 // 10**6  # seconds after which 64 bits of microseconds wrap round
SECONDS = [int((year - 1970) * 365.2425 * 86_400) for year in (10_000, 290_000, 294_300, 300_000, -1, -300_000)]


@pytest.mark.parametrize("seconds", [*SECONDS, ROUND + 1_700_000_000, ROUND - 14_000_000_000, 1_700_000_000 - ROUND])
def test_an_int96_timestamp_that_has_no_text_form_is_marked(tmp_path, seconds):
    table = pa.table({"n": ["x" * 9] * 50_000, "t": pa.array([*[0] * 49_998, seconds, None], pa.timestamp("s"))})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7_000, **INT96)
    found = texts(tmp_path / "a.parquet")
    assert found[-3:] == [("1970-01-01T00:00:00", False), (None, True), (None, False)]
    assert sum(bad for _, bad in found) == 1


@pytest.mark.parametrize("kind", ["list", "struct"])
def test_nested_int96_timestamps_do_not_wrap_round(tmp_path, kind):
    far = ROUND + 1_700_000_000
    if kind == "list":
        column = pa.array([[0, far], None, [], [86_400]], pa.list_(pa.timestamp("s")))
        expected = [(None, True), (None, False), (None, False), ("1970-01-02T00:00:00", False)]
    else:
        column = pa.array([{"at": far}, None, {"at": None}, {"at": 86_400}], pa.struct([("at", pa.timestamp("s"))]))
    pq.write_table(pa.table({"t": column}), tmp_path / "a.parquet", **INT96)
    if kind == "list":
        assert texts(tmp_path / "a.parquet") == expected
        return
    [batch] = read_files([tmp_path / "a.parquet"]).record_batches()
    assert batch.column("t").is_null().to_pylist() == [False, True, False, False]
    written = to_text(batch.column("t").flatten()[0])
    assert written.unsupported.to_pylist() == [True, False, False, False]
    assert written.text.to_pylist() == [None, None, None, "1970-01-02T00:00:00"]


def test_bytes_are_text_unless_an_arrow_schema_differs(tmp_path):
    table = pa.table({"id": pa.array([b"U1", "Zürich".encode(), b"\xff", None], pa.binary()), "n": [1, 2, 3, 4]})
    pq.write_table(table, tmp_path / "hive.parquet", store_schema=False)
    rows = read_files([tmp_path / "hive.parquet"])
    assert rows.schema.field("id").type == pa.string()
    assert texts(tmp_path / "hive.parquet", "id") == [("U1", False), ("Zürich", False), (None, True), (None, False)]


def test_bytes_that_arrow_wrote_as_bytes_stay_bytes(tmp_path):
    pq.write_table(pa.table({"t": pa.array([b"U1"], pa.binary())}), tmp_path / "a.parquet")
    assert texts(tmp_path / "a.parquet") == [(None, True)]
