"""Files in S3, over sockets: moto answers for Amazon, and Airflow's own object storage asks."""

from __future__ import annotations

import gzip
import io
import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator, ReplayBatchesOperator
from airflow_provider_adobe_target.version_compat import AirflowFailException, ObjectStoragePath
from support.real_airflow import connection

moto_server = pytest.importorskip("moto.server")
boto3 = pytest.importorskip("boto3")
pytest.importorskip("s3fs")


def parquet(**columns):
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


OBJECTS = {
    "set/day=2026-01-01/b.parquet": parquet(thirdPartyId=["P2"], v=[2]),
    "set/day=2026-01-01/a.parquet": parquet(thirdPartyId=["P1"], v=[1]),
    "set/day=2026-01-02/a.parquet": parquet(thirdPartyId=["P3"], v=[3]),
    "set/_temporary/0/a.parquet": parquet(thirdPartyId=["unfinished"], v=[0]),
    "set/_SUCCESS": b"",
    "rows.csv": b"thirdPartyId,v\nC1,1\n",
    "rows.csv.gz": gzip.compress(b"thirdPartyId,v\nC2,1\n"),
    "rows.ndjson": b'{"thirdPartyId": "N1", "v": 1}\n{"v": 2}\n',
    "mixed/a.parquet": parquet(thirdPartyId=["M1"], v=[1]),
    "mixed/b.csv": b"thirdPartyId,v\nM2,1\n",
    "delta/_delta_log/00000000000000000000.json": b"{}",
    "delta/day=1/a.parquet": parquet(thirdPartyId=["erased"], v=[1]),
    "hudi/.hoodie/hoodie.properties": b"",
    "hudi/a.parquet": parquet(thirdPartyId=["erased"], v=[1]),
    "iceberg/metadata/00000-a.metadata.json": b"{}",
    "iceberg/data/a.parquet": parquet(thirdPartyId=["erased"], v=[1]),
    "parts/part-00000": b"thirdPartyId;v\nF1;1\n",
    "parts/part-00001": b"thirdPartyId;v\nF2;1\n",
}


@pytest.fixture(scope="module")
def s3():
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "loader", "aws_secret_access_key": "of-the-tests", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket="lake")
    for key, body in OBJECTS.items():
        client.put_object(Bucket="lake", Key=key, Body=body)
    extra = {"region_name": "us-east-1", "endpoint_url": url}
    yield json.dumps({"conn_type": "aws", "login": "loader", "password": "of-the-tests", "extra": extra})
    server.stop()


@pytest.fixture
def upload(s3, sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", s3)
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox))
    ti = SimpleNamespace(dag_id="d", task_id="up", run_id="r", map_index=-1, xcom_push=lambda **_: None)

    def run(path, **arguments):
        operator = BulkProfileUpdateOperator(task_id="up", path=path, poll_interval=0.1, deferrable=False, **arguments)
        return operator.execute({"ti": ti})

    return run


@pytest.mark.parametrize("path", ["s3://lake@lake/set", "s3://lake@lake/set/", "s3://lake@lake/set/**/*.parquet"])
def test_a_dataset_is_read_with_its_folders_as_columns(upload, sandbox, path):
    assert upload(path)["rows_read"] == 3
    assert sandbox.profile("P1") == {"v": "1", "day": "2026-01-01"}
    assert sandbox.profile("P3") == {"v": "3", "day": "2026-01-02"}


def test_the_files_of_one_folder_are_named_by_a_glob(upload, sandbox):
    assert upload("s3://lake@lake/set/day=2026-01-01/*.parquet")["rows_read"] == 2
    assert sandbox.profile("P2") == {"v": "2"}


@pytest.mark.parametrize(("name", "profile"), [("rows.csv", "C1"), ("rows.csv.gz", "C2"), ("rows.ndjson", "N1")])
def test_files_of_each_kind_are_read(upload, sandbox, name, profile):
    upload(f"s3://lake@lake/{name}")
    assert sandbox.profile(profile) == {"v": "1"}


def test_rejects_are_written(upload):
    report = upload("s3://lake@lake/rows.ndjson", rejects_path="s3://lake@lake/rejects")
    with ObjectStoragePath(report["rejects_path"]).open("rb") as stream:
        (row,) = pq.read_table(io.BytesIO(stream.read())).to_pylist()
    assert (row["row_number"], row["reject_reason"], row["v"]) == (1, "missing_id", "2")


def test_a_folder_with_files_of_other_kinds_is_refused(upload):
    with pytest.raises(
        AirflowFailException, match=r"is read as Parquet, but 's3://lake@lake/mixed/b\.csv' is not Parquet"
    ):
        upload("s3://lake@lake/mixed")


@pytest.mark.parametrize("path", ["s3://lake@lake/nothing.csv", "s3://lake@lake/nothing/*.csv"])
def test_a_missing_file_is_named(upload, path):
    with pytest.raises(AirflowFailException, match="There is no file|No file matches"):
        upload(path)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("delta", "Delta Lake"),
        ("delta/day=1/a.parquet", "Delta Lake"),
        ("delta/day=*/*.parquet", "Delta Lake"),
        ("hudi", "Apache Hudi"),
        ("hudi/*.parquet", "Apache Hudi"),
        ("iceberg/data", "Apache Iceberg"),
        ("**/*.parquet", "is a table of"),
    ],
)
def test_a_table_with_a_log_is_refused_by_name(upload, sandbox, path, kind):
    with pytest.raises(AirflowFailException, match=kind):
        upload(f"s3://lake@lake/{path}")
    assert not sandbox.batches


def test_a_cached_listing_of_some_files_hides_no_log(upload, sandbox, s3):
    entry = {"name": "lake/delta/day=1", "Key": "lake/delta/day=1", "type": "directory", "size": 0}
    ObjectStoragePath("s3://lake@lake/delta").fs.dircache["lake/delta"] = [entry]
    with pytest.raises(AirflowFailException, match="Delta Lake"):
        upload("s3://lake@lake/delta/day=1/a.parquet")
    assert not sandbox.batches


def test_files_without_a_suffix_are_read_in_the_named_format(upload):
    paths = [ObjectStoragePath(f"s3://lake@lake/parts/part-0000{number}") for number in (0, 1)]
    for path in (paths, str([str(path) for path in paths]), "s3://lake@lake/parts", "s3://lake@lake/parts/part-*"):
        assert upload(path, file_format="csv", csv_options={"delimiter": ";"})["rows_sent"] == 2


def test_an_archive_in_object_storage_can_be_replayed(upload, sandbox):
    report = upload("s3://lake@lake/rows.csv", archive_path="s3://lake@lake/archive")
    folder = ObjectStoragePath(report["archive_folder"])
    names = sorted(file.name for file in folder.iterdir())
    assert [name.partition(".")[2] for name in names] == ["json", "txt.gz"]
    ti = SimpleNamespace(dag_id="d", task_id="again", run_id="r", map_index=-1, xcom_push=lambda **_: None)
    replay = ReplayBatchesOperator(
        task_id="again", archive_path="s3://lake@lake/archive", statuses=["complete"], poll_interval=0.1
    )
    again = replay.execute({"ti": ti})
    assert again["batches"][0]["sha256"] == report["batches"][0]["sha256"]
    assert again["replay_of"] == [report["batches"][0]["batch_id"]]
    assert len(sandbox.batches) == 2
