"""The results of a task in Airflow: log, asset events, metrics and lineage. None of them contains an id or a value."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from airflow_provider_adobe_target.sync_log.decorator import continues_later, recorded

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context

F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger(__name__)


class Observed:
    """Mixin of operators whose ``execute`` and ``execute_complete`` are decorated with :func:`observed`.

    :ivar attribute_names: Names of the attributes that are sent, once the columns are known.
    :ivar last_report: Report of the task, once it has one.
    """

    attribute_names: Sequence[str] = ()
    last_report: Mapping[str, Any] | None = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return datasets and facets for OpenLineage. The OpenLineage provider calls it."""
        from airflow_provider_adobe_target.lineage.openlineage import operator_lineage

        return operator_lineage(self)


def observed(method: F) -> F:
    """Decorate ``execute`` and ``execute_complete`` of operators with a report, instead of :func:`recorded`.

    The task run is recorded in the sync log, logged, and reported as asset events and metrics. An error of these is
    only a warning.
    """

    @functools.wraps(method)
    def run(self: Any, context: Context, *arguments: Any, **named: Any) -> Any:
        from airflow_provider_adobe_target.metrics import count_failure, count_report, count_usage

        try:
            report = method(self, context, *arguments, **named)
        except BaseException as error:
            if continues_later(error):
                _notify("metrics", count_usage, self)
            else:
                _notify("metrics", count_failure, self, error)
            raise
        self.last_report = report
        _notify("log", log_report, report)
        _notify("asset events", update_asset_events, self, context, report)
        _notify("metrics", count_report, self, report)
        return report

    return recorded(cast(F, run))


def _notify(name: str, observer: Callable[..., None], *arguments: Any) -> None:
    try:
        observer(*arguments)
    except Exception as error:
        log.warning("The %s of the task are incomplete: %s: %s", name, type(error).__name__, error)


def log_report(report: Mapping[str, Any]) -> None:
    """Log the counts as a table, and the batches as a table that Airflow's log view can fold."""
    from airflow_provider_adobe_target.load.report_text import batch_lines, count_lines

    for line in count_lines(report):
        log.info("%s", line)
    lines = batch_lines(report.get("batches") or ())
    if lines:
        log.info("::group::%s", lines[0])
        for line in lines[1:]:
            log.info("%s", line)
        log.info("::endgroup::")


def update_asset_events(task: Any, context: Context, report: Mapping[str, Any]) -> None:
    """Add ``extra`` to the events of the task's ``adobetarget://`` outlets.

    An outlet of another account or id type is a warning, and its event has no ``extra``.
    """
    from airflow_provider_adobe_target.assets.adobe_target import profile_uri

    for outlet in _profile_outlets(task.outlets or ()):
        if _describes(outlet.uri, report):
            events: Any = context["outlet_events"]
            events[outlet].extra.update(event_extra(report, task.attribute_names))
        else:
            log.warning(
                "The outlet %s is not what this task updates, %s. Its event has no counts. Correct the outlet.",
                outlet.uri,
                profile_uri(report["client_code"].lower(), report.get("id_type") or "…"),
            )


def event_extra(report: Mapping[str, Any], attribute_names: Iterable[str]) -> dict[str, Any]:
    """Return the ``extra`` of an asset event.

    :param report: Report of the task.
    :param attribute_names: Names of the attributes.
    :return: ``rows_sent``, ``rows_rejected``, number of ``batches``, the ``outcome`` as ``status``, and names of
        ``attributes``.
    """
    return {
        "rows_sent": report.get("rows_sent", report.get("rows_linked", 0)),
        "rows_rejected": report.get("rows_rejected", 0),
        "batches": len(report.get("batches") or ()),
        "status": report["outcome"],
        "attributes": list(attribute_names),
    }


def _profile_outlets(outlets: Iterable[Any]) -> list[Any]:
    from airflow_provider_adobe_target.assets.adobe_target import SCHEME

    return [outlet for outlet in outlets if str(getattr(outlet, "uri", "")).startswith(f"{SCHEME}://")]


def _describes(uri: str, report: Mapping[str, Any]) -> bool:
    """Return whether a URI is the account of a report, and its id type unless linked ids may have another one."""
    parts = urlsplit(uri)
    id_types = [parts.path.strip("/")]
    if "rows_by_id_type" in report:
        id_types = list(report["rows_by_id_type"])
    elif "rows_extended" not in report:
        id_types = [report.get("id_type") or id_types[0]]
    return parts.netloc == report["client_code"].lower() and parts.path.strip("/") in id_types
