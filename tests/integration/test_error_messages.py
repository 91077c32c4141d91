"""What a user reads if something is wrong."""

from __future__ import annotations

import json
import logging
import socket
import sys
import traceback

import pytest

from airflow_provider_adobe_target import connection_form
from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.client.settings import _EXTRA_KEYS, TargetSettings
from airflow_provider_adobe_target.exceptions import BatchTimeoutError, ProfileDataError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sandbox import Sandbox
from airflow_provider_adobe_target.version_compat import AirflowFailException, AirflowSensorTimeout


@pytest.fixture
def connect(monkeypatch):
    def set_connection(**fields):
        connection = {"conn_type": "adobe_target", "login": "acme", **fields}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))

    return set_connection


@pytest.mark.parametrize(
    ("error", "becomes"), [(ProfileDataError, AirflowFailException), (BatchTimeoutError, AirflowSensorTimeout)]
)
def test_an_expected_error_is_shown_once(error, becomes):
    with pytest.raises(becomes) as caught, translate_errors():
        raise error("The columns are wrong.")
    assert "".join(traceback.format_exception(caught.value)).count("The columns are wrong.") == 1


@pytest.mark.parametrize("argument", ["path", "rejects_path"])
def test_a_missing_extra_is_named_and_is_no_reason_to_retry(connect, monkeypatch, argument):
    with Sandbox() as sandbox:
        connect(host=sandbox.url)
        monkeypatch.setitem(sys.modules, "s3fs", None)
        monkeypatch.setitem(sys.modules, "airflow.providers.amazon.aws.fs.s3", None)
        rows = {"data": [{"thirdPartyId": None, "tier": "a"}, {"thirdPartyId": "1", "tier": "a"}]}
        arguments = {"path": "s3://lake/rows.parquet"} if argument == "path" else {**rows, argument: "s3://lake/x"}
        operator = BulkProfileUpdateOperator(task_id="upload", dry_run=True, **arguments)
        with pytest.raises(AirflowFailException, match=r"pip install 'airflow-provider-adobe-target\[s3\]'"):
            operator.execute({"ti": _TaskInstance()})


class _TaskInstance:
    dag_id, task_id, run_id, map_index = "dag", "upload", "manual", -1

    def xcom_push(self, **kwargs):
        """Keep nothing."""


@pytest.mark.parametrize(
    ("error", "requirement"),
    [
        (ImportError("Airflow FS S3 protocol requires the s3fs library"), "airflow-provider-adobe-target[s3]"),
        (ModuleNotFoundError("No module named 'polars'", name="polars"), "airflow-provider-adobe-target[polars]"),
        (ImportError("Please install gcsfs to access Google Storage"), "apache-airflow-providers-google"),
        (ValueError("No filesystem registered for scheme abfs"), "apache-airflow-providers-microsoft-azure"),
    ],
)
def test_what_to_install_is_in_the_message(error, requirement):
    with pytest.raises(AirflowFailException) as caught, translate_errors():
        raise error
    assert f"pip install '{requirement}'" in str(caught.value)


@pytest.mark.parametrize("argument", ["path", "rejects_path"])
@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("warehouse://b/x", "warehouse.*Correct the scheme of the path"),
        ("sftp://b/x", "A package is missing: .*paramiko|scheme sftp"),  # Airflow 2.11 needs the provider first
    ],
)
def test_a_storage_that_cannot_be_used_is_no_reason_to_retry(connect, monkeypatch, argument, folder, message):
    monkeypatch.setitem(sys.modules, "fsspec.implementations.sftp", None)
    with Sandbox() as sandbox:
        connect(host=sandbox.url)
        rows = {"data": [{"thirdPartyId": None, "tier": "a"}, {"thirdPartyId": "1", "tier": "a"}]}
        arguments = {"path": f"{folder}/a.csv"} if argument == "path" else {**rows, argument: folder}
        operator = BulkProfileUpdateOperator(task_id="upload", dry_run=True, **arguments)
        with pytest.raises(AirflowFailException, match=message):
            operator.execute({"ti": _TaskInstance()})


def test_an_import_error_of_something_else_is_passed_on():
    with pytest.raises(ModuleNotFoundError, match="warehouse_driver"), translate_errors():
        import warehouse_driver  # noqa: F401


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_sandbox_that_is_not_running_is_named_with_host_and_port(connect, caplog, host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    connect(host=f"http://{host}", port=port)
    works, message = AdobeTargetHook().test_connection()
    assert not works
    assert f"the sandbox is not running at {host}:{port}" in message


@pytest.mark.parametrize("is_running", [True, False])
def test_the_connection_test_logs_what_it_found(connect, caplog, is_running):
    caplog.set_level(logging.INFO)
    with Sandbox() as sandbox:
        connect(host=sandbox.url if is_running else "http://127.0.0.1:9")
        works, message = AdobeTargetHook().test_connection()
    assert works == is_running
    (record,) = [record for record in caplog.records if message in record.getMessage()]
    assert record.levelno == (logging.INFO if is_running else logging.WARNING)


def test_an_unknown_key_of_extra_is_a_warning_that_names_it(caplog):
    TargetSettings.from_fields("acme", None, None, None, {"calls_per_minut": 5, "verify": None})
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("'calls_per_minut'")


def test_every_field_of_the_form_is_known(caplog):
    names = {field.name for field in connection_form.EXTRA_FIELDS}
    assert names == _EXTRA_KEYS
    TargetSettings.from_fields("acme", None, None, None, dict.fromkeys(names))
    assert not caplog.records
