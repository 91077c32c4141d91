"""The page's routes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_adobe_target.sync_log.record import COLUMNS, NESTED_COLUMNS, RunRecord, utc_now
from airflow_provider_adobe_target.sync_log.store import RunFilter
from airflow_provider_adobe_target.ui import pages
from airflow_provider_adobe_target.ui.source import LogUnavailableError, NotConfiguredError, RunSource
from airflow_provider_adobe_target.ui.summaries import DECODERS, TOKEN_OPERATORS, attributes, tokens

STATIC = Path(__file__).parent / "static"
PERIODS = (1, 7, 30, 90, 365)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_LIMIT_OF_API = 1_000
_TIME_WITH_SPACE = re.compile(r"(T[\d:.]+) (\d\d:\d\d)")

T = TypeVar("T")


def readable_dags(user: GetUserDep) -> set[str]:
    """Return the ids of the DAGs that the user may read. Without a login, Airflow responds with 401."""
    return set(get_auth_manager().get_authorized_dag_ids(user=user, method="GET"))


ReadableDags = Annotated[set[str], Depends(readable_dags)]


@dataclass(frozen=True)
class Query:
    """The filters of a request.

    :param days: Number of days, one of :data:`PERIODS`.
    :param dag_id: Id of a DAG.
    :param run_id: Id of a DAG run.
    :param task_id: Id of a task.
    :param map_index: Index of a mapped task.
    :param account: Client code.
    """

    days: int
    dag_id: str | None
    run_id: str | None
    task_id: str | None
    map_index: int | None
    account: str | None

    def select(self, records: Iterable[RunRecord]) -> list[RunRecord]:
        """Return the records that pass the filters, apart from the period."""
        wanted = {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index,
            "client_code": self.account,
        }
        set_filters = [(name, value) for name, value in wanted.items() if value is not None]
        return [record for record in records if all(getattr(record, name) == value for name, value in set_filters)]

    @property
    def since(self) -> datetime | None:
        """Start of the period. A DAG run may be of any age."""
        return None if self.run_id else utc_now() - timedelta(days=self.days)


def read_query(
    dags: ReadableDags,
    days: str = "",
    dag_id: str = "",
    run_id: str = "",
    task_id: str = "",
    map_index: str = "",
    account: str = "",
) -> Query:
    """Return the filters. Airflow leaves placeholders without a value, such as ``{MAP_INDEX}``, as they are.

    Airflow 3.1 inserts run ids without encoding them, so the ``+`` of a time arrives as a space.

    :raises HTTPException: If the user may not read the DAG.
    """
    if dag_id and dag_id not in dags:
        raise HTTPException(403, "You may not read this DAG, or it does not exist.")
    period = 30
    with suppress(ValueError):
        period = int(days) if int(days) in PERIODS else period
    run_id = _TIME_WITH_SPACE.sub(r"\1+\2", run_id)
    index = -1 if map_index else None
    with suppress(ValueError):
        index = int(map_index)
    return Query(period, dag_id or None, run_id or None, task_id or None, index, account or None)


Filters = Annotated[Query, Depends(read_query)]


def create_app(source: RunSource | None = None) -> FastAPI:
    """Return the application.

    :param source: The sync log. Default: the configured one.
    """
    log = source or RunSource()
    app = FastAPI(title="Adobe Target", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.middleware("http")(_add_headers)
    app.add_exception_handler(StarletteHTTPException, _error_response)

    @app.get("/", response_class=HTMLResponse)
    def runs(request: Request, dags: ReadableDags, query: Filters, page: str = "1") -> Response:
        def content() -> str:
            records = _read(log, dags, query, nested=["details"], decoders=DECODERS)
            token_records = log.read(
                RunFilter(since=utc_now() - timedelta(days=365), operators=TOKEN_OPERATORS, nested=["details"])
            )
            ends = tokens(record for record in token_records if record.dag_id in dags)
            return pages.runs(request, records, query, ends, page)

        return _page(request, query, content)

    @app.get("/attributes", response_class=HTMLResponse)
    def dictionary(request: Request, dags: ReadableDags, query: Filters) -> Response:
        def content() -> str:
            records = _read(log, dags, query, nested=["attributes"], decoders=DECODERS)
            found = attributes(query.select(records))
            return pages.attribute_dictionary(request, records, query, found)

        return _page(request, query, content)

    @app.get("/run", response_class=HTMLResponse)
    def run(request: Request, dags: ReadableDags, query: Filters, try_number: str = "") -> Response:
        if not (query.dag_id and query.run_id and query.task_id):
            raise HTTPException(404, "Name a DAG, a run and a task.")

        def content() -> str:
            records = _read(log, dags, query, nested=NESTED_COLUMNS)
            return pages.run(request, query.select(records), query, try_number)

        return _page(request, query, content)

    @app.get("/runs.csv")
    def download(dags: ReadableDags, query: Filters) -> Response:
        records = _available(lambda: query.select(_read(log, dags, query)))
        headers = {"Content-Disposition": 'attachment; filename="adobe-target-runs.csv"'}
        return Response(pages.runs_as_csv(records), media_type="text/csv; charset=utf-8", headers=headers)

    @app.get("/api/runs")
    def runs_as_json(dags: ReadableDags, query: Filters) -> dict[str, Any]:
        total, latest = _available(lambda: _latest_records(log, dags, query))
        return {"runs": [{name: getattr(record, name) for name in COLUMNS} for record in latest], "total": total}

    return app


def _latest_records(log: RunSource, dags: set[str], query: Query) -> tuple[int, list[RunRecord]]:
    """Return the number of selected records, and the latest of them with all columns."""
    selected = query.select(_read(log, dags, query))
    since = selected[:_LIMIT_OF_API][-1].started_at if selected else None
    latest = _read(log, dags, query, since=since, nested=NESTED_COLUMNS) if selected else []
    return len(selected), query.select(latest)[:_LIMIT_OF_API]


def _read(
    log: RunSource, dags: set[str], query: Query, *, since: datetime | None = None, **columns: Any
) -> list[RunRecord]:
    """Return the records of readable DAGs in the period, or in a DAG run. The other filters are left to the caller.

    :param columns: The nested columns, and their decoders.
    """
    selected = RunFilter(
        since=since or query.since,
        dag_ids=[query.dag_id] if query.dag_id and query.run_id else dags,
        run_id=query.run_id,
        **columns,
    )
    return log.read(selected)


def _page(request: Request, query: Query, content: Callable[[], str]) -> Response:
    try:
        return HTMLResponse(content())
    except NotConfiguredError:
        return HTMLResponse(pages.not_configured(request, query))
    except LogUnavailableError as error:
        return HTMLResponse(pages.unavailable(request, query, str(error)), status_code=503)


def _available(read: Callable[[], T]) -> T:
    try:
        return read()
    except NotConfiguredError:
        raise HTTPException(404, "No sync log is configured.") from None
    except LogUnavailableError as error:
        raise HTTPException(503, f"The sync log cannot be read. {error}") from None


async def _add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(HEADERS)
    if not request.url.path.startswith(f"{request.scope.get('root_path', '')}/static"):
        response.headers["Cache-Control"] = "no-store"
    return response


async def _error_response(request: Request, error: Exception) -> Response:
    """Return an error as HTML to a browser, otherwise as JSON."""
    status = getattr(error, "status_code", 500)
    detail = str(getattr(error, "detail", ""))
    headers = getattr(error, "headers", None)
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": detail}, status_code=status, headers=headers)
    return HTMLResponse(pages.error(request, status, detail), status_code=status, headers=headers)
