"""Every Python and shell block of the documentation runs, or is checked, unchanged."""

from __future__ import annotations

import argparse
import configparser
import importlib.util
import inspect
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import duckdb
import pytest
import yaml

from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
TESTED = {"python", "shell", "json", "ini", "sql", "yaml"}
NOT_TESTED = {"text"}  # output, diagrams and templates of messages
# The docs are written for Airflow 3; a comment beside each import says what Airflow 2.11 has in its place.
AIRFLOW_2 = re.compile(r"^from airflow\.sdk import .*# in Airflow 2\.11: (.*)$", re.M)


def blocks(*languages):
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            if match[2] in languages:
                line = text[: match.start()].count("\n") + 1
                yield pytest.param(textwrap.dedent(match[3]), id=f"{page.relative_to(ROOT)}:{line}")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(
        processing_seconds=0,
        calls_per_minute=None,
        client_id="docs",
        client_secret="of-the-docs",
        datastream_id="ds1",
        ims_org_id="ORG@AdobeOrg",
        third_party_namespace="CRM",
    ) as started:
        yield started


@pytest.fixture
def surroundings(sandbox, tmp_path, monkeypatch):
    """What the docs take for granted: the connections, and a table in the warehouse."""
    sandbox.put_profile("U1", {"tier": "gold"})
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse, warehouse:
        warehouse.execute("CREATE TABLE loyalty (customer_id TEXT, tier TEXT, points INTEGER)")
        warehouse.execute("INSERT INTO loyalty VALUES ('U1', 'gold', 5)")
    extra = {"client_id": "docs", "client_secret": "of-the-docs", "ims_host": sandbox.url, "edge_host": sandbox.url}
    extra |= {"datastream_id": "ds1", "ims_org_id": "ORG@AdobeOrg"}
    target = {"conn_type": "adobe_target", "login": "acme", "host": sandbox.url, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(target))
    warehouse = {"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(warehouse))
    monkeypatch.setattr(clock.SystemClock, "sleep", lambda self, seconds: None)


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("source", list(blocks("python")))
def test_a_python_block_runs_unchanged(source, monkeypatch, tmp_path):
    if AIRFLOW < (3, 0):
        source = AIRFLOW_2.sub(lambda match: match[1].replace("; ", "\n"), source)
    if AIRFLOW < (3, 3) and "policies.retry" in source:
        with pytest.raises(ImportError, match="3.3"):
            exec(source, {})  # noqa: S102
        return
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "example"}
    exec(compile(source, "example", "exec"), namespace)  # noqa: S102
    fixtures = {"monkeypatch": monkeypatch, "tmp_path": tmp_path}
    for name, value in namespace.items():
        if name.startswith("test_") and inspect.isfunction(value):
            value(**{parameter: fixtures[parameter] for parameter in inspect.signature(value).parameters})


def test_the_docs_have_blocks_to_run():
    assert len(list(blocks("python"))) > 20
    assert len(list(blocks("shell"))) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_test_covers_the_language_of_each_block(page):
    text = page.read_text()
    languages = [match[2] for match in BLOCK.finditer(text)]
    assert set(languages) <= TESTED | NOT_TESTED
    assert len(re.findall(r"^ *```", text, re.M)) == 2 * len(languages), "a fence that BLOCK does not match"


# Shell: each command has one rule that checks it. A command without a rule fails.


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


