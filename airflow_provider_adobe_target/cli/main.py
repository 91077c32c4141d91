"""The command group ``adobe-target``: its commands, error messages and exit codes."""

from __future__ import annotations

import logging
import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from airflow_provider_adobe_target import __version__
from airflow_provider_adobe_target.cli import output
from airflow_provider_adobe_target.exceptions import AdobeTargetError, ConnectionSettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

PROGRAM = "adobe-target"
OK, BAD_OUTCOME, BAD_CALL, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

COMMANDS = {  # name: module and attribute below this package
    "check": "check:check",
    "completion": "completion:completion",
    "conn": "conn:conn",
    "doctor": "doctor:doctor",
    "ledger": "ledger:ledger",
    "plan": "upload:plan",
    "profile": "profile:profile",
    "sandbox": "sandbox:sandbox",
    "send": "upload:send",
    "status": "status:status",
    "sync-log": "sync_log:sync_log",
}
"""All subcommands. Add a line to add a command; its module is imported when the command runs, and for ``--help``."""


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM."""


class _CommandGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"airflow_provider_adobe_target.cli.{module}"), attribute)
        return command


_EPILOG = """\b
Connection: --conn-id NAME looks up an Airflow connection. Without it, these environment variables are read:
  ADOBE_TARGET_CLIENT_CODE  client code
  ADOBE_TARGET_TOKEN        Profile API token, if the account requires one
  ADOBE_TARGET_HOST         base URL of another endpoint, such as http://127.0.0.1:8900 of the sandbox

\b
Exit codes: 0 success; 1 the outcome is bad; 2 the command was called incorrectly;
  130 Ctrl-C; 143 SIGTERM."""


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=_CommandGroup, epilog=_EPILOG, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.option("-v", "--verbose", count=True, help="Show log messages of level INFO; -vv: DEBUG.")
@click.option("-q", "--quiet", is_flag=True, help="Show neither progress bars nor warnings.")
@click.pass_context
def cli(ctx: click.Context, verbose: int, quiet: bool) -> None:
    """Send customer profiles to Adobe Target, and inspect batch files, batches and profiles, without a DAG."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    output.configure_logging(verbose, quiet=quiet)
    ctx.obj = {"quiet": quiet}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    :param argv: Arguments. Default: those of the process.
    :return: Exit code.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result: Any = cli.main(None if argv is None else list(argv), prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        output.print_json_error(error.format_message(), type(error).__name__)
        error.show()
        return error.exit_code
    except click.Abort as error:
        return _interrupted(error.__context__)
    except KeyboardInterrupt as error:
        return _interrupted(error)
    except (AdobeTargetError, OSError) as error:
        output.print_error(str(error), type(error).__name__)
        return BAD_CALL if isinstance(error, ConnectionSettingsError) else BAD_OUTCOME
    except Exception as error:  # its message may contain values of rows
        output.print_error(f"Unexpected {type(error).__name__}. -vv shows the traceback.", type(error).__name__)
        log.debug("Traceback", exc_info=error)
        return BAD_OUTCOME
    return result if isinstance(result, int) else OK


def exit_code_of(interrupt: BaseException) -> int:
    """Return the exit code for an interrupt."""
    return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


def _interrupted(interrupt: BaseException | None) -> int:
    click.echo("Interrupted.", err=True)
    return exit_code_of(interrupt or KeyboardInterrupt())


def _terminate(*_: object) -> None:
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())
