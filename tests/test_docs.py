"""Every Python, JSON, YAML, SQL and INI block of the documentation runs, or is checked, unchanged."""

from __future__ import annotations

import configparser
import inspect
import json
import re
import sqlite3
from contextlib import closing

import duckdb
import pytest
import yaml

from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.sandbox import Sandbox
from support.docs import AIRFLOW, AIRFLOW_2, BLOCK, PAGES, ROOT, blocks

TESTED = {"python", "shell", "json", "ini", "sql", "yaml"}
NOT_TESTED = {"text"}  # output, diagrams and templates of messages


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


# Templates with dates


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
        literals = re.findall(r"sql=((?:\"[^\n]*\"[^\n]*\n\s*)+)", text)
        (template,) = (literal for literal in literals if "{{" in literal)
        sql = eval(f"({template.rstrip().rstrip(',')})")  # noqa: S307
        assert "2026-01-01" in environment.from_string(sql).render(context)
