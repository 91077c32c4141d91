"""The pages of the documentation and their code blocks."""

from __future__ import annotations

import re
import textwrap
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
# The docs are written for Airflow 3; a comment beside each import says what Airflow 2.11 has in its place.
AIRFLOW_2 = re.compile(r"^from airflow\.sdk import .*# in Airflow 2\.11: (.*)$", re.M)


def blocks(*languages):
    """Yield each code block in one of the languages, as a parameter of a test."""
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            if match[2] in languages:
                line = text[: match.start()].count("\n") + 1
                yield pytest.param(textwrap.dedent(match[3]), id=f"{page.relative_to(ROOT)}:{line}")
