"""Render the pages."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from airflow_provider_adobe_target.sync_log.record import SUMMARY_COLUMNS, RunRecord, parse_time, utc_now
from airflow_provider_adobe_target.ui import charts, formats
from airflow_provider_adobe_target.ui.summaries import (
    RESULTS,
    TOKEN_WARNING_DAYS,
    AttributeEntry,
    TokenEnd,
    by_day,
    is_sender,
    ledger_totals,
    profiles_held,
    total,
)

if TYPE_CHECKING:
    from fastapi import Request

    from airflow_provider_adobe_target.ui.app import Query

PREFIX = "/adobe-target"
_PERIODS = {1: "1 day", 7: "7 days", 30: "30 days", 90: "90 days", 365: "1 year"}
_RUNS_PER_PAGE = 50
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_BATCH_KEYS = (
    "batch_id",
    "status",
    "rows",
    "bytes",
    "successful_updates",
    "profiles_not_found",
    "failed_updates",
    "submitted_at",
    "resubmitted_after",
)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formats.number,
        "short": formats.short_number,
        "percent": formats.percent,
        "moment": formats.moment,
        "duration": formats.duration,
        "size": formats.file_size,
        "reason": lambda name: formats.REASONS.get(name, name),
    }
    environment.globals |= {"outcomes": formats.OUTCOMES, "results": formats.RESULTS}
    return environment


def runs(request: Request, records: Sequence[RunRecord], query: Query, tokens: Sequence[TokenEnd], page: str) -> str:
    """Return the page of all runs.

    :param records: Records of the period, the latest first.
    :param tokens: Ends of the accounts' tokens.
    :param page: Number of the page of the table.
    """
    chosen = query.select(records)
    shown = list(filter(is_sender, chosen))
    count = max(1, -(-len(shown) // _RUNS_PER_PAGE))
    number = min(max(int(page), 1), count) if page.isdecimal() else 1
    days = _days(shown, query)
    sums = total(shown)
    return _render(
        "runs.html",
        request,
        query,
        records=records,
        runs=shown[(number - 1) * _RUNS_PER_PAGE : number * _RUNS_PER_PAGE],
        totals=sums,
        days=days,
        sent_chart=charts.rows_per_day(days, formats.RESULTS),
        rejected_chart=charts.rejected_per_day(days),
        ledger=ledger_totals(shown),
        held=profiles_held(chosen),
        most_sent=max((day.rows_sent for day in days), default=0),
        most_rejected=max((day.rejected for day in days), default=0),
        result_names=[name for name in RESULTS if sums.results[name]],
        tokens=[end for end in tokens if query.account in (None, end.client_code)],
        token_warning_days=TOKEN_WARNING_DAYS,
        page_number=number,
        page_count=count,
        has_records=bool(records),
    )


def attribute_dictionary(
    request: Request, records: Sequence[RunRecord], query: Query, entries: Sequence[AttributeEntry]
) -> str:
    """Return the page of attributes."""
    return _render(
        "attributes.html", request, query, records=records, entries=entries, has_records=any(map(is_sender, records))
    )


def run(request: Request, records: Sequence[RunRecord], query: Query, try_number: str) -> str:
    """Return the page of one task instance: its latest try, or the requested one.

    :param records: Records of its tries, the latest first.
    """
    mapped = sorted({record.map_index for record in records})
    if query.map_index is None and len(mapped) > 1:
        records = [record for record in records if record.map_index == mapped[0]]
    tries = sorted(records, key=lambda record: record.try_number, reverse=True)
    asked = [record for record in tries if str(record.try_number) == try_number]
    record = next(iter(asked or tries), None)
    return _render(
        "run.html",
        request,
        query,
        records=records,
        run=record,
        tries=tries,
        mapped=mapped if len(mapped) > 1 else [],
        batches=[_batch(entry) for entry in record.batches] if record else [],
        has_records=bool(records),
    )


def runs_as_csv(records: Iterable[RunRecord]) -> str:
    """Return one line per run, with the columns of the sync log that are not nested."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(SUMMARY_COLUMNS)
    for record in records:
        writer.writerow([_csv_cell(value) for value in record.to_row(SUMMARY_COLUMNS).values()])
    return stream.getvalue()


def _csv_cell(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def not_configured(request: Request, query: Query) -> str:
    """Return the page that explains how to set up a sync log."""
    return _render("not_configured.html", request, query, records=[])


def unavailable(request: Request, query: Query, reason: str) -> str:
    """Return the page that says that the sync log cannot be read."""
    return _render("unavailable.html", request, query, records=[], reason=reason)


def error(request: Request, status: int, detail: str) -> str:
    """Return an error page."""
    return (
        _environment()
        .get_template("error.html")
        .render(root=_root(request), page_root=_page_root(request), status=status, detail=detail)
    )


def _render(template: str, request: Request, query: Query, *, records: Sequence[RunRecord], **values: Any) -> str:
    root = _root(request)

    def with_filters(path: str = "", **changes: Any) -> str:
        kept = {"days": query.days, "dag_id": query.dag_id, "account": query.account, **_instance(query), **changes}
        text = urlencode({name: value for name, value in kept.items() if value is not None})
        return f"{_page_root(request)}/{path}{'?' if text else ''}{text}"

    return (
        _environment()
        .get_template(template)
        .render(
            root=root,
            page_root=_page_root(request),
            query=query,
            periods=_PERIODS,
            dag_ids=sorted({record.dag_id for record in records} | ({query.dag_id} if query.dag_id else set())),
            accounts=sorted(
                {record.client_code for record in records if record.client_code}
                | ({query.account} if query.account else set())
            ),
            link=with_filters,
            run_link=lambda record: _run_link(_page_root(request), record),
            task_link=lambda record: _task_link(root, record),
            dag_link=lambda dag_id: f"{root}/dags/{quote(dag_id, safe='')}",
            **values,
        )
    )


def _instance(query: Query) -> dict[str, Any]:
    return {"run_id": query.run_id, "task_id": query.task_id, "map_index": query.map_index}


def _page_root(request: Request) -> str:
    """Return the path at which the page is mounted, without a slash at the end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def _root(request: Request) -> str:
    """Return the path of Airflow's own pages, without a slash at the end."""
    return _page_root(request).removesuffix(PREFIX)


def _run_link(page_root: str, record: RunRecord) -> str:
    names = ("dag_id", "run_id", "task_id", "map_index", "try_number")
    return f"{page_root}/run?" + urlencode({name: getattr(record, name) for name in names})


def _task_link(root: str, record: RunRecord) -> str:
    parts = ("dags", record.dag_id, "runs", record.run_id, "tasks", record.task_id)
    mapped = f"/mapped/{record.map_index}" if record.map_index >= 0 else ""
    return f"{root}/" + "/".join(quote(part, safe="") for part in parts) + mapped


def _days(records: Sequence[RunRecord], query: Query) -> list[Any]:
    """Return the days of the period. Without a period, they are those of the records."""
    today = utc_now().date()
    if query.since:
        return by_day(records, query.since.date(), today)
    dates = [record.started_at.date() for record in records if record.started_at]
    if not dates:
        return []
    first = max(min(dates), today - timedelta(days=365))
    return by_day(records, first, max(dates))


def _batch(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch with its duration in seconds, if it is known."""
    submitted, finished = (
        parse_time(entry[name]) if entry.get(name) else None for name in ("submitted_at", "finished_at")
    )
    seconds = (finished - submitted).total_seconds() if submitted and finished else None
    return {**dict.fromkeys(_BATCH_KEYS), **entry, "submitted": submitted, "seconds": seconds}
