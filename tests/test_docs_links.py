"""The links of the documentation, in the repository and on PyPI."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def description(folder):
    """Return the description on PyPI, and the links in it that are relative."""
    command = [sys.executable, "-m", "hatchling", "metadata", "readme"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    text = json.loads(done.stdout)["text"] if done.stdout.lstrip().startswith("{") else done.stdout
    return text, [link for link in re.findall(r"\]\(([^)]*)\)", text) if not link.startswith(("https://", "#"))]


def test_no_link_of_the_description_on_pypi_is_relative():
    text, relative = description(ROOT)
    assert "Bulk profile update" in text
    assert relative == []


def test_links_on_pypi_lead_to_the_urls_of_the_project(tmp_path):
    shutil.copytree(ROOT / "airflow_provider_adobe_target", tmp_path / "airflow_provider_adobe_target")
    for name in ("README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, tmp_path)
    urls = 'urls = {Documentation = "https://docs.example.com/", Source = "https://git.example.com/provider"}'
    project = re.sub(r"(?m)^\[project\.urls\]\n(?:.+\n)*", "", (ROOT / "pyproject.toml").read_text())
    (tmp_path / "pyproject.toml").write_text(project.replace("[project]\n", f"[project]\n{urls}\n"))
    text, relative = description(tmp_path)
    assert relative == []
    assert "[Report](https://docs.example.com/reference/report.html)" in text
    assert "(https://git.example.com/provider/raw/main/docs/images/sandbox-page.png)" in text
    assert "[Changelog](https://git.example.com/provider/blob/main/CHANGELOG.md)" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page):
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
