"""Each message in the tables of messages of the documentation exists in the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from heapq import nlargest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "airflow_provider_adobe_target"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]  # the tables may be on any page
HEADERS = {"| The message says | What to do |", "| It says | Meaning |", "| Message | Meaning |"}
QUOTED = re.compile(r"`([^`]+)`")
ANY = "\0"  # a placeholder of an f-string or of logging, or "…" in a row
LOGGING = re.compile(r"%(?:[.,0-9]*[sdf]|\(\w+\)s)")


def rows():
    for page in PAGES:
        in_table = False
        for number, line in enumerate(page.read_text().splitlines(), start=1):
            in_table = line in HEADERS or (in_table and line.startswith("|"))
            cell = line.removeprefix("|").partition(" |")[0] if in_table else ""
            for quoted in QUOTED.findall(cell):
                yield pytest.param(quoted, id=f"{page.relative_to(ROOT)}:{number}: {quoted}")


def template(node):
    """Return the text of a string or f-string, with ANY for each placeholder."""
    match node:
        case ast.Constant(value=str(text)):
            return LOGGING.sub(ANY, text)
        case ast.JoinedStr(values=parts):
            return "".join(template(part) or ANY for part in parts)
    return None


@cache
def templates():
    """Return the texts of all strings of the package but docstrings, each with its 4-grams."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) not in docstrings and (text := template(node)) and " " in text:
                found[text] = grams(text)
    return found


def grams(text):
    return {text[start : start + 4] for start in range(len(text) - 3)}


def literal_overlap(row, message):
    """Return the largest number of equal characters if a text exists that both describe; -1 if there is none.

    ANY stands for any text in both. Before and after the row, the message may have more.
    """
    pattern = f"{ANY}{row}{ANY}"
    # scores[j]: best score for the rest of the pattern and message[j:]
    scores = [0 if not message[j:].strip(ANY) else -1 for j in range(len(message) + 1)]
    for character in reversed(pattern):
        following = scores
        scores = [-1] * (len(message) + 1)
        for j in range(len(message), -1, -1):
            options = []
            if j < len(message) and character == message[j] != ANY and following[j + 1] >= 0:
                options.append(following[j + 1] + 1)
            if character == ANY:  # covers nothing, or one more character of the message
                options += [following[j], scores[j + 1] if j < len(message) else -1]
            elif j < len(message) and message[j] == ANY:  # the placeholder covers this character
                options.append(following[j])
            if j < len(message) and message[j] == ANY:  # the placeholder covers nothing more
                options.append(scores[j + 1])
            scores[j] = max(options, default=-1)
    return scores[0]


def is_in_the_code(quoted):
    row = quoted.replace("…", ANY)
    needed = 0.4 * len(row.replace(ANY, ""))
    wanted = grams(row)
    likely = nlargest(5, templates(), key=lambda message: len(wanted & templates()[message]))
    return any(literal_overlap(row, message) > needed for message in likely)


def test_the_tables_are_found():
    assert len(list(rows())) > 100


@pytest.mark.parametrize("quoted", list(rows()))
def test_a_message_of_the_table_is_in_the_code(quoted):
    assert is_in_the_code(quoted), "No message of the package matches. Change the row together with the message."


@pytest.mark.parametrize(
    "quoted", ["The moon is made of …", "login must be the postal code", "port must be a prime number", "… is nowhere"]
)
def test_a_message_that_does_not_exist_is_found_out(quoted):
    assert not is_in_the_code(quoted)
