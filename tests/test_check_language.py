"""The list of words that ``make lint`` checks."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "check_language.py"
spec = importlib.util.spec_from_file_location("check_language", SCRIPT)
check_language = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_language)


def found(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return [(number, phrase) for number, phrase, _ in check_language.problems(path)]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("The host is to begin with https.", "is to begin"),
        ("host is to be text.", "is to be"),
        ("No row is not to be sent.", "is not to be"),
        ("Whoever calls this holds the lock.", "Whoever"),
        ("It creates nobody.", "nobody"),
        ("See what became of the rows.", "what became of"),
        ("Target asked for patience.", "patience"),
        ("The rows are walked once.", "walked"),
        ("Rows are set aside.", "set aside"),
        ("It is no number.", "no number"),
        ("The map has ids, too.", ", too."),
        ("The thread who waits.", "thread who"),
        ("A call is under way.", "under way"),
        ("The bad rows are written.", "bad rows"),
        ("The call budget is 50.", "call budget"),
        ("50 calls a minute.", "calls a minute"),
        ("Only what is asked for is read.", "is asked for"),
        ("The message has a way out.", "way out"),
    ],
)
def test_a_phrase_is_found_in_prose(tmp_path, text, phrase):
    assert (1, phrase) in found(tmp_path, "page.md", text)


@pytest.mark.parametrize(
    "text", ["It must be text.", "for path in os.walk(top):", "A number of rows", "It is too long.", "the sidewalk"]
)
def test_plain_english_passes(tmp_path, text):
    assert found(tmp_path, "page.md", text) == []


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('"""Module.\n\nIt waits for nobody.\n"""\n', 3),
        ("x = 1\n# nobody reads this\n", 2),
        ("\n\nraise ValueError('nobody is here')\n", 3),
        ("name = 1\nprint(f'{name} is nobody')\n", 2),
        ("def test_nobody_is_created(): ...\n", 1),
    ],
    ids=["docstring", "comment", "string", "f-string", "function name"],
)
def test_a_phrase_is_found_in_the_texts_of_python_code(tmp_path, source, line):
    assert found(tmp_path, "module.py", source) == [(line, "nobody")]


def test_code_is_not_text(tmp_path):
    assert found(tmp_path, "module.py", "nobody = walk(somebody)\n") == []


def test_a_line_can_be_excluded(tmp_path):
    assert found(tmp_path, "module.py", 'user = "nobody"  # check-language: ignore\n') == []


def test_the_command_names_file_line_and_advice(tmp_path, monkeypatch, capsys):
    (tmp_path / "page.md").write_text("Fine.\nAsk whoever knows.\n")
    monkeypatch.setattr(check_language, "ROOT", tmp_path)
    assert check_language.main([str(tmp_path / "page.md")]) == 1
    assert re.fullmatch(r"page\.md:2: 'whoever'\. Write: .+", capsys.readouterr().out.strip())
    (tmp_path / "page.md").write_text("Fine.\n")
    assert check_language.main([str(tmp_path / "page.md")]) == 0


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="files are listed by git")
def test_the_repository_passes():
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
