"""``adobe-target conn``: the connection."""

from __future__ import annotations

import click

from airflow_provider_adobe_target.cli import output
from airflow_provider_adobe_target.cli.connection import conn_id_option, open_session


@click.group()
def conn() -> None:
    """Work with the connection to Adobe Target."""


@conn.command("test")
@conn_id_option
@output.json_option
def test_connection(conn_id: str | None) -> int:
    """Test the connection with a real call that changes nothing."""
    from airflow_provider_adobe_target.exceptions import AdobeTargetError

    session = open_session(conn_id)
    try:
        works, message = session.test_connection()
    except (AdobeTargetError, OSError) as error:
        works, message = False, str(error)
    result = {"works": works, "message": message, "base_url": session.settings.base_url}
    output.print_result(result, lambda: click.secho(message, fg="green" if works else "red"))
    return 0 if works else 1
