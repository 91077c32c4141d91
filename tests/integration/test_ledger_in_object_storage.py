"""A ledger in S3, over sockets: moto answers for Amazon, through an Airflow connection."""

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_adobe_target.ledger.claims import PENDING, open_claims
from airflow_provider_adobe_target.ledger.errors import LedgerConflictError
from airflow_provider_adobe_target.ledger.table import Control
from support.ledger_simulation import COMPLETE, Account

pytest.importorskip("moto.server")
boto3 = pytest.importorskip("boto3")
pytest.importorskip("s3fs")
pytest.importorskip("deltalake")

ROWS = {f"person-{number}": {"tier": "gold-value"} for number in range(20)}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """In a process of its own: some functions of delta-rs wait for the network without releasing Python's lock."""
    log = tmp_path_factory.mktemp("moto") / "log"
    command = [sys.executable, "-u", "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as server:
        try:
            while not (found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text())):
                assert server.poll() is None, log.read_text()
                time.sleep(0.05)
            keys = {"aws_access_key_id": "loader", "aws_secret_access_key": "of-the-tests", "region_name": "us-east-1"}
            yield boto3.resource("s3", endpoint_url=found[1], **keys).create_bucket(Bucket="lake")
        finally:
            server.terminate()


@pytest.fixture
def account(bucket, monkeypatch, request):
    extra = {"region_name": "us-east-1", "endpoint_url": bucket.meta.client.meta.endpoint_url}
    connection = {"conn_type": "aws", "login": "loader", "password": "of-the-tests", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER_LAKE", json.dumps(connection))
    return Account(f"s3://ledger_lake@lake/{request.node.name}")


def table_of(account):
    return account.ledger.table("acme", "thirdPartyId")


def objects(bucket, account):
    prefix = account.ledger.path.rpartition("/")[2] + "/"
    return {item.key[len(prefix) :]: item.get()["Body"].read() for item in bucket.objects.filter(Prefix=prefix)}


def test_rows_are_kept_and_compared(account, bucket):
    account.run(ROWS)
    counts = account.run({**ROWS, "person-1": {"tier": "tin"}}, "dag.b", as_of=1)
    assert (counts.rows_sent, counts.rows_unchanged) == (1, 19)
    assert account.held() == account.target.profiles
    assert not [name for name in objects(bucket, account) if name.startswith(PENDING)]


def test_a_batch_that_is_not_final_is_settled_by_the_next_run(account, bucket):
    account.run(ROWS, outcomes=[None], settles=False)
    assert any(name.startswith(PENDING) for name in objects(bucket, account))
    account.target.batches = dict.fromkeys(account.target.batches, COMPLETE)
    assert account.run(ROWS, as_of=1).rows_unchanged == 20
    assert open_claims(table_of(account).location, table_of(account).snapshot()) == []


def test_of_two_commits_of_one_version_one_conflicts(account):
    table = table_of(account)
    first, second = table.snapshot(), table.snapshot()
    table.commit(first, controls=[Control(0, "end", {"uid": "1"})])
    with pytest.raises(LedgerConflictError):
        table.commit(second, controls=[Control(0, "end", {"uid": "2"})])
    assert [control.content["uid"] for control in table.snapshot().controls] == ["1"]


def test_two_tasks_at_the_same_time(account):
    account.run(ROWS)
    tasks = {"dag.b": {id: {"city": "Rome"} for id in ROWS}, "dag.c": {id: {"age": "30"} for id in ROWS}}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda task: account.run(tasks[task], task, as_of=1), tasks))
    assert account.held() == {id: {"tier": "gold-value", "city": "Rome", "age": "30"} for id in ROWS}
    assert account.held() == account.target.profiles


def test_forgotten_people_are_in_no_object(account, bucket):
    account.run({**ROWS, "person-x": {"tier": "only-theirs"}})
    account.run({"person-x": {"tier": "also-theirs"}}, as_of=1, outcomes=[None], settles=False)
    assert account.ledger.forget(["person-x"]) == 1
    left = [name for name, body in objects(bucket, account).items() if b"person-x" in body or b"-theirs" in body]
    assert left == []
    assert account.held() == ROWS


def test_vacuum_removes_old_versions(account, bucket):
    for number in range(3):
        account.run({id: {"tier": str(number)} for id in ROWS}, as_of=number)
    before = {name for name in objects(bucket, account) if name.endswith(".parquet")}
    account.ledger.vacuum(keep_days=0)
    assert not before & objects(bucket, account).keys()
    assert account.held() == {id: {"tier": "2"} for id in ROWS}
