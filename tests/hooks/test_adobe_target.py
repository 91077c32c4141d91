"""The hook as a user calls it, against the sandbox."""

import hashlib
import json
import tempfile

import pytest

from airflow_provider_adobe_target.client.auth.authenticator import forget_all_tokens
from airflow_provider_adobe_target.exceptions import ConnectionSettingsError, ProfileDataError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.sandbox import Answer, Sandbox


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
def test_a_file_is_sent_unchanged_and_its_status_is_returned(connect, sandbox, tmp_path, end):
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


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xef\xbb\xbfbatch=thirdPartyId,tier\nU1,gold", "byte order mark"),
        (b"thirdPartyId,tier\nU1,gold", "must start with 'batch='"),
        (b"batch=thirdPartyId,tier\nU1,50% off", "'%' without two hexadecimal digits in line 2, column 6"),
        (b"batch=thirdPartyId,tier\nU1,gold\nU2,50%4", "'%' without two hexadecimal digits in line 3, column 6"),
        (b"batch=thirdPartyId,tier\nU1,a&b", "a bare '&' in line 2, column 5"),
        (b"batch=thirdPartyId,tier\nU1,a+b", "a bare '\\+' in line 2, column 5"),
        (b"batch=thirdPartyId,tier=1\nU1,a", "a bare '=' in line 1, column 24"),
        (b"batch=thirdPartyId,tier\nU1,Zo\xc3\xab", "not ASCII in line 2, column 6"),
        (b"batch=thirdPartyId,tier\r\nU1,gold", "a carriage return in line 1, column 24"),
        (b"batch=thirdPartyId,tier\nU1,a\tb", "a control character in line 2, column 5"),
        (b"batch=thirdpartyid,tier\nU1,gold", "must be named thirdPartyId or pcId"),
        (b"batch=thirdPartyId\nU1", "at least one attribute"),
        (b"batch=thirdPartyId,tier\n", "has 0 rows"),
        (b"batch=thirdPartyId,tier" + b"\nU,1" * 500_000, "has 500,000 rows"),
        (b"batch=thirdPartyId,tier\nU," + b"1" * 50_000_000, "at most 49,999,999"),
        (b"batch=thirdPartyId,tier\nU1,gold\n\nU2,gold", "Line 3, column 1 of the batch file is empty"),
        (b"batch=thirdPartyId,tier\nU1,gold\n\n", "Line 3, column 1 of the batch file is empty"),
        (b"batch=thirdPartyId,tier\n\n", "Line 2, column 1 of the batch file is empty"),
        (b"batch=thirdPartyId,tier,n\nU1,gold\nU2,a,1,x", "has 4 values, but the header has 3 names"),
        (b"batch=thirdPartyId,tier\nU1,gold\n,gold", "no id in line 3, column 1"),
        (b"batch=thirdPartyId,tier\n %20%09,gold\nU1,gold", "no id in line 2, column 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_adobe_would_misread_is_refused_first(connect, sandbox, tmp_path, body, message):
    (tmp_path / "batch.txt").write_bytes(body)
    calls = len(sandbox.calls)
    with pytest.raises(ProfileDataError, match=message):
        connect().upload_batch(tmp_path / "batch.txt")
    assert len(sandbox.calls) == calls


def test_encoded_delimiters_in_a_file_are_a_warning(connect, sandbox, tmp_path, mocker):
    (tmp_path / "batch.txt").write_bytes(b"batch=thirdPartyId,tier\nU1,a%2Cb\nU2,c%0ad\nU3,50%25")
    hook = connect()
    warning = mocker.spy(hook.log, "warning")
    hook.upload_batch(tmp_path / "batch.txt")
    message, count = warning.call_args.args
    assert "encoded commas or line breaks" in message
    assert count == "2"


def test_a_file_that_would_make_orphans_is_refused_before_any_call(connect, sandbox, tmp_path):
    (tmp_path / "batch.txt").write_bytes(b"batch=pcId,tier\n1.01_00,gold")
    calls = len(sandbox.calls)

    with pytest.raises(ConnectionSettingsError, match="pcId with api_version='v2'"):
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
        ({"password": "***"}, False, "Enter the token and the client secret again"),
        ({"login": ""}, False, "login must be the client code"),
    ],
    ids=["good", "refused token", "wrong client code", "unreachable", "placeholder", "not set"],
)
def test_the_connection_test_distinguishes_causes(connect, fields, good, words):
    answer = connect(**fields).test_connection()
    assert answer[0] is good
    assert words in answer[1]
    assert "t0ken-of-the-tests" not in answer[1]


