"""``adobe-target completion``: shell completion."""

from __future__ import annotations

import click

_VARIABLE = "_ADOBE_TARGET_COMPLETE"
_EPILOG = """\b
bash: eval "$(adobe-target completion bash)"
zsh:  eval "$(adobe-target completion zsh)"
fish: adobe-target completion fish | source"""


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script of a shell, for its start-up file."""
    from click.shell_completion import get_completion_class

    from airflow_provider_adobe_target.cli.main import PROGRAM, cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click has no completion for {shell}.")
    click.echo(kind(cli, {}, PROGRAM, _VARIABLE).source())
    return 0
