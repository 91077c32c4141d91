"""Check the project's texts against a list of words and phrases that are not plain technical English.

Run it with ``make lint`` or ``python scripts/check_language.py [FILE ...]``. Of Python files, comments, strings and the
names of functions and classes are checked, of other files every line. A line that contains ``check-language: ignore``
is not checked.
"""

# ruff: noqa: T201, S603 - a command-line script that runs git

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
IGNORE = "check-language: ignore"

# Phrase (a regular expression, case-insensitive) -> what to write instead.
PHRASES = {
    r"(?:is|are|was|were) (?:not )?to (?:be|begin|come|give|go|have|hold|name|say|stay)": "must, cannot",
    r"whoever|whomever|whom": "the caller, the user, a task",
    r"(?:he|she|one|thread|task|call|file|code) who": "the caller, the thread that",
    r"nobody|somebody": "no user, no process, a user",
    r"what (?:became|becomes|has become) of": "the outcome of, the status of",
    r"patien(?:ce|tly)": "timeout, max_elapsed, retry after",
    r"(?<!\.)walk(?:s|ed|ing)?": "iterate, traverse, attempt",
    r"sets? aside|setting aside": "spill, reject, store",
    r"in peace": "pause",
    r"no number": "not a number",
    r"an account of": "a report of, the counts of",
    r"by chance": "random, at random",
    r"anew": "again",
    r"for good": "permanently",
    r"as (?:few|little|much|many) as can be": "the minimum of",
    r"(?:tell|tells|told) (?:whether|of|what)": "return whether, report",
    r"looked through": "resolved",
    r"far too": "too",
    r"under way": "in progress",
    r"bad rows?": "invalid rows, rejected rows",
    r"call budgets?": "rate limit",
    r"calls a (?:minute|second)": "calls per minute",
    r"as (?:it|they) stands?": "unchanged",
    r"ways? out": "hint, solution",
    r"meanwhile": "since, during",
    r"(?:is|are|was|were|not|be) asked for": "requested",
    r"goes on|go on": "continues",
    r"tells? (?:\w+ )?apart": "distinguish",
}
SENTENCE_END = re.compile(r", too[.;:]")  # ", too" at the end of a sentence: write "also"
EXTENSIONS = {".py", ".md", ".toml", ".yml", ".yaml", ".cfg", ".sh", ".txt"}
NAMES = {"Makefile"}
# Third-party texts, and the list itself.
NOT_CHECKED = ("example_dags/data/", "scripts/check_language.py", "tests/test_check_language.py")

_PATTERN = re.compile(rf"\b(?:{'|'.join(f'({phrase})' for phrase in PHRASES)})\b", re.IGNORECASE)
_ADVICE = list(PHRASES.values())
_FSTRING_MIDDLE = getattr(tokenize, "FSTRING_MIDDLE", None)  # Python 3.12 and later


def problems(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, the phrase and the advice of each problem in a file."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for number, text in _python_texts(source) if path.suffix == ".py" else enumerate(lines, start=1):
        if IGNORE not in lines[number - 1]:
            yield from ((number, phrase, advice) for phrase, advice in _found(text))


def _found(text: str) -> Iterator[tuple[str, str]]:
    for match in _PATTERN.finditer(text):
        yield match[0], _ADVICE[(match.lastindex or 1) - 1]
    for match in SENTENCE_END.finditer(text):
        yield match[0], "also"


def _python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of comments and strings, and the names of functions and classes with spaces for underscores."""
    previous = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING, _FSTRING_MIDDLE):
            yield from enumerate(token.string.splitlines(), start=token.start[0])
        elif token.type == tokenize.NAME and previous in ("def", "class"):
            yield token.start[0], token.string.replace("_", " ")
        previous = token.string


def tracked_files() -> list[Path]:
    """Return the files of the repository that are checked, according to git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def is_checked(path: Path) -> bool:
    """Return whether a file is checked."""
    name = path.resolve().relative_to(ROOT).as_posix()
    return (path.suffix in EXTENSIONS or path.name in NAMES) and not name.startswith(NOT_CHECKED)


def main(argv: Sequence[str] | None = None) -> int:
    """Check files and print the problems.

    :param argv: Command-line options. Default: those of the process.
    :return: Exit code: 0, or 1 if there are problems.
    """
    parser = argparse.ArgumentParser(description="Check texts for words that are not plain technical English.")
    parser.add_argument("files", nargs="*", type=Path, help="files to check; default: all files of the repository")
    count = 0
    for path in filter(is_checked, parser.parse_args(argv).files or tracked_files()):
        for number, phrase, advice in problems(path):
            print(f"{path.resolve().relative_to(ROOT)}:{number}: {phrase!r}. Write: {advice}")
            count += 1
    if count:
        print(f"{count} phrases to reword. Guidelines: CONTRIBUTING.md", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
