"""MkDocs hooks: tables that are generated from the code.

A page requests a table with a comment such as ``<!-- generated: sandbox-options -->``.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from airflow_provider_adobe_target import connection_form
from airflow_provider_adobe_target.cli.main import cli
from airflow_provider_adobe_target.sandbox.__main__ import _parser as sandbox_parser

PROJECT = Path(__file__).parents[1]
ROLE = re.compile(r":(?:attr|class|exc|func|meth|mod):(?=<code>)")
STANDARD_FIELDS = {
    "login": "Client code of the account, such as `acme`. Required.",
    "password": "Token that Target requires if *Require Authentication* is on. Default: no `Authorization` header.",
    "host": "Another endpoint, such as `http://127.0.0.1:8900`. Default: `https://<client code>.tt.omtrdc.net`.",
    "port": "Port of the base URL, if the URL contains none.",
}
MARKER = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page by their tables.

    :param markdown: Source of the page.
    :raises KeyError: If a marker names an unknown table.
    """
    return MARKER.sub(lambda marker: TABLES[marker[1]](), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Remove the reStructuredText of docstrings that Markdown does not render.

    :param html: Content of the page.
    """
    return ROLE.sub("", html).replace("::</p>", ":</p>")


def connection_fields() -> str:
    """Return the fields of the connection form."""
    standard = [
        (field.label or field.name.capitalize(), f"`{field.name}`", STANDARD_FIELDS[field.name])
        for field in connection_form.STANDARD_FIELDS
        if not field.hidden
    ]
    extra = [(field.label, f"extra `{field.name}`", field.description) for field in connection_form.EXTRA_FIELDS]
    return table(("Field in the form", "Airflow stores it in", "Description"), [*standard, *extra])


def sandbox_options() -> str:
    """Return the options of the sandbox's command line."""
    actions = [action for action in sandbox_parser()._actions if not isinstance(action, argparse._HelpAction)]
    return table(("Option", "Default", "Meaning"), [_option(action) for action in actions])


def _option(action: argparse.Action) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    meaning = (action.help or "").replace("%%", "%")
    if action.choices:
        meaning += ": " + ", ".join(f"`{choice}`" for choice in action.choices)
    return names, _default(action.default), meaning


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (int, float)):
        return f"{value:,}"
    if isinstance(value, str):
        return f"`{value}`"
    return ", ".join(f"`{item}`" for item in value or ()) or "none"


def examples() -> str:
    """Return the example DAGs, each with the first paragraph of its docstring and its source."""
    parts = []
    for path in sorted((PROJECT / "example_dags").glob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        description = docstring.replace("``", "`").replace("::\n", ":\n")  # from reStructuredText to Markdown
        name = f'"example_dags/{path.name}"'
        source = f"??? example {name}\n    ```python\n    --8<-- {name}\n    ```\n"
        parts.append(f"## {path.stem}\n\n{description}\n\n{source}")
    return "\n".join(parts)


def command_line() -> str:
    """Return the help text and the options of each command of ``adobe-target``."""
    parts = []
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is None or name == "sandbox":
            continue
        nested = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        parts += [_command(f"{name} {sub}".strip(), each) for sub, each in nested]
    return "\n\n".join(parts)


def _command(name: str, command: click.Command) -> str:
    with click.Context(command) as context:
        options = [parameter for parameter in command.get_params(context) if _is_shown(parameter)]
        rows = [(", ".join(f"`{opt}`" for opt in option.opts), _help(option, context)) for option in options]
    return f"### {name}\n\n{inspect.cleandoc(command.help or '')}\n\n" + table(("Option", "Meaning"), rows)


def _is_shown(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.name != "help"


def _help(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    usage = record[0].partition(" ")[2] if record else ""
    return " ".join(filter(None, [f"`{usage}`:" if usage.startswith("[") else "", record[1] if record else ""]))


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table.

    :param head: Titles of the columns.
    :param rows: Cells of each row.
    """
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]  # the others are code
    return "`".join(parts)


TABLES: dict[str, Callable[[], str]] = {
    "command-line": command_line,
    "connection-fields": connection_fields,
    "sandbox-options": sandbox_options,
    "examples": examples,
}
