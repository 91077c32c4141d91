"""``adobe-target doctor``."""

from __future__ import annotations

import importlib.metadata

import pytest

from airflow_provider_adobe_target.concurrency.file_lock import FOLDER_VARIABLE


def levels(outcome):
    return {finding["check"]: finding["level"] for finding in outcome.json["findings"]}


def test_nothing_is_wrong_with_a_working_machine(call, sandbox):
    outcome = call("doctor", "--json", code=0)
    found = levels(outcome)
    assert {"python", "apache-airflow", "pyarrow", "provider", "shared folder", "connection", "call"} < set(found)
    assert found["clock"] == found["call"] == "ok"
    assert "error" not in found.values()
    assert "secret-token" not in outcome.out


def test_text_has_a_line_for_each_check(call):
    outcome = call("doctor", "--offline", code=0)
    assert "pyarrow" in outcome.out
    assert "registered, with the connection type adobe_target" in outcome.out


def test_offline_makes_no_call(call, sandbox):
    calls = len(sandbox.calls)
    assert "call" not in levels(call("doctor", "--json", "--offline", code=0))
    assert len(sandbox.calls) == calls


def test_a_missing_connection_is_a_warning(call, environment):
    environment.delenv("ADOBE_TARGET_CLIENT_CODE")
    assert levels(call("doctor", "--json", code=0))["connection"] == "warning"


def test_an_unreachable_target_is_an_error(call, environment):
    environment.setenv("ADOBE_TARGET_HOST", "http://127.0.0.1:1")
    found = levels(call("doctor", "--json", code=1))
    assert (found["connection"], found["call"], found["clock"]) == ("ok", "error", "warning")


def test_an_invalid_connection_is_an_error(call, environment):
    environment.setenv("ADOBE_TARGET_HOST", "ftp://127.0.0.1")
    assert levels(call("doctor", "--json", code=1))["connection"] == "error"


def test_a_shared_folder_of_other_users_is_an_error(call, environment, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    environment.setenv(FOLDER_VARIABLE, str(tmp_path / "open"))
    outcome = call("doctor", "--json", "--offline", code=1)
    [finding] = [finding for finding in outcome.json["findings"] if finding["level"] == "error"]
    assert finding["check"] == "shared folder"
    assert FOLDER_VARIABLE in finding["remedy"]


@pytest.mark.parametrize(("free", "level", "code"), [(50_000_000, "error", 1), (500_000_000, "warning", 0)])
def test_little_disk_space_is_reported(call, mocker, free, level, code):
    mocker.patch("shutil.disk_usage").return_value.free = free
    assert levels(call("doctor", "--json", "--offline", code=code))["temporary folder"] == level


def test_an_old_package_is_named_with_the_remedy(call, mocker):
    real = importlib.metadata.version
    mocker.patch("importlib.metadata.version", lambda name: "1.0" if name == "pyarrow" else real(name))
    outcome = call("doctor", "--json", "--offline", code=1)
    [finding] = [finding for finding in outcome.json["findings"] if finding["level"] == "error"]
    assert (finding["check"], finding["remedy"]) == ("pyarrow", "pip install 'pyarrow>=18'")


def test_a_clock_that_is_wrong_is_a_warning(call, mocker):
    from airflow_provider_adobe_target.concurrency import clock

    mocker.patch.object(clock.SYSTEM, "now", return_value=clock.SYSTEM.now() + 600)
    outcome = call("doctor", "--json", code=0)
    [finding] = [finding for finding in outcome.json["findings"] if finding["check"] == "clock"]
    assert finding["level"] == "warning"
    assert "ahead of the response" in finding["message"]
