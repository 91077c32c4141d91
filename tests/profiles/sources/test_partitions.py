from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.files import read_files
from airflow_provider_adobe_target.profiles.sources.partitions import dataset_files
from support.pipeline import run_pipeline


@pytest.fixture
def write(tmp_path):
    def write_parquet(name, columns):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)
        return path

    return write_parquet


def records_of(folder, pattern="**/*", columns=None):
    rows = read_files(dataset_files(folder, pattern))
    return [record for batch in rows.record_batches(columns) for record in batch.to_pylist()]


def test_folders_are_text_columns_and_files_are_read_in_order(write, tmp_path):
    write("day=2026-01-02/country=CH/b.parquet", {"id": ["3"]})
    write("day=2026-01-01/country=DE/b.parquet", {"id": ["2"]})
    write("day=2026-01-01/country=CH/a.parquet", {"id": ["1"]})
    assert records_of(tmp_path) == [
        {"id": "1", "day": "2026-01-01", "country": "CH"},
        {"id": "2", "day": "2026-01-01", "country": "DE"},
        {"id": "3", "day": "2026-01-02", "country": "CH"},
    ]


def test_what_arrow_itself_writes_is_read_back(tmp_path):
    table = pa.table({"id": ["1", "2", "3"], "place": ["a/b=c %", "Zürich", None]})
    pq.write_to_dataset(table, tmp_path / "set", partition_cols=["place"])
    records = records_of(tmp_path / "set")
    assert sorted(records, key=lambda record: record["id"]) == table.to_pylist()


def test_only_folders_below_the_one_named_are_columns(write, tmp_path):
    write("env=prod/day=1/a.parquet", {"id": ["1"]})
    assert records_of(tmp_path / "env=prod") == [{"id": "1", "day": "1"}]
    assert records_of(tmp_path / "env=prod" / "day=1", "*.parquet") == [{"id": "1"}]


def test_a_file_without_a_folder_of_the_others_has_null_there(write, tmp_path):
    write("day=1/a.parquet", {"id": ["1"]})
    write("z.parquet", {"id": ["2"]})
    assert records_of(tmp_path) == [{"id": "1", "day": "1"}, {"id": "2", "day": None}]


def test_a_column_of_the_file_wins_over_one_of_the_path(write, tmp_path):
    write("day=01/a.parquet", {"id": ["1"], "day": [1]})
    assert records_of(tmp_path) == [{"id": "1", "day": 1}]


def test_folders_that_are_not_requested_are_not_columns(write, tmp_path):
    write("day=1/country=CH/a.parquet", {"id": ["1"], "v": [1], "w": [2]})
    assert records_of(tmp_path, columns=["id", "country", "w"]) == [{"id": "1", "w": 2, "country": "CH"}]
    walked = run_pipeline(read_files(dataset_files(tmp_path)), id_column="id", attributes=["v", "country"])
    assert walked.lines == ["1,1,CH"]


@pytest.mark.parametrize("hidden", ["_temporary/0/a.parquet", ".staging/a.parquet", "_SUCCESS", "day=1/.a.parquet.crc"])
def test_marks_checksums_and_unfinished_work_are_passed_over(write, tmp_path, hidden):
    write("day=1/a.parquet", {"id": ["1"]})
    write(hidden, {"id": ["unfinished"]})
    assert [file.name for file in dataset_files(tmp_path)] == ["a.parquet"]
    assert [file.name for file in dataset_files(tmp_path, "**/*.parquet")] == ["a.parquet"]


def test_a_column_name_with_an_underscore_hides_no_folder(write, tmp_path):
    write("_day=1/a.parquet", {"id": ["1"]})
    assert records_of(tmp_path) == [{"id": "1", "_day": "1"}]


def test_a_pattern_may_match_hidden_files(write, tmp_path):
    write("_export/a.parquet", {"id": ["1"]})
    assert [file.name for file in dataset_files(tmp_path, "_export/*.parquet")] == ["a.parquet"]


# What is read


def test_columns_that_are_not_sent_are_not_read(tmp_path):
    table = pa.table({name: [f"{name} {number}" for number in range(1_000)] for name in ("id", "v", "unread")})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    chunk = pq.read_metadata(path).row_group(0).column(2)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset : chunk.data_page_offset + chunk.total_compressed_size] = bytes(
        chunk.total_compressed_size
    )
    path.write_bytes(content)
    rows = read_files([path])
    assert run_pipeline(rows, id_column="id", attributes=["v"]).sent == 1_000
    with pytest.raises(ProfileDataError, match="damaged"):
        run_pipeline(rows, id_column="id", attributes=["v", "unread"])


# Types of ids


@pytest.mark.parametrize(
    "floats", [pa.array([2.0]), pa.array([2.0]).dictionary_encode(), pa.array([2.0], pa.float32())]
)
def test_float_ids_in_a_later_file_are_found_before_reading(write, tmp_path, floats):
    write("1.parquet", {"id": ["1"], "v": ["x"]})
    second = write("2.parquet", {"id": floats, "v": ["x"]})
    with pytest.raises(ProfileDataError, match=f"'id' became floats in {second}"):
        run_pipeline(read_files(dataset_files(tmp_path)), id_column="id").lines  # noqa: B018


def test_ids_that_are_null_throughout_are_of_no_type(write, tmp_path):
    write("1.parquet", {"id": ["1"], "v": ["x"]})
    write("2.parquet", {"id": pa.array([None], pa.float64()), "v": ["y"]})
    write("3.parquet", {"id": pa.array([], pa.float64()), "v": pa.array([], pa.string())})
    walked = run_pipeline(read_files(dataset_files(tmp_path)), id_column="id")
    assert walked.lines == ["1,x"]


def test_attributes_may_be_floats_in_some_files(write, tmp_path):
    write("1.parquet", {"id": ["1"], "v": [1]})
    write("2.parquet", {"id": ["2"], "v": [2.0]})
    assert run_pipeline(read_files(dataset_files(tmp_path)), id_column="id").lines == ["1,1", "2,2"]
