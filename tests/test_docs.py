"""Every Python and shell block of the README and the docs runs as it stands."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
# The docs are written for Airflow 3; a comment beside each import says what Airflow 2.11 has in its place.
AIRFLOW_2 = re.compile(r"^from airflow\.sdk import .*# in Airflow 2\.11: (.*)$", re.M)


def blocks(*languages):
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            if match[1] in languages:
                line = text[: match.start()].count("\n") + 1
                yield pytest.param(match[2], id=f"{page.relative_to(ROOT)}:{line}")


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
@pytest.mark.parametrize("source", blocks("python"))
def test_a_python_block_runs_as_it_stands(source, monkeypatch, tmp_path):
    if AIRFLOW < (3, 0):
        source = AIRFLOW_2.sub(lambda match: match[1].replace("; ", "\n"), source)
    if AIRFLOW < (3, 3) and "policies.retry" in source:
        with pytest.raises(ImportError, match="3.3"):
            exec(source, {})  # noqa: S102
        return
    namespace = {"__name__": "example"}
    exec(compile(source, "example", "exec"), namespace)  # noqa: S102
    fixtures = {"monkeypatch": monkeypatch, "tmp_path": tmp_path}
    for name, value in namespace.items():
        if name.startswith("test_") and inspect.isfunction(value):
            value(**{parameter: fixtures[parameter] for parameter in inspect.signature(value).parameters})


def test_the_docs_have_blocks_to_run():
    assert len(list(blocks("python"))) > 20
    assert len(list(blocks("shell"))) > 5
    assert not list(blocks("py", "python3", "bash", "sh", "console")), "write python or shell"


# Shell: each command has one rule that checks it. A command without a rule fails.


def check_make(arguments):
    """The target exists."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"(?:^| )([a-z-]+)", " ".join(arguments))) <= set(targets)


def check_pip(arguments):
    """It would use a package index, so that only the names are checked: this folder, and its extras."""
    install, what = arguments
    assert install == "install"
    name, extras = re.fullmatch(r"(\.|airflow-provider-adobe-target)(?:\[([\w,]+)\])?", what).groups()
    optional = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("\n[")[0]
    assert set(filter(None, (extras or "").split(","))) <= set(re.findall(r"^(\w+) = \[", optional, re.M))
    assert name


def check_airflow(arguments):
    """Airflow's own parser takes the arguments; some commands would need a scheduler to do anything."""
    if AIRFLOW < (3, 0) and arguments[0] == "backfill":
        arguments = ["dags", "backfill", "dag"]  # in Airflow 2 the command has another name
    code = (
        "import sys; from airflow.cli.cli_parser import get_parser\n"
        "dest = get_parser().parse_args(sys.argv[1:]); assert callable(dest.func)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def check_sandbox(arguments):
    """It starts, and says where it listens."""
    command = [sys.executable, "-m", "airflow_provider_adobe_target.sandbox", *arguments, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("Adobe Target sandbox: http://127.0.0.1:")
        finally:
            process.terminate()


def check_export(arguments):
    """The shell sets the variable, and Airflow reads the connection in it."""
    from airflow.models.connection import Connection

    name, _, text = arguments[0].partition("=")
    assert name == "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT"
    connection = Connection.from_json(text) if text.startswith("{") else Connection(uri=text)
    assert connection.conn_type == "adobe_target"
    settings = TargetSettings.from_fields(
        connection.login, connection.password, connection.host, connection.port, connection.extra_dejson
    )
    assert settings.client_code == "acme"


RULES = {
    "make": check_make,
    "pip": check_pip,
    "airflow": check_airflow,
    "adobe-target-sandbox": check_sandbox,
    "export": check_export,
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


@pytest.mark.parametrize("block", blocks("shell"))
def test_a_shell_block_runs_or_is_checked_by_its_rule(block):
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)
    for program, *arguments in commands(block):
        assert program in RULES, f"no rule checks {program}"
        RULES[program](arguments)


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
        text = (ROOT / "docs" / f"{page}.md").read_text()
        (literal,) = re.findall(r"sql=((?:\"[^\n]*\"[^\n]*\n\s*)+)", text)
        sql = eval(f"({literal.rstrip().rstrip(',')})")  # noqa: S307
        assert "2026-01-01" in environment.from_string(sql).render(context)


def test_no_link_of_the_description_on_pypi_is_relative(tmp_path):
    command = [sys.executable, "-m", "hatchling", "metadata", "readme"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ})
    text = json.loads(done.stdout)["text"] if done.stdout.lstrip().startswith("{") else done.stdout
    assert "Bulk profile update" in text
    assert [link for link in re.findall(r"\]\(([^)]*)\)", text) if not link.startswith(("https://", "#"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page):
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
