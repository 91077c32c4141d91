"""Every shell block of the documentation runs, or each of its commands is checked by a rule."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.sandbox import Sandbox
from support.docs import AIRFLOW, AIRFLOW_2, BLOCK, ROOT, blocks

# Each command has one rule that checks it. A command without a rule fails.


def check_make(arguments):
    """The target exists."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"(?:^| )([a-z-]+)", " ".join(arguments))) <= set(targets)


def check_pip(arguments):
    """Only the names are checked, because pip would use a package index: this package, its extras and its groups."""
    install, what = arguments
    assert install == "install"
    assert is_declared(what), what


def is_declared(requirement):
    """Return whether a requirement is this package with known extras, or is declared in pyproject.toml."""
    project = (ROOT / "pyproject.toml").read_text()
    name, extras = re.fullmatch(r"(\.|[\w-]+)(?:\[([\w,]+)\])?(?:==.*)?", requirement).groups()
    optional = project.split("[project.optional-dependencies]")[1].split("\n[")[0]
    known = set(re.findall(r"^(\w+) = \[", optional, re.M))
    is_ours = name in (".", "airflow-provider-adobe-target")
    return set(filter(None, (extras or "").split(","))) <= known if is_ours else f'"{name}' in project


def check_uv(arguments):
    """The requirements are declared, the Airflow version is that of the Makefile, and the script exists."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["run"])
    parser.add_argument("--no-project", action="store_true")
    parser.add_argument("--with", action="append", dest="requirements")
    parser.add_argument("script")
    options = parser.parse_args(arguments)
    assert all(map(is_declared, options.requirements))
    (airflow,) = re.findall(r"^AIRFLOW_VERSION = (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert f"apache-airflow=={airflow}" in options.requirements
    assert (ROOT / options.script).exists()


def check_python(arguments):
    """It creates a virtual environment, runs tests that exist, or runs code."""
    if arguments[:2] == ["-m", "venv"] or arguments == ["create_table.py"]:  # run by the test of the tutorial
        return
    if arguments[0] == "-c":
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=os.environ)
        return
    assert arguments[:2] == ["-m", "pytest"], arguments
    assert (ROOT / arguments[2]).exists()


def check_source(arguments):
    """It activates the virtual environment."""
    assert arguments == [".venv/bin/activate"]


def check_airflow(arguments):
    """Airflow's own parser takes the arguments; some commands would need a scheduler to do anything."""
    if AIRFLOW < (3, 0) and arguments[0] == "backfill":
        arguments = ["dags", "backfill", "dag"]  # in Airflow 2 the command has another name
    from airflow.cli.cli_parser import get_parser

    try:
        assert callable(get_parser().parse_args(arguments).func)
    except SystemExit:
        pytest.fail(f"Airflow's parser refuses {arguments}")


def check_sandbox(arguments):
    """It starts, and says where it listens."""
    command = [sys.executable, "-m", "airflow_provider_adobe_target.sandbox", *arguments, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("Adobe Target sandbox: http://127.0.0.1:")
        finally:
            process.terminate()


def check_command_line(arguments):
    """The command and its options exist, and have such values."""
    from airflow_provider_adobe_target.cli.main import cli

    if arguments == ["--help"]:
        return
    name, *rest = arguments
    command = cli.get_command(None, name)
    assert command is not None, name
    for word in rest:
        if word.endswith((".txt", ".csv")):
            Path(word).touch()
    command.make_context(name, rest)


def check_export(arguments):
    """Airflow has the option, or reads the connection in the variable."""
    from airflow.models.connection import Connection

    name, _, text = arguments[0].partition("=")
    if name.startswith("AIRFLOW__"):
        from airflow.configuration import conf

        _, section, option = name.lower().split("__")
        assert conf.has_option(section, option), name
    elif name.startswith("AIRFLOW_CONN_"):
        connection = Connection.from_json(text) if text.startswith("{") else Connection(uri=text)
        if name != "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT":
            assert connection.conn_type == "sqlite"
            return
        assert connection.conn_type == "adobe_target"
        settings = TargetSettings.from_fields(
            connection.login, connection.password, connection.host, connection.port, connection.extra_dejson
        )
        assert settings.client_code == "acme"
    else:
        assert name in {"AIRFLOW_HOME", "ADOBE_TARGET_CLIENT_CODE", "ADOBE_TARGET_TOKEN", "ADOBE_TARGET_HOST"}


def check_unset(arguments):
    """The variables are connections."""
    assert all(name.startswith("AIRFLOW_CONN_") for name in arguments)


RULES = {
    "make": check_make,
    "pip": check_pip,
    "airflow": check_airflow,
    "adobe-target": check_command_line,
    "adobe-target-sandbox": check_sandbox,
    "export": check_export,
    "unset": check_unset,
    "uv": check_uv,
    "python3": check_python,
    ".local/venv/bin/python": check_python,
    "source": check_source,
}


def commands(block):
    """Return the commands of a shell block, each as its words, without the variables set before it."""
    lexer = shlex.shlex(block.strip(), posix=True, punctuation_chars=";&|\n")
    lexer.whitespace = " \t\r"
    lexer.commenters = "#"
    lexer.whitespace_split = True
    command = []
    for word in [*lexer, "\n"]:
        if word.strip(";&|\n"):
            command.append(word)
        elif command:
            yield command[next(i for i, word in enumerate(command) if not re.match(r"\w+=", word)) :]
            command = []


@pytest.mark.parametrize("block", list(blocks("shell")))
def test_a_shell_block_runs_or_is_checked_by_its_rule(block, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)
    for program, *arguments in commands(block):
        assert program in RULES, f"no rule checks {program}"
        RULES[program](arguments)


# The tutorials

TUTORIAL = ROOT / "docs" / "tutorials" / "first-upload.md"


def test_the_first_tutorial_uploads_profiles(tmp_path):
    """The shell commands of the tutorial run unchanged, except for those that install or never end."""
    by_language = {}
    for _, language, block in BLOCK.findall(TUTORIAL.read_text()):
        by_language.setdefault(language, []).append(block)
    create_table, dag = by_language["python"]
    if AIRFLOW < (3, 0):
        dag = AIRFLOW_2.sub(lambda match: match[1], dag)
    (tmp_path / "create_table.py").write_text(create_table)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "loyalty_to_target.py").write_text(dag)
    _, _, run_create_table, run_dag, _ = by_language["shell"]
    commands = (run_create_table + run_dag).replace("source .venv/bin/activate\n", "")
    (tmp_path / "airflow").mkdir()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ADOBE_TARGET_SHARED_FOLDER": str(tmp_path / "shared"),
    }
    with Sandbox(processing_seconds=0) as sandbox:
        done = subprocess.run(
            ["bash", "-e"],
            input=commands.replace("http://127.0.0.1:8900", sandbox.url),
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert sandbox.profile("U1") == {"tier": "gold", "points": "1250"}
        assert sandbox.profile("U2") == {"tier": "silver", "points": "310"}
        assert [batch.row_count for batch in sandbox.batches] == [2]


def test_the_second_tutorial_removes_the_connections_of_the_first():
    """A connection in a variable would take precedence over one that the reader adds to Airflow's database."""
    following = ROOT / "docs" / "tutorials" / "your-account.md"
    exported = set(re.findall(r"^export (AIRFLOW_CONN_\w+)=", TUTORIAL.read_text(), re.M))
    (removed,) = re.findall(r"^unset (.*)$", following.read_text(), re.M)
    assert len(exported) == 2
    assert set(removed.split()) == exported
