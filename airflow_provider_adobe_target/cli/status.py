"""``adobe-target status``: show the status of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from airflow_provider_adobe_target.cli import output
from airflow_provider_adobe_target.cli.connection import conn_id_option, open_session
from airflow_provider_adobe_target.cli.progress import spinner

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.batch import Batch

_FIELDS = ("status", "batch_size", "consumed_count", "successful_updates", "profiles_not_found", "failed_updates")


@click.command(short_help="Show the status of a batch.")
@click.argument("url")
@click.option("--wait", is_flag=True, help="Wait until the status is final.")
@click.option(
    "--poll-interval",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds between polls; it grows to five times this.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=86_400.0,
    show_default=True,
    help="Seconds to wait at most.",
)
@click.option(
    "--max-failed-pct",
    type=click.FloatRange(0, 100),
    default=0.0,
    show_default=True,
    help="Percentage of rows that may have failed.",
)
@conn_id_option
@output.json_option
@click.pass_context
def status(
    ctx: click.Context,
    url: str,
    wait: bool,
    poll_interval: float,
    timeout: float,
    max_failed_pct: float,
    conn_id: str | None,
) -> int:
    """Show the status of the batch with the status URL that an upload returned.

    The exit code is 1 if the batch is stuck, lost, or has failed rows, and if it is not final after --timeout. Without
    --wait, a batch that is still incomplete is no failure.
    """
    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.client.endpoints.status_url import checked_status_url
    from airflow_provider_adobe_target.exceptions import TargetRefusedError

    session = open_session(conn_id)
    try:
        checked_status_url(session.settings, url)
    except TargetRefusedError as error:
        raise click.BadParameter(str(error), param_hint="URL") from None
    batch = Batch.from_status_url(url)
    if wait:
        with spinner("Waiting for the batch", quiet=ctx.obj["quiet"]):
            [batch] = session.wait([batch], poll_interval, session.clock.now() + timeout)
    else:
        [batch] = session.poll([batch])
    problem = _problem(batch, max_failed_pct)
    output.print_result({**batch.to_dict(), "problem": problem}, lambda: _print(batch, problem))
    return 1 if problem else 0


def _problem(batch: Batch, max_failed_pct: float) -> str | None:
    from airflow_provider_adobe_target.client.verdict import OutcomeLimits, evaluate_batches
    from airflow_provider_adobe_target.exceptions import BatchOutcomeError

    if not batch.final:
        return None
    try:
        evaluate_batches([batch], OutcomeLimits(max_failed_pct))
    except BatchOutcomeError as error:
        return str(error)
    return None


def _print(batch: Batch, problem: str | None) -> None:
    click.echo(f"Batch {batch.batch_id}")
    entry: dict[str, Any] = batch.to_dict()
    output.print_counts({name: entry[name] for name in _FIELDS})
    if problem:
        click.secho(problem, fg="red")
