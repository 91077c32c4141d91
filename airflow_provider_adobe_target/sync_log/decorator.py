"""Record the runs of an operator or a sensor in the sync log."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_provider_adobe_target.sync_log.no_recorder import NoRecorder

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.rate_limit.limiter import Usage
    from airflow_provider_adobe_target.sync_log.record import RunRecord
    from airflow_provider_adobe_target.version_compat import Context

F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger(__name__)

NO_RECORDER = NoRecorder()

# Raised by Airflow if the task continues later. Their modules differ between versions.
_NOT_THE_END = ("TaskDeferred", "AirflowRescheduleException")
_SOURCES = ("sql", "path", "data", "profile_id")


class Recorded:
    """What :func:`recorded` needs of an operator or sensor.

    :cvar sync_log_is_sender: Whether the task sends rows. Other tasks are recorded when they end only.
    """

    sync_log_is_sender = True
    sync_log: str | None = None
    _recorder: NoRecorder = NO_RECORDER


def recorded(method: F) -> F:
    """Decorate ``execute`` and ``execute_complete``, so that the task run is recorded if it has a sync log.

    A method that calls another decorated method of the same task is recorded once.
    """

    @functools.wraps(method)
    def run(self: Any, context: Context, *arguments: Any, **named: Any) -> Any:
        if self._recorder is not NO_RECORDER:
            return method(self, context, *arguments, **named)
        recorder = _recorder(self, context)
        if not recorder.is_active:
            return method(self, context, *arguments, **named)
        _begin(recorder, is_resumed=method.__name__ != "execute")
        self._recorder = recorder
        try:
            result = method(self, context, *arguments, **named)
        except BaseException as error:
            _end(recorder, error)
            raise
        finally:
            self._recorder = NO_RECORDER
        if getattr(self, "ledger", None) is not None:
            recorder.note_ledger(self.ledger)
        recorder.finished(result, task_failed=False)
        return result

    return cast(F, run)


def _begin(recorder: NoRecorder, *, is_resumed: bool) -> None:
    if is_resumed:
        recorder.resume()
    elif recorder.is_sender:
        recorder.start()


def _end(recorder: NoRecorder, error: BaseException) -> None:
    if continues_later(error):
        recorder.deferred()
    elif "AirflowSkipException" in _class_names(error):
        recorder.finished(None, task_failed=False)
    else:
        recorder.finished(None, task_failed=True, error=type(error).__name__)


def continues_later(error: BaseException) -> bool:
    """Return whether an exception defers or reschedules the task, which is not an error."""
    return bool(_class_names(error).intersection(_NOT_THE_END))


def _class_names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _recorder(task: Any, context: Context) -> NoRecorder:
    """Return the recorder of a task run. An error is a warning; the task itself reports an invalid connection."""
    try:
        settings = task.hook.settings
    except Exception:
        settings = None
    name = task.sync_log or getattr(settings, "sync_log", None)
    if not name:
        return NO_RECORDER
    from airflow_provider_adobe_target.sync_log.location import open_sync_log
    from airflow_provider_adobe_target.sync_log.recorder import RunRecorder

    try:
        return RunRecorder(
            name,
            open_sync_log(name),
            _record(task, context, settings),
            usage=lambda: usage_of(task),
            is_sender=task.sync_log_is_sender,
            keep_days=getattr(settings, "sync_log_keep_days", None),
        )
    except Exception as error:
        log.warning("The sync log %s cannot be used: %s: %s", name, type(error).__name__, error)
        return NO_RECORDER


def _record(task: Any, context: Context, settings: Any) -> RunRecord:
    from airflow_provider_adobe_target.sync_log.record import RunRecord, utc_now

    ti: Any = context["ti"]
    source = next((name for name in _SOURCES if getattr(task, name, None) is not None), None)
    return RunRecord(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=ti.map_index if ti.map_index is not None else -1,
        try_number=ti.try_number,
        operator=type(task).__name__,
        client_code=getattr(settings, "client_code", None),
        id_type=getattr(task, "id_type", None),
        api_version=getattr(task, "api_version", None),
        started_at=getattr(ti, "start_date", None) or utc_now(),
        details={"source": source} if source else {},
    )


def usage_of(task: Any) -> Usage | None:
    """Return what the task used of the limit of calls per minute in this process; None if it made no such call."""
    session = vars(task.hook).get("session")
    usage: Usage | None = getattr(session.limits.calls, "usage", None) if session else None
    return usage if usage and usage.calls else None
