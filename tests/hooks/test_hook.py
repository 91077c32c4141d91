"""The hook as a user calls it, against the sandbox."""

import hashlib
import json

import pytest

from airflow_provider_adobe_target.exceptions import ConnectionSettingsError, ProfileDataError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(token="t0ken-of-the-tests", processing_seconds=0, calls_per_minute=None) as sandbox:
        yield sandbox


@pytest.fixture
def connect(sandbox, monkeypatch):
    def with_fields(**fields):
        connection = {
            "conn_type": "adobe_target",
            "login": "acme",
            "host": sandbox.url,
            "password": "t0ken-of-the-tests",
        }
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps({**connection, **fields}))
        return AdobeTargetHook()

    return with_fields


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["no last line end", "a last line end"])
def test_a_file_is_sent_as_it_is_and_its_status_can_be_asked(connect, sandbox, tmp_path, end):
    body = b"batch=thirdPartyId,tier\nU1,gold\nU2,silver" + end
    (tmp_path / "batch.txt").write_bytes(body)
    hook = connect()

    receipt = hook.upload_batch(str(tmp_path / "batch.txt"))
    status = hook.get_batch_status(receipt["status_url"])

    assert (receipt["rows"], receipt["bytes"], receipt["status"]) == (2, len(body), "submitted")
    assert receipt["sha256"] == hashlib.sha256(body).hexdigest() == sandbox.batches[-1].sha256
    assert (status["batch_id"], status["status"], status["batch_size"]) == (receipt["batch_id"], "complete", 2)
    assert status["rows"] is None
    assert list(receipt) == list(status)
    assert sandbox.profile("U2") == {"tier": "silver"}


def test_a_file_that_would_make_orphans_is_refused_before_any_call(connect, sandbox, tmp_path):
    (tmp_path / "batch.txt").write_bytes(b"batch=pcId,tier\n1.01_00,gold")
    calls = len(sandbox.calls)

    with pytest.raises(ConnectionSettingsError, match="pcId with v2"):
        connect().upload_batch(tmp_path / "batch.txt")
    with pytest.raises(ProfileDataError, match="api_version='v3'"):
        connect().upload_batch(tmp_path / "batch.txt", "v3")
    assert len(sandbox.calls) == calls

    assert connect().upload_batch(tmp_path / "batch.txt", "v1")["rows"] == 1
    assert connect(extra={"uses_ecid": False}).upload_batch(tmp_path / "batch.txt")["rows"] == 1


@pytest.mark.parametrize(
    ("fields", "good", "words"),
    [
        ({}, True, "acme"),
        ({"password": "another"}, False, "token"),
        ({"login": "acmee"}, False, "client code"),
        ({"host": "http://127.0.0.1:9"}, False, "cannot be reached"),
        ({"password": "***"}, False, "Type the token again"),
        ({"login": ""}, False, "login is empty"),
    ],
    ids=["good", "refused token", "wrong client code", "unreachable", "placeholder", "not set"],
)
def test_the_connection_test_tells_causes_apart(connect, fields, good, words):
    answer = connect(**fields).test_connection()
    assert answer[0] is good
    assert words in answer[1]
    assert "t0ken-of-the-tests" not in answer[1]


@pytest.mark.parametrize(
    ("id_type", "stored_as"),
    [
        ("thirdPartyId", "thirdPartyId"),
        ("pcId", "pcId"),
        ("tntId", "pcId"),
        ("marketingCloudVisitorId", "marketingCloudVisitorId"),
        ("ECID", "marketingCloudVisitorId"),
    ],
)
def test_a_profile_is_looked_up_by_each_kind_of_id(connect, sandbox, id_type, stored_as):
    sandbox.put_profile("looked up & found.28_0", {"tier": "gold"}, stored_as)
    hook = connect()

    profile = hook.get_profile("looked up & found.28_0", id_type)

    assert (profile.profile_id, profile.values) == ("looked up & found.28_0", {"tier": "gold"})
    assert profile.attributes["tier"].modified_at.tzinfo is not None
    assert hook.get_profile("nobody", id_type) is None


def test_a_look_up_by_another_kind_of_id_is_refused(connect):
    with pytest.raises(ProfileDataError, match="id_type='customerId' is not one of thirdPartyId"):
        connect().get_profile("U1", "customerId")


def test_an_update_writes_what_is_given_and_creates_nobody(connect, sandbox):
    sandbox.put_profile("U7", {"tier": "gold"})
    hook = connect()

    hook.update_profile("U7", {"note": "a&b"})
    hook.update_profile("nobody", {"note": "a&b"})

    assert sandbox.profile("U7") == {"tier": "gold", "note": "a&b"}
    assert sandbox.profile("nobody") is None
