"""Treasure Data's settings, pasted into a DAG."""

from __future__ import annotations

import json
import logging

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.version_compat import AirflowFailException

PASTED = """
{
    "type": "adobe_target",
    "client_code": "acme",
    "access_token": "SECRET",
    "api_version": "V1",
    "guaranteed_upload": true,
    "skip_invalid_records": "false",
    "retry_limit": 7,
    "read_timeout_millis": 1000
}
"""


def become(operator):
    return (
        type(operator),
        operator.api_version,
        operator.guaranteed_upload,
        operator.skip_invalid_records,
        operator.sql,
        operator.retries,
    )


@pytest.mark.parametrize(
    "paste",
    [
        lambda own: BulkProfileUpdateOperator.from_treasure_data(PASTED, **own),
        lambda own: BulkProfileUpdateOperator.from_treasure_data(json.loads(PASTED), **own),
        lambda own: BulkProfileUpdateOperator.from_treasure_data(**json.loads(PASTED), **own),
        lambda own: BulkProfileUpdateOperator.from_treasure_data(
            {"result_connection": "target", "result_settings": json.loads(PASTED)}, **own
        ),
    ],
    ids=["text", "dict", "keywords", "workflow"],
)
def test_pasted_settings_become_an_operator_without_the_token(paste, caplog):
    operator = paste({"task_id": "upload", "sql": "SELECT 1", "sql_conn_id": "warehouse", "retries": 2})
    assert become(operator) == (BulkProfileUpdateOperator, "v1", True, False, "SELECT 1", 2)
    assert {record.args[0] for record in caplog.records} >= {"access_token", "retry_limit", "read_timeout_millis"}
    assert "SECRET" not in caplog.text + repr(vars(operator))


# The example of Treasure Data's own page, and the same as YAML.
EXAMPLE = (
    '{"type":"adobe_target","client_code":"xxx","profile_api_token":"xxx","api_version":"v1",'
    '"guaranteed_upload":false,"skip_invalid_records":true}'
)
EXAMPLE_AS_YAML = """
type: adobe_target
client_code: xxx
profile_api_token: xxx
api_version: v1
guaranteed_upload: false
skip_invalid_records: true
"""


@pytest.mark.parametrize("text", [EXAMPLE, EXAMPLE_AS_YAML, f"result_settings:{EXAMPLE_AS_YAML}".replace("\n", "\n  ")])
def test_the_example_of_treasure_data_works_when_pasted(text, caplog):
    operator = BulkProfileUpdateOperator.from_treasure_data(text, task_id="upload", sql="SELECT 1")
    assert become(operator)[1:4] == ("v1", False, True)
    assert operator._client_code == "xxx"
    assert "profile_api_token is not used" in caplog.text


def as_yaml(settings):
    return "\n".join(f"{name}:" for name in settings)


@pytest.mark.parametrize("absent", [{}, dict.fromkeys(json.loads(EXAMPLE))], ids=["absent", "null"])
@pytest.mark.parametrize("paste", [json.dumps, dict, as_yaml], ids=["JSON", "dict", "YAML"])
def test_null_and_absent_settings_mean_their_defaults(absent, paste):
    settings = paste(absent)
    operator = BulkProfileUpdateOperator.from_treasure_data(settings, task_id="upload", sql="SELECT 1")
    assert become(operator) == become(BulkProfileUpdateOperator(task_id="other", sql="SELECT 1"))
    assert operator._client_code is None


def test_null_settings_as_keyword_arguments_mean_their_defaults():
    nulls = {"api_version": None, "guaranteed_upload": None, "skip_invalid_records": None, "type": None}
    operator = BulkProfileUpdateOperator.from_treasure_data(task_id="upload", sql="SELECT 1", **nulls)
    assert become(operator) == become(BulkProfileUpdateOperator(task_id="other", sql="SELECT 1"))


@pytest.mark.parametrize("code", ["0123", "no", "1_000", "12:30", "2026-01-31", "0x1f", "1e5"])
def test_a_client_code_in_yaml_stays_text(code):
    operator = BulkProfileUpdateOperator.from_treasure_data(f"client_code: {code}", task_id="upload", sql="SELECT 1")
    assert operator._client_code == code


@pytest.mark.parametrize("version", ["v2", "V2", 2, "2"])
def test_a_version_is_read_in_any_spelling(version):
    operator = BulkProfileUpdateOperator.from_treasure_data(task_id="upload", sql="SELECT 1", api_version=version)
    assert operator.api_version == "v2"


def test_without_settings_the_defaults_are_the_operators():
    operator = BulkProfileUpdateOperator.from_treasure_data(task_id="upload", sql="SELECT 1")
    assert become(operator) == become(BulkProfileUpdateOperator(task_id="other", sql="SELECT 1"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"type": "s3"}, "type is not 'adobe_target'"),
        ({"sync_mode": "delete"}, "'sync_mode' is neither"),
        ({"api_version": "v3"}, "neither 'v1' nor 'v2'"),
        ({"guaranteed_upload": "maybe"}, "neither true nor false"),
        ("{", "not valid JSON"),
        ("[]", "not one JSON object"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(settings, words):
    with pytest.raises(ProfileDataError, match=words):
        BulkProfileUpdateOperator.from_treasure_data(settings, task_id="upload")


def test_another_account_than_the_settings_name_is_not_written_to(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    connection = {"conn_type": "adobe_target", "login": "other", "host": "http://127.0.0.1:9"}
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
    operator = BulkProfileUpdateOperator.from_treasure_data(PASTED, task_id="upload", data=[{"pcId": "1", "a": 1}])
    with pytest.raises(AirflowFailException, match="'acme', and the connection's login is 'other'"):
        operator.execute({})
