"""``adobe-target check``: list what is wrong with files in Adobe's batch format."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from airflow_provider_adobe_target.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_adobe_target.client.batch_file_check import Problem


@click.command(short_help="Check files in the format of a batch upload.")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@click.option(
    "--max-problems",
    default=100,
    type=click.IntRange(0),
    show_default=True,
    help="Problems to list per file. All are counted.",
)
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@output.json_option
def check(files: tuple[str, ...], max_problems: int, strict: bool) -> int:
    """Check batch files: 'batch=thirdPartyId,...' and one percent-encoded row per line.

    Lists each problem with line and column, and what Adobe Target does with it. FILE may be '-' for standard input. The
    exit code is 1 if a file has an error. The output never contains ids or values.
    """
    results = [_check(file, max_problems, strict=strict) for file in files]
    output.print_result({"files": results}, lambda: _print(results))
    return 0 if all(result["valid"] for result in results) else 1


def _check(file: str, max_problems: int, *, strict: bool) -> dict[str, Any]:
    with click.open_file(file, "rb") as stream:
        body: bytes = stream.read()
    counts: Counter[str] = Counter()
    listed: list[Problem] = []
    errors = warnings = 0
    for problem in _problems(body):
        counts[problem.rule] += 1
        errors, warnings = errors + problem.is_error, warnings + (not problem.is_error)
        listed.append(problem)
        if len(listed) > 2 * max_problems + 1_000:
            listed = _first(listed, max_problems)
    rows = max(0, body.removesuffix(b"\n").count(b"\n"))
    return {
        "file": "standard input" if file == "-" else file,
        "valid": not errors and not (strict and warnings),
        "rows": rows,
        "bytes": len(body),
        "errors": errors,
        "warnings": warnings,
        "problems_by_rule": dict(sorted(counts.items())),
        "problems": [asdict(problem) for problem in _first(listed, max_problems)],
    }


def _first(problems: list[Problem], count: int) -> list[Problem]:
    """Return the first problems, ordered by position: the whole file first, then by line and column."""
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))[:count]


def _problems(body: bytes) -> Iterator[Problem]:
    from airflow_provider_adobe_target.client.batch_file_check import format_problems, row_problems

    yield from format_problems(body)
    yield from _name_problems(body)
    yield from row_problems(body)


def _name_problems(body: bytes) -> Iterator[Problem]:
    """Yield the problems of attribute names."""
    from urllib.parse import unquote

    from airflow_provider_adobe_target.client.batch_file_check import Problem
    from airflow_provider_adobe_target.profiles.attribute_names import attribute_name_problem

    header = body.partition(b"\n")[0].rstrip(b"\r").decode("latin-1")
    id_type, *names = header.removeprefix("batch=").split(",")
    column = header.find(id_type) + len(id_type) + 2
    seen: set[str] = set()
    for encoded in names:
        name = unquote(encoded)
        if name in seen:
            yield Problem("duplicate_name", f"The attribute {name!r} comes twice.", "Rename one.", 1, column)
        elif name and (problem := attribute_name_problem(name, id_type)):
            yield Problem("attribute_name", f"{name!r} cannot be an attribute: {problem}.", "Rename it.", 1, column)
        seen.add(name)
        column += len(encoded) + 1


def _print(results: list[dict[str, Any]]) -> None:
    for result in results:
        _print_file(result)


def _print_file(result: dict[str, Any]) -> None:
    for problem in result["problems"]:
        place = f":{problem['line']}:{problem['column']}" if problem["line"] else ""
        kind = "error" if problem["is_error"] else "warning"
        kind = click.style(kind, fg="red" if problem["is_error"] else "yellow")
        click.echo(f"{result['file']}{place}: {kind}: {problem['message']} {problem['advice']} [{problem['rule']}]")
    total = result["errors"] + result["warnings"]
    if total > len(result["problems"]):
        click.echo(f"{result['file']}: {total - len(result['problems']):,} further problems are not listed:")
        output.print_counts(result["problems_by_rule"])
    verdict = "valid" if result["valid"] else "not valid"
    click.echo(
        f"{result['file']}: {verdict}; rows: {result['rows']:,}, bytes: {result['bytes']:,}, errors: "
        f"{result['errors']:,}, warnings: {result['warnings']:,}"
    )
    sys.stdout.flush()
