"""The connection of a command: an Airflow connection, or environment variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from airflow_provider_adobe_target.cli.output import airflow_on_stderr, first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.client.settings import TargetSettings

CLIENT_CODE, TOKEN, HOST = "ADOBE_TARGET_CLIENT_CODE", "ADOBE_TARGET_TOKEN", "ADOBE_TARGET_HOST"


def conn_id_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option ``--conn-id`` to a command."""
    return click.option(
        "--conn-id", metavar="NAME", help=f"Airflow connection to Adobe Target. Default: {CLIENT_CODE} and so on."
    )(command)


def open_session(conn_id: str | None) -> Session:
    """Return a session.

    :param conn_id: Id of an Airflow connection. None for the environment variables.
    :raises click.UsageError: If there is no such connection.
    :raises ConnectionSettingsError: If a field of the connection is invalid.
    """
    from airflow_provider_adobe_target.client.session import Session

    return Session(connection_settings(conn_id))


def connection_settings(conn_id: str | None) -> TargetSettings:
    """Return the settings of the connection; parameters and errors as :func:`open_session`."""
    return _airflow_settings(conn_id) if conn_id else _environment_settings()


def has_connection(conn_id: str | None) -> bool:
    """Return whether a connection is given."""
    return bool(conn_id or os.environ.get(CLIENT_CODE))


def _environment_settings() -> TargetSettings:
    from airflow_provider_adobe_target.client.settings import TargetSettings

    client_code = os.environ.get(CLIENT_CODE)
    if not client_code:
        raise click.UsageError(
            "No connection. Give --conn-id, such as --conn-id adobe_target_default, or set the environment variable "
            f"{CLIENT_CODE}, and {TOKEN} and {HOST} if they are needed."
        )
    return TargetSettings.from_fields(client_code, os.environ.get(TOKEN), os.environ.get(HOST), None, None)


def _airflow_settings(conn_id: str) -> TargetSettings:
    with airflow_on_stderr():
        prepare_airflow()
        from airflow.providers.common.compat.sdk import AirflowException

        from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook

        try:
            return AdobeTargetHook(adobe_target_conn_id=conn_id).settings
        except (AirflowException, RuntimeError) as error:
            raise click.UsageError(f"Airflow has no usable connection {conn_id!r}: {first_line(error)}") from None


def prepare_airflow() -> None:
    """Let Airflow 3 look up connections in its database, as its own command line does. Call it before any import.

    :raises click.ClickException: If Airflow is not installed.
    """
    # Without it, Airflow 3 searches the environment and secrets backends only, as in a task without a supervisor.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    try:
        import airflow.exceptions  # noqa: F401
    except ImportError as error:
        raise click.ClickException(f"Airflow cannot be imported: {error}") from None
