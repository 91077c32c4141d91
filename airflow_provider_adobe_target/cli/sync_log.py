"""``adobe-target sync-log``: the log of task runs."""

from __future__ import annotations

import click

from airflow_provider_adobe_target.cli import output


@click.group("sync-log")
def sync_log() -> None:
    """Work with the sync log, the record of task runs."""


@sync_log.command()
@click.option("--dialect", default="", help="Dialect of the database in SQLAlchemy, such as mysql or mssql.")
@output.json_option
def ddl(dialect: str) -> None:
    """Print the SQL statements that create the table of the sync log."""
    from airflow_provider_adobe_target.sync_log.table import ddl as statements_of

    statements = statements_of(dialect)
    output.print_result({"statements": statements}, lambda: click.echo(";\n\n".join(statements) + ";"))
