"""Tokens in real Airflow: read, rotated and monitored, and never stored or shown."""

import pytest

from support.real_airflow import connection

SECRET = "p8e-the-client-secret"


@pytest.fixture
def oauth(sandbox):
    def fields(**extra):
        places = {"ims_host": sandbox.url, "admin_host": sandbox.url}
        credential = {"client_id": "id", "client_secret": SECRET, "tenant_id": "acmeinc", **places, **extra}
        return {"AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": connection(sandbox, password=None, extra=credential)}

    return fields


@pytest.fixture
def run_quietly(run_dag, airflow, sandbox, tmp_path):
    """Run a DAG, and see that no token and no secret is left in any log, the database or a temporary file."""

    def run(source, **environment):
        result = run_dag(source, TMPDIR=str(tmp_path), **environment)
        places = {"log": result.logged, **dict(airflow.files())}
        places.pop(str(airflow.output))
        places |= {f"{table} {number}": row for number, (table, row) in enumerate(airflow.tables())}
        places |= {str(file): file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()}
        secrets = [SECRET, "t0ken-of-the-tests", sandbox.settings.token, *sandbox._state.tokens.access_tokens]
        assert not {place for place, text in places.items() for secret in secrets if secret and secret in text}
        return result

    return run


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_upload_needs_no_token_in_the_connection(run_quietly, sandbox, oauth, deferrable):
    run = run_quietly(
        f"""
BulkProfileUpdateOperator(
    task_id="upload", data=[{{"thirdPartyId": "U1", "tier": "gold"}}], deferrable={deferrable}, poll_interval=0.1
)
""",
        **oauth(),
    )
    assert run.states == {"upload": "success"}
    assert sandbox.profile("U1") == {"tier": "gold"}
    assert {call.method for call in sandbox.calls if call.route == "admin"} == {"GET"}
    # The triggerer of dag.test() is a process of its own only in some versions.
    assert len([call for call in sandbox.calls if call.route == "ims"]) <= 1


def test_single_updates_need_no_token_in_the_connection(run_quietly, sandbox, oauth):
    for number in range(60):
        sandbox.put_profile(f"U{number}", {"tier": "none"})
    run = run_quietly(
        """
from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator
rows = [{"thirdPartyId": f"U{n}", "tier": "gold"} for n in range(60)]
SingleProfileUpdateOperator(task_id="rows", data=rows) >> SingleProfileUpdateOperator(
    task_id="one", profile_id="U0", attributes={"tier": "silver"}
)
""",
        **oauth(),
    )
    assert run.states == {"rows": "success", "one": "success"}
    assert [sandbox.profile(f"U{number}")["tier"] for number in (0, 59)] == ["silver", "gold"]
    assert len([call for call in sandbox.calls if call.route == "admin"]) <= 2
    assert {call.headers["authorization"] for call in sandbox.calls if call.route in ("single", "fetch")} == {
        "Bearer t0ken-of-the-tests"
    }


def test_a_dry_run_makes_no_call_for_a_token(run_quietly, sandbox, oauth):
    run = run_quietly(
        'BulkProfileUpdateOperator(task_id="upload", data=[{"thirdPartyId": "U1", "a": "b"}], dry_run=True)', **oauth()
    )
    assert run.states == {"upload": "success"}
    assert sandbox.calls == []


ROTATE = """
try:
    from airflow.sdk.log import redact
except ImportError:
    try:
        from airflow.sdk.execution_time.secrets_masker import redact  # 3.0
    except ImportError:
        from airflow.utils.log.secrets_masker import redact
from airflow_provider_adobe_target.operators.adobe_target import RotateProfileTokenOperator
from airflow_provider_adobe_target.sensors.adobe_target import ProfileTokenSensor

def store(conn_id, token):
    assert conn_id == "adobe_target_default" and len(token) > 30
    print("stored", redact(token))

def fail(conn_id, token):
    raise ValueError(token)

sure = {"confirm": "rotate the token for every user of it"}
"""


def test_a_new_token_is_stored_and_not_shown_by_airflow(run_quietly, sandbox, oauth):
    run = run_quietly(ROTATE + 'RotateProfileTokenOperator(task_id="rotate", store_token=store, **sure)', **oauth())
    assert run.states == {"rotate": "success"}
    assert sandbox.settings.token != "t0ken-of-the-tests"
    assert "stored ***" in run.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('confirm="yes", store_token=store', "Nothing was done"),
        ('store_token="no.such.function", **sure', "cannot be imported"),
        ("store_token=None, **sure", "store_token must be a function"),
    ],
)
def test_an_unconfirmed_or_unstorable_rotation_makes_no_call(run_quietly, sandbox, oauth, arguments, words):
    run = run_quietly(ROTATE + f'RotateProfileTokenOperator(task_id="rotate", {arguments})', **oauth())
    assert run.states == {"rotate": "failed"}
    assert words in run.output
    assert sandbox.calls == []


def test_a_token_that_could_not_be_kept_is_not_rotated_again(run_quietly, sandbox, oauth):
    run = run_quietly(
        ROTATE + 'RotateProfileTokenOperator(task_id="rotate", store_token=fail, retries=2, **sure)', **oauth()
    )
    assert run.states == {"rotate": "failed"}
    assert "Do not rotate again" in run.output
    assert [call.method for call in sandbox.calls if call.route == "admin"] == ["GET", "POST"]


def test_the_sensor_fails_for_an_expired_token(run_quietly, sandbox, oauth):
    sandbox.settings.token_seconds = 0
    run = run_quietly(ROTATE + 'ProfileTokenSensor(task_id="look")', **oauth())
    assert run.result("look") == {"days_left": 0.0, "expires_at": None}


def test_the_sensor_fails_if_the_expiry_is_unknown(run_dag, sandbox):
    run = run_dag(ROTATE + 'ProfileTokenSensor(task_id="look")')
    assert run.states == {"look": "failed"}
    assert "client_id" in run.output
    assert "return_value" not in run.xcoms.get("look", {})
