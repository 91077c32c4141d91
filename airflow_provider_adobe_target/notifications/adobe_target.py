"""Notifier that formats the report of a task, for chat or mail."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseNotifier, context_merge

from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError
from airflow_provider_adobe_target.load.report_text import report_markdown, report_text
from airflow_provider_adobe_target.version_compat import AirflowFailException, AirflowSensorTimeout

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context

_FORMATS = ("text", "markdown")
# Errors whose messages contain names and counts only. The message of another error could contain a value.
_OWN_ERRORS = (AdobeTargetError, AirflowFailException, AirflowSensorTimeout)


class AdobeTargetNotifier(BaseNotifier):
    """Format the report of a task, and pass the message to another notifier, a function or the log.

    The message contains names, counts, reasons and batch ids, without ids or values of profiles. Use the notifier as
    ``on_success_callback``, ``on_failure_callback``, ``on_retry_callback`` or ``on_skipped_callback`` of a task.

    :param notifier: Receiver of the message. A notifier of another provider is called with the context, in which
        ``adobe_target_text`` and ``adobe_target_markdown`` are the message for its templates. A function is called
        with the message. Default: the message is logged.
    :param message_format: ``text`` or ``markdown``, for functions and the log.
    :param title: First line of the message (templated). Default: task, run and result.
    """

    template_fields: Sequence[str] = ("title",)

    def __init__(
        self,
        *,
        notifier: BaseNotifier | Callable[[str], object] | None = None,
        message_format: Literal["text", "markdown"] = "text",
        title: str | None = None,
    ) -> None:
        super().__init__()
        if message_format not in _FORMATS:
            raise InvalidArgumentError(f"message_format={message_format!r} is invalid. Use text or markdown.")
        self.notifier = notifier
        self.message_format = message_format
        self.title = title

    def notify(self, context: Context) -> None:
        """Format the report of the task in the context, and pass the message on."""
        messages = {
            "text": self._message(context, report_text, bold="{}"),
            "markdown": self._message(context, report_markdown, bold="**{}**"),
        }
        message = messages[self.message_format]
        if isinstance(self.notifier, BaseNotifier):
            context_merge(context, {f"adobe_target_{name}": text for name, text in messages.items()})
            copy.copy(self.notifier)(context)  # Airflow renders the templates of a notifier in place
        elif self.notifier is not None:
            self.notifier(message)
        else:
            self.log.info("%s", message)

    def _message(self, context: Context, form: Callable[[Any], str], bold: str) -> str:
        ti: Any = context["ti"]
        parts = [bold.format(self.title or _title(context))]
        error = context.get("exception")
        if error is not None:
            parts.append(str(error) if isinstance(error, _OWN_ERRORS) else f"Error: {type(error).__name__}")
        report = _report(ti)
        if report is not None:
            parts.append(form(report))
        return "\n\n".join([*parts, f"Log: {ti.log_url}"])


def _title(context: Context) -> str:
    ti: Any = context["ti"]
    error = context.get("exception")
    # dag.test() of Airflow 3.0 to 3.2 does not add the exception of a failure.
    skipped = ti.state == "skipped" if error is None else type(error).__name__ == "AirflowSkipException"
    failed = ti.state in ("failed", "up_for_retry") if error is None else not skipped
    result = "skipped" if skipped else "failed" if failed else "succeeded"
    map_index = f"[{ti.map_index}]" if ti.map_index is not None and ti.map_index >= 0 else ""
    return f"Adobe Target: {ti.dag_id}.{ti.task_id}{map_index} {result} ({ti.run_id})"


def _report(ti: Any) -> dict[str, Any] | None:
    """Return the report of a task, or the batches of a sensor or a failed upload; None if there is nothing."""
    report = _pull(ti, "return_value")
    if isinstance(report, dict) and "rows_read" in report:
        return report
    batches = report if isinstance(report, list) else _pull(ti, "batches")
    if not batches:
        return None
    rows = sum(batch.get("rows") or 0 for batch in batches)
    return {"rows_read": rows, "rows_sent": rows, "batches": batches}


def _pull(ti: Any, key: str) -> Any:
    return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)
