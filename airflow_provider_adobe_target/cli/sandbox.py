"""``adobe-target sandbox``: the local substitute for Adobe Target."""

from __future__ import annotations

import click


@click.command(
    short_help="Start a local substitute for Adobe Target.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> int:
    """Start a local substitute for Adobe Target; same options as adobe-target-sandbox."""
    try:
        from airflow_provider_adobe_target.sandbox.__main__ import main
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from None
    try:
        return main(list(arguments))
    except SystemExit as end:  # of argparse
        return end.code if isinstance(end.code, int) else 1
