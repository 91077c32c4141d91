"""Output of commands: results on standard output, as text or JSON; messages and progress on standard error."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_PACKAGE = "airflow_provider_adobe_target"
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_COLOURS = {"ok": "green", "complete": "green", "warning": "yellow", "error": "red", "stuck": "red"}

_as_json = False
_write_message: Callable[[str], object] = lambda text: click.echo(text, err=True)  # noqa: E731


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option ``--json`` to a command. It is not passed on; :func:`is_json` returns it."""
    return click.option(
        "--json", is_flag=True, expose_value=False, callback=_set_json, is_eager=True, help="Print the result as JSON."
    )(command)


def _set_json(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    global _as_json
    _as_json = value


def is_json() -> bool:
    """Return whether the result is printed as JSON."""
    return _as_json


def print_result(result: Any, text: Callable[[], object]) -> None:
    """Print the result of a command.

    :param result: Plain JSON.
    :param text: Function that prints the result as text.
    """
    if _as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
    else:
        text()


def print_error(message: str, kind: str, **details: Any) -> None:
    """Print an error: on standard error, and with ``--json`` as an object on standard output.

    :param message: Message.
    :param kind: Name of the exception's class.
    :param details: Further keys of the object.
    """
    print_json_error(message, kind, **details)
    click.secho(f"Error: {message}", fg="red", err=True)


def print_json_error(message: str, kind: str, **details: Any) -> None:
    """With ``--json``, print an error as an object on standard output."""
    if _as_json:
        click.echo(json.dumps({"error": message, "error_type": kind, **details}, ensure_ascii=False))


def print_table(rows: Sequence[Sequence[object]], *, right: Sequence[int] = (), indent: str = "  ") -> None:
    """Print rows in aligned columns.

    :param rows: Rows with the same number of cells. Whole numbers get thousands separators.
    :param right: Indexes of columns that are aligned to the right.
    """
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        cells = [
            click.style(cell, fg=_COLOURS.get(cell.strip())) if cell.strip() in _COLOURS else cell for cell in cells
        ]
        click.echo((indent + "  ".join(cells)).rstrip())


def print_counts(counts: Mapping[str, object]) -> None:
    """Print names and numbers, one a line."""
    print_table([(name, "unknown" if count is None else count) for name, count in counts.items()], right=[1])


# --- messages --------------------------------------------------------------------------------------------------------


def configure_logging(verbosity: int, *, quiet: bool) -> None:
    """Print log records of this package on standard error.

    :param verbosity: 0 for warnings, 1 for INFO, 2 for DEBUG.
    :param quiet: Print errors only.
    """
    logger = logging.getLogger(_PACKAGE)
    logger.handlers = [_Handler()]
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else _LEVELS[min(verbosity, 2)])


@contextmanager
def messages_to(write: Callable[[str], object]) -> Iterator[None]:
    """Set the function that prints messages, for example above a progress bar."""
    global _write_message
    previous, _write_message = _write_message, write
    try:
        yield
    finally:
        _write_message = previous


@contextmanager
def airflow_on_stderr() -> Iterator[None]:
    """Redirect what Airflow prints on standard output, such as log records, to standard error."""
    saved, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = saved


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        traceback = f"\n{logging.Formatter().formatException(record.exc_info)}" if record.exc_info else ""
        _write_message(f"{record.levelname.capitalize()}: {record.getMessage()}{traceback}")
