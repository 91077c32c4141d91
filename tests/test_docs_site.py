"""The documentation site: its navigation, generated tables, changelog, and the tests that pages name."""

from __future__ import annotations

import importlib.util
import re

import pytest

from support.docs import PAGES, ROOT


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


@pytest.mark.parametrize("page", ["docs/explanation/guarantees.md", "docs/explanation/security.md"])
def test_every_test_that_a_page_names_exists(page):
    named = re.findall(r"`(?:tests/)?((?:\w+/)*(?:test_\w+\.py|(?<=/)))`", (ROOT / page).read_text())
    assert len(named) > 3
    assert [path for path in named if not (ROOT / "tests" / path).exists()] == []
