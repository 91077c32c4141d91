"""Progress bars on standard error, if it is a terminal."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, Task, TaskID


def is_shown(*, quiet: bool) -> bool:
    """Return whether progress is shown."""
    return not quiet and sys.stderr.isatty()


@contextmanager
def spinner(description: str, *, quiet: bool) -> Iterator[None]:
    """Show a spinner and the elapsed time."""
    if not is_shown(quiet=quiet):
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=_console(), transient=True) as progress, output.messages_to(progress.console.print):
        progress.add_task(description, total=None)
        yield


class UploadProgress:
    """Progress of an upload: rows read, rows accepted, and batches processed. A context manager.

    :param total: Number of rows. None if it is not known.
    :param sends: Whether rows are sent.
    :param shown: Whether bars are shown.
    """

    def __init__(self, total: int | None, *, sends: bool, shown: bool) -> None:
        self._total = total
        self._sends = sends
        self._shown = shown
        self._stack = ExitStack()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> UploadProgress:
        if self._shown:
            self._progress = self._stack.enter_context(_rows_progress())
            console = self._progress.console
            self._stack.enter_context(output.messages_to(lambda text: console.print(text, markup=False)))
            self._add("Read", "rows", self._total)
            if self._sends:
                self._add("Sent", "rows", self._total)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def read(self, rows: int) -> None:
        """Count rows that were read."""
        self._update("Read", advance=rows)

    def read_again(self) -> None:
        """Start another pass over the rows."""
        self._update("Read", completed=0)

    def sent(self, rows: int) -> None:
        """Set the number of rows that Adobe Target accepted."""
        self._update("Sent", completed=rows)

    def waiting(self, batches: int) -> None:
        """Show that all rows were sent, and that batches are awaited."""
        if self._progress:
            for task in self._progress.tasks:
                self._progress.update(task.id, total=task.completed)
            if "Processed" not in self._tasks:
                self._add("Processed", "batches", batches)

    def final(self, batches: int) -> None:
        """Set the number of batches with a final status."""
        self._update("Processed", completed=batches)

    def _add(self, name: str, unit: str, total: int | None) -> None:
        if self._progress:
            self._tasks[name] = self._progress.add_task(name, total=total, unit=unit)

    def _update(self, name: str, **changes: Any) -> None:
        if self._progress and name in self._tasks:
            self._progress.update(self._tasks[name], **changes)


def _rows_progress() -> Progress:
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class Counts(ProgressColumn):
        def render(self, task: Task) -> Text:
            total = f" of {task.total:,.0f}" if task.total is not None else ""
            return Text(f"{task.completed:,.0f}{total} {task.fields['unit']}")

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f} rows/s" if speed and task.fields["unit"] == "rows" else "")

    return Progress(
        TextColumn("{task.description:9}"),
        BarColumn(bar_width=None, table_column=Column(max_width=20)),  # shrinks in a narrow terminal
        Counts(table_column=Column(no_wrap=True)),
        Rate(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=_console(),
    )


def _console() -> Any:
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False)
