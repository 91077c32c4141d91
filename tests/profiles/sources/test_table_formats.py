from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.inputs.file_paths import read_paths
from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions
from airflow_provider_adobe_target.version_compat import ObjectStoragePath

FORMATS = {"Delta Lake": "_delta_log/0.json", "Apache Hudi": ".hoodie/hoodie.properties"}


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"thirdPartyId": ["U1"]}), path)


@pytest.fixture(params=FORMATS)
def table(request, tmp_path):
    folder = tmp_path / "lake" / "profiles"
    write(folder / "day=1" / "a.parquet")
    write(folder / "b.parquet")
    marker = folder / FORMATS[request.param]
    marker.parent.mkdir()
    marker.write_text("{}")
    (tmp_path / "link").symlink_to(folder / "day=1", target_is_directory=True)
    return request.param


@pytest.mark.parametrize(
    "path",
    [
        "lake/profiles",
        "lake/profiles/",
        "lake/profiles/b.parquet",
        "lake/profiles/*.parquet",
        "lake/profiles/day=1",
        "lake/profiles/day=1/a.parquet",
        "lake/profiles/day=*/*.parquet",
        "lake",
        "lake/*/*.parquet",
        "**/*.parquet",
        "link/a.parquet",
        "link",
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("file_format", [None, "parquet"])
def test_whatever_leads_into_a_table_is_refused_by_name(tmp_path, table, path, scheme, file_format):
    with pytest.raises(ProfileDataError, match=f"is a table of {table}") as caught:
        read_paths(f"{scheme}{tmp_path}/{path}", FileOptions(file_format))
    assert "through its log" in str(caught.value)


def test_a_relative_path_within_a_table_is_refused(tmp_path, table, monkeypatch):
    monkeypatch.chdir(tmp_path / "lake" / "profiles" / "day=1")
    if not ObjectStoragePath("a.parquet").exists():
        pytest.skip("this release of Airflow has no relative paths")
    for path in ("a.parquet", "*.parquet", ".", "./a.parquet"):
        with pytest.raises(ProfileDataError, match=table):
            read_paths(path)


def test_an_iceberg_table_is_refused(tmp_path):
    write(tmp_path / "t" / "data" / "day=1" / "a.parquet")
    (tmp_path / "t" / "metadata").mkdir()
    (tmp_path / "t" / "metadata" / "00000-a.metadata.json").write_text("{}")
    for path in ("t", "t/data", "t/data/day=1/a.parquet", "**/*.parquet"):
        with pytest.raises(ProfileDataError, match="Apache Iceberg"):
            read_paths(str(tmp_path / path))


def test_folders_beside_a_table_are_read(tmp_path, table):
    write(tmp_path / "lake" / "plain" / "data" / "a.parquet")
    (tmp_path / "lake" / "plain" / "metadata").mkdir()
    for path in ("lake/plain/data", "lake/plain/*/*.parquet", "lake/plain/data/a.parquet"):
        assert read_paths(str(tmp_path / path)).schema.names == ["thirdPartyId"]