@pytest.fixture
def oauth(connect, sandbox, monkeypatch, tmp_path):
    """Connect with an OAuth credential and, unless told otherwise, no token; what it changes is put back."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sandbox.settings, "client_id", "id")
    monkeypatch.setattr(sandbox.settings, "token", sandbox.settings.token)
    monkeypatch.setattr(sandbox.settings, "require_token", True)
    forget_all_tokens()
    places = {"ims_host": sandbox.url, "admin_host": sandbox.url}
    credential = {"client_id": "id", "client_secret": "p8e-secret", "tenant_id": "acmeinc", **places}
    yield lambda password=None, **extra: connect(password=password, extra={**credential, **extra})
    forget_all_tokens()


def test_a_token_is_read_if_the_connection_has_a_credential(oauth, sandbox, tmp_path):
    (tmp_path / "batch.txt").write_bytes(b"batch=thirdPartyId,tier\nU9,gold")
    calls = len(sandbox.calls)
    receipt = oauth().upload_batch(tmp_path / "batch.txt")
    assert oauth().get_batch_status(receipt["status_url"])["status"] == "complete"
    assert [call.route for call in sandbox.calls[calls:]] == ["ims", "admin", "submit", "status"]
    assert sandbox.calls[calls + 2].headers["authorization"] == "Bearer t0ken-of-the-tests"


@pytest.mark.parametrize(
    ("fields", "demanded", "good", "words"),
    [
        ({}, True, True, "Authentication is required. The current token expires in at most 90 days."),
        (
            {"password": "t0ken-of-the-tests"},
            True,
            True,
            "Authentication is required. The current token expires in at most 90",
        ),
        ({}, False, True, "Authentication is not required. The current token"),
        ({"password": "another"}, False, True, "The connection's password is a different token"),
        ({"password": "another"}, True, False, "The connection's password is a different token"),
        ({"client_id": "other"}, True, False, "IMS refused the OAuth credential"),
        ({"tenant_id": "other"}, True, False, "tenant_id"),
        ({"client_secret": "***"}, True, False, "client secret"),
        ({"tenant_id": None}, True, False, "Target requires a token"),
        ({"tenant_id": None, "password": "t0ken-of-the-tests"}, True, True, "the token is valid"),
    ],
)
def test_the_connection_test_reports_the_admin_api(oauth, sandbox, fields, demanded, good, words):
    sandbox.settings.require_token = demanded
    answer = oauth(**fields).test_connection()
    assert answer[0] is good
    assert words in answer[1]
    assert {call.method for call in sandbox.calls if call.route == "admin"} <= {"GET"}
    for secret in ("t0ken-of-the-tests", "p8e-secret"):
        assert secret not in answer[1]


def test_the_connection_test_does_not_wait_or_retry(oauth, sandbox):
    sandbox.script("admin", Answer(503))
    works, words = oauth().test_connection()
    assert not works
    assert "HTTP 503" in words


def test_the_connection_test_names_an_unused_token(oauth, sandbox):
    sandbox.settings.token = None
    works, words = oauth().test_connection()
    assert works
    assert "There is no valid token" in words


def test_a_token_is_rotated_only_with_the_explicit_argument(oauth, sandbox):
    hook, calls = oauth(), len(sandbox.calls)
    with pytest.raises(ConnectionSettingsError, match="rotate the token for every user of it"):
        hook.rotate_profile_token(confirm="yes")
    assert len(sandbox.calls) == calls
    token = hook.rotate_profile_token(confirm="rotate the token for every user of it")
    assert token.value == sandbox.settings.token == oauth().read_profile_token().value
    assert token.value not in repr(token)


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
    assert hook.get_profile("unknown", id_type) is None


def test_a_look_up_by_another_kind_of_id_is_refused(connect):
    with pytest.raises(ProfileDataError, match="id_type='customerId' is not one of thirdPartyId"):
        connect().get_profile("U1", "customerId")


def test_an_update_writes_attributes_and_creates_no_profile(connect, sandbox):
    sandbox.put_profile("U7", {"tier": "gold"})
    hook = connect()

    hook.update_profile("U7", {"note": "a&b"})
    hook.update_profile("unknown", {"note": "a&b"})

    assert sandbox.profile("U7") == {"tier": "gold", "note": "a&b"}
    assert sandbox.profile("unknown") is None