RULES = {
    "make": check_make,
    "pip": check_pip,
    "airflow": check_airflow,
    "adobe-target": check_command_line,
    "adobe-target-sandbox": check_sandbox,
    "export": check_export,
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


@pytest.mark.parametrize("block", list(blocks("json")))
def test_a_json_block_is_json(block):
    json.loads(block)


@pytest.mark.parametrize("block", list(blocks("yaml")))
def test_a_yaml_block_is_a_mapping(block):
    assert isinstance(yaml.safe_load(block), dict)


@pytest.mark.parametrize("block", list(blocks("sql")))
def test_a_sql_block_is_parsed_by_a_database(block):
    assert duckdb.extract_statements(block.replace("…", "1"))


@pytest.mark.parametrize("block", list(blocks("ini")))
def test_an_ini_block_is_a_configuration(block):
    from airflow.configuration import conf

    parser = configparser.ConfigParser()
    parser.read_string(block)
    for section in parser.sections():
        assert all(conf.has_option(section, option) for option in parser[section])
    if parser.has_section("secrets"):
        json.loads(parser["secrets"]["backend_kwargs"])


@pytest.mark.parametrize("page", ["docs/explanation/guarantees.md", "docs/explanation/security.md"])
def test_every_test_that_a_page_names_exists(page):
    named = re.findall(r"`(?:tests/)?((?:\w+/)*(?:test_\w+\.py|(?<=/)))`", (ROOT / page).read_text())
    assert len(named) > 3
    assert [path for path in named if not (ROOT / "tests" / path).exists()] == []


# The first tutorial

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


# The site


def test_the_navigation_names_every_page_once():
    config = (ROOT / "mkdocs.yml").read_text()
    named = re.findall(r"^ *- (?:.*: )?(\S+\.md)$", config.partition("\nnav:\n")[2], re.M)
    assert sorted(named) == sorted(str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md"))


def test_the_tables_that_pages_request_are_generated(docs_hooks):
    requested = {name for page in PAGES for name in docs_hooks.MARKER.findall(page.read_text())}
    assert requested == set(docs_hooks.TABLES)
    for name in requested:
        assert "<!-- generated" not in docs_hooks.on_page_markdown(f"<!-- generated: {name} -->")


def test_roles_and_literal_blocks_of_docstrings_are_converted(docs_hooks):
    html = "<p>Raises :class:<code>SourceReadError</code>, as in::</p>"
    assert docs_hooks.on_page_content(html) == "<p>Raises <code>SourceReadError</code>, as in:</p>"


def test_the_table_of_the_connection_has_every_field(docs_hooks):
    from airflow_provider_adobe_target.connection_form import EXTRA_FIELDS

    table = docs_hooks.connection_fields()
    assert [field.name for field in EXTRA_FIELDS if f"extra `{field.name}`" not in table] == []


def test_the_table_of_the_sandbox_has_every_option(docs_hooks):
    from dataclasses import fields

    from airflow_provider_adobe_target.sandbox import SandboxSettings

    table = docs_hooks.sandbox_options()
    options = [f"--{field.name.replace('_', '-')}" for field in fields(SandboxSettings)]
    assert [option for option in options if f"`{option}`" not in table] == []


@pytest.fixture(scope="module")
def docs_hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "scripts" / "docs_hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_changelog_has_one_section_for_each_release():
    titles = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert titles[0] == "Unreleased"
    assert len(titles) == len(set(titles))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", title) for title in titles[1:])


# Manual runs, links


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "example_dags").rglob("*.py"))], ids=lambda page: page.name)
def test_a_template_with_a_data_interval_works_in_a_manual_run(page):
    """Airflow 3 gives a manual run no data interval, unless it has a logical date."""
    for use in re.findall(r"\{[{%][^}]*data_interval_(?:start|end)[^}]*[%}]\}", page.read_text()):
        assert "default(dag_run.run_after, true)" in use, use


def test_the_templates_of_the_docs_render_without_a_data_interval():
    from datetime import datetime, timedelta, timezone
    from types import SimpleNamespace

    from jinja2 import Environment

    environment = Environment()  # noqa: S701
    environment.filters["ds"] = lambda day: day.strftime("%Y-%m-%d")
    context = {
        "dag_run": SimpleNamespace(run_after=datetime(2026, 1, 2, tzinfo=timezone.utc)),
        "macros": SimpleNamespace(timedelta=timedelta),
    }
    for page in ("identity-link", "single-profile-update"):
        text = (ROOT / "docs" / "reference" / f"{page}.md").read_text()
        (literal,) = re.findall(r"sql=((?:\"[^\n]*\"[^\n]*\n\s*)+)", text)
        sql = eval(f"({literal.rstrip().rstrip(',')})")  # noqa: S307
        assert "2026-01-01" in environment.from_string(sql).render(context)
