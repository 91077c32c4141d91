"""The command, the context manager and the settings from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import fields

import pytest
import requests

from airflow_provider_adobe_target.sandbox import Sandbox, SandboxSettings
from airflow_provider_adobe_target.sandbox.__main__ import main

COMMAND = [sys.executable, "-m", "airflow_provider_adobe_target.sandbox"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_address_and_ends_at_a_signal(signal_number):
    options = [
        "--port",
        "0",
        "--client-code",
        "demo",
        "--token",
        "secret",
        "--decode-order",
        "decode-then-split",
    ]
    with subprocess.Popen(COMMAND + options, stdout=subprocess.PIPE, text=True) as process:
        urls = re.findall(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        name, _, connection = process.stdout.readline().strip().partition("=")
        settings = requests.get(urls[0] + "/state.json", timeout=10).json()["settings"]
        edge_answer = requests.get(urls[1] + "/state.json", timeout=10)
        process.send_signal(signal_number)
        assert process.wait(timeout=10) == 0
    assert len(set(urls)) == 2
    assert edge_answer.status_code == 200
    assert name == "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT"
    told = json.loads(connection.strip("'"))
    assert (told["conn_type"], told["login"], told["host"]) == ("adobe_target", "demo", urls[0])
    assert "secret" not in connection
    assert settings["decode_order"] == "decode-then-split"


def test_the_command_prints_the_oauth_urls_with_a_client_id():
    options = ["--port", "0", "--client-id", "oauth-client", "--client-secret", "oauth-secret"]
    with subprocess.Popen(COMMAND + options, stdout=subprocess.PIPE, text=True) as process:
        url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        connection = process.stdout.readline().strip().partition("=")[2]
        process.terminate()
    told = json.loads(connection.strip("'"))["extra"]
    assert (told["client_id"], told["tenant_id"]) == ("oauth-client", "acmeinc")
    assert {told["ims_host"], told["admin_host"], told["edge_host"]} == {url}
    assert "oauth-secret" not in connection


def test_a_taken_port_ends_the_command_with_one_clear_line(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(rf"adobe-target-sandbox: Port {port} cannot be used .*\n", output.err)


def test_every_setting_is_an_option_with_its_meaning(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for setting in fields(SandboxSettings):
        assert "--" + setting.name.replace("_", "-") in shown
        assert setting.metadata["meaning"].split()[0] in shown


def test_the_options_of_none_and_of_lists_reach_the_settings():
    options = ["--port", "0", "--calls-per-minute", "none", "--fail-ids", "U1", "U2", "--noise"]
    with subprocess.Popen(COMMAND + options, stdout=subprocess.PIPE, text=True) as process:
        url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        settings = requests.get(url + "/state.json", timeout=10).json()["settings"]
        process.terminate()
    assert settings["calls_per_minute"] is None
    assert settings["fail_ids"] == ["U1", "U2"]
    assert settings["noise"] is True


def test_chosen_ports_are_taken_and_given_back():
    port, edge_port = free_port(), free_port()
    for _ in range(2):
        with Sandbox(port=port, edge_port=edge_port) as sandbox:
            assert (sandbox.url, sandbox.edge_url) == (
                f"http://127.0.0.1:{port}",
                f"http://127.0.0.1:{edge_port}",
            )
            assert requests.get(sandbox.url, timeout=10).status_code == 200
        with pytest.raises(requests.ConnectionError):
            requests.get(sandbox.url, timeout=10)


def test_a_taken_edge_port_releases_the_first_port():
    port = free_port()
    with Sandbox() as other:
        edge_port = int(other.edge_url.rpartition(":")[2])
        with (
            pytest.raises(OSError, match=f"Port {edge_port} cannot be used"),
            Sandbox(port=port, edge_port=edge_port),
        ):
            pass
    with Sandbox(port=port):
        pass


def test_what_is_no_setting_is_refused():
    with pytest.raises(TypeError, match="decode_oder"):
        Sandbox(decode_oder="split-then-decode")
    with pytest.raises(ValueError, match="decode_order must be one of"):
        Sandbox(decode_order="split")
    settings = SandboxSettings()
    with pytest.raises(AttributeError, match="no setting 'tokn'"):
        settings.tokn = "x"
    with pytest.raises(ValueError, match="refuse_status must be one of"):
        settings.refuse_status = 500


def test_without_its_extra_the_import_names_what_to_install(tmp_path):
    code = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'uvicorn' else real(name, *more)\n"
        "import airflow_provider_adobe_target.sandbox"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert run.returncode != 0
    assert "pip install 'airflow-provider-adobe-target[sandbox]'" in run.stderr


def test_it_loads_nothing_of_the_client_and_of_airflow():
    code = (
        "import sys, airflow_provider_adobe_target.sandbox\n"
        "print([n for n in sys.modules if n.split('.')[0] == 'airflow'"
        " or n.startswith('airflow_provider_adobe_target.') and '.sandbox' not in n])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
