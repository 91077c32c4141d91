"""Options of ``plan`` and ``send``. Names, meanings and defaults as in ``BulkProfileUpdateOperator``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from airflow_provider_adobe_target.cli import output
from airflow_provider_adobe_target.cli.connection import conn_id_option
from airflow_provider_adobe_target.cli.rows import SQL_URL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Decorator = Callable[[Any], Any]


def plan_options(command: Any) -> Any:
    """Add the arguments and options of ``plan`` to a command."""
    return _with((*_ROW_OPTIONS, *_PLAN_OPTIONS, *_COMMON_OPTIONS), command)


def send_options(command: Any) -> Any:
    """Add the arguments and options of ``send`` to a command."""
    return _with((*_ROW_OPTIONS, *_SEND_OPTIONS, *_COMMON_OPTIONS), command)


def _with(options: Sequence[Decorator], command: Any) -> Any:
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


def _choice(name: str, choices: Sequence[str], text: str) -> Decorator:
    """Return an option whose default is the first choice."""
    return click.option(name, type=click.Choice(choices), default=choices[0], show_default=True, help=text)


def _whole_number(name: str, default: int, most: int, text: str) -> Decorator:
    limits = click.IntRange(1, most)
    return click.option(name, type=limits, metavar="NUMBER", default=default, show_default=True, help=text)


def _seconds(name: str, default: float, text: str) -> Decorator:
    limits = click.FloatRange(0, min_open=True)
    return click.option(name, type=limits, metavar="SECONDS", default=default, show_default=True, help=text)


def _percentage(name: str, default: float | None, text: str) -> Decorator:
    return click.option(
        name, type=click.FloatRange(0, 100), metavar="NUMBER", default=default, show_default=True, help=text
    )


_ROW_OPTIONS = (
    click.argument("files", nargs=-1, metavar="[FILE]..."),
    click.option("--sql", metavar="STATEMENT", help="Read the rows of a statement, or of one in a .sql file."),
    click.option("--sql-conn-id", metavar="NAME", help="Airflow connection for --sql."),
    click.option(
        "--sql-url",
        metavar="URL",
        help=f"Database for --sql: duckdb:///file, sqlite:///file, or a URL of SQLAlchemy. Default: ${SQL_URL}.",
    ),
    click.option("--file-format", type=click.Choice(["parquet", "csv", "ndjson"]), help="Default: from the suffix."),
    click.option("--delimiter", metavar="CHARACTER", help="Character between CSV cells.  [default: ,]"),
    click.option("--encoding", metavar="NAME", help="Encoding of CSV files.  [default: utf-8]"),
    click.option("--id-column", metavar="NAME", help="Default: the column named thirdPartyId, pcId and so on."),
    click.option("--id-type", type=click.Choice(["thirdPartyId", "pcId"]), help="Default: from the id column's name."),
    click.option(
        "--attributes",
        metavar="A,B",
        help="Columns to send, as a,b or column=attribute,…  [default: every other column]",
    ),
    click.option(
        "--constant",
        "constants",
        multiple=True,
        metavar="NAME=VALUE",
        help="Attribute with the same value for all rows. May be repeated.",
    ),
    _choice("--attribute-case", ["keep", "lower"], "Letter case of attribute names."),
    _choice("--api-version", ["v2", "v1"], "v2 creates profiles that do not exist, v1 does not."),
    _whole_number("--max-rows-per-file", 50_000, 499_999, "Rows per batch file, at most 499999."),
    _whole_number("--max-bytes-per-file", 49_000_000, 49_999_999, "Bytes per batch file, at most 49999999."),
    click.option("--fail-on-invalid", is_flag=True, help="End at the first invalid row, before anything is sent."),
    _percentage("--max-invalid-pct", None, "A higher percentage of invalid rows ends the run before anything is sent."),
    _choice("--on-duplicate-id", ["first", "last", "fail"], "Row of an id that is sent."),
    _choice("--on-risky-value", ["replace", "reject", "encode"], "A comma or line break in a value."),
    _whole_number("--max-value-length", 5_000, 1_000_000, "Characters. A longer value makes the row bad."),
    click.option("--rejects-path", metavar="FOLDER", help="Local folder for a Parquet file of the rejected rows."),
    _choice("--on-no-rows", ["succeed", "fail"], "If the source has no rows."),
    click.option("--ledger", metavar="PATH", help="Folder of a ledger: only rows that differ from it are sent."),
    click.option(
        "--writer",
        metavar="DAG.TASK",
        default="adobe-target",
        show_default=True,
        help="Task whose rows these are in the ledger.",
    ),
)
_PLAN_OPTIONS = (
    click.option(
        "--sync-log",
        metavar="NAME",
        help="Mark attributes that were never sent, by a sync log: an Airflow connection, or a folder.",
    ),
)
_SEND_OPTIONS = (
    click.option("--wait", "wait_for_completion", is_flag=True, help="Wait until Adobe Target has processed the rows."),
    _seconds("--poll-interval", 60.0, "Time before the first poll. It grows to five times this."),
    _seconds("--timeout", 86_400.0, "Time to wait at most."),
    _percentage("--max-failed-pct", 0.0, "Percentage of rows that may have failed."),
    _percentage("--max-not-found-pct", None, "Percentage of rows whose id may be unknown."),
    click.option(
        "--checkpoint",
        metavar="PATH",
        help="File that keeps what was sent. The same command continues from it, and sends nothing twice.",
    ),
    click.option("--guaranteed-upload", is_flag=True, help="Wait for each file before the next one is sent."),
    _whole_number("--max-concurrent-uploads", 2, 10, "Files that are sent at a time, at most 10."),
)
_COMMON_OPTIONS = (conn_id_option, output.json_option, click.pass_context)
