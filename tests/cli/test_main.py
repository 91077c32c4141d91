"""The command group: help, exit codes, start-up, signals."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from airflow_provider_adobe_target import __version__
from airflow_provider_adobe_target.cli.main import COMMANDS, cli

HEAVY = {"airflow", "pandas", "pyarrow", "numpy", "requests", "httpx", "rich", "sqlalchemy", "uvicorn"}


def test_help_lists_every_command_environment_and_exit_code(call):
    out = call("--help", code=0).out
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert all(name in out for name in ("ADOBE_TARGET_CLIENT_CODE", "ADOBE_TARGET_TOKEN", "ADOBE_TARGET_HOST"))
    assert "130 Ctrl-C" in out


def test_help_shows_the_summary_of_every_command_unabridged(call):
    assert "..." not in call("--help", code=0).out.partition("Commands:")[2].partition("Connection:")[0]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "sandbox"])
def test_every_command_and_option_has_a_help_text(call, name):
    out = call(name, "--help", code=0).out
    assert out.startswith(f"Usage: adobe-target {name}")
    assert cli.get_command(None, name).help


def test_the_version_is_printed(call):
    assert call("--version", code=0).out == f"adobe-target {__version__}\n"


def test_a_missing_command_is_a_usage_error(call):
    outcome = call(code=2)
    assert "Usage: adobe-target" in outcome.out + outcome.err
    assert "No such command" in call("nothing", code=2).err


def test_help_imports_no_airflow_and_nothing_heavy():
    program = (
        "import contextlib, io, json, sys\n"
        "from airflow_provider_adobe_target.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): main(['--help'])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in json.loads(answer.stdout))


def test_send_with_environment_and_file_imports_no_airflow(environment, tmp_path):
    (tmp_path / "rows.csv").write_text("thirdPartyId,tier\nU1,gold\n")
    program = (
        "import json, sys\n"
        "from airflow_provider_adobe_target.cli.main import main\n"
        f"code = main(['send', {str(tmp_path / 'rows.csv')!r}])\n"
        "print(json.dumps([code, 'airflow' in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout.splitlines()[-1]) == [0, False]


def test_an_unexpected_error_shows_no_message_of_a_library(call, mocker):
    target = "airflow_provider_adobe_target.client.session.Session.test_connection"
    mocker.patch(target, side_effect=ValueError("secret value"))
    outcome = call("conn", "test", "--json", code=1)
    assert outcome.json["error_type"] == "ValueError"
    assert "secret value" not in outcome.out + outcome.err


def test_verbose_shows_log_messages(call, tmp_path):
    (tmp_path / "rows.csv").write_text("thirdPartyId,tier\nU1,gold\n")
    assert "Info: Rows read: 1" in call("-v", "plan", "rows.csv", cwd=tmp_path, code=0).err
    assert "Info" not in call("plan", "rows.csv", cwd=tmp_path, code=0).err
