"""Telling Adobe Target which ids belong to one person."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder
from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.inputs.arguments import (
    InvalidArgumentError,
    check_arguments,
    check_one_source,
    check_sql,
)
from airflow_provider_adobe_target.inputs.empty_source import check_row_counts
from airflow_provider_adobe_target.inputs.row_source import resolve_rows
from airflow_provider_adobe_target.inputs.templating import RowsArgument, RowsPartial, with_hidden_rows
from airflow_provider_adobe_target.load.link_writer import LinkWriter
from airflow_provider_adobe_target.load.output_files import write_rejects
from airflow_provider_adobe_target.version_compat import BaseOperator

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.identities import IdentityPipeline
    from airflow_provider_adobe_target.version_compat import Context

_MBOX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_GLOBAL_MBOX = "target-global-mbox"


class IdentityLinkOperator(BaseOperator):
    """Tell Adobe Target which ids belong to one person, a row a call, through its Delivery API.

    A row holds a customer's id, ids of browsers, or both. What Adobe Target answers, the Target id with its location,
    is written out, for bulk files keyed by ``pcId``.

    :param sql: one statement whose result is the rows (templated, also a ``.sql`` file); give this, ``data`` or
        ``path``
    :param sql_conn_id: any database connection of Airflow's, read with a server-side cursor where the driver has one
        (templated)
    :param parameters: of the statement (templated)
    :param data: a pandas or polars DataFrame, an Arrow table, a list of dicts, or an upstream task's output of these;
        never rendered, and shown in Airflow as ``<rows>``
    :param path: Parquet, CSV or NDJSON: a file, a folder, a glob or a list of these, as text, ``pathlib.Path`` or
        ``ObjectStoragePath``, local or in object storage (templated)
    :param file_format: ``parquet``, ``csv`` or ``ndjson``; default: derived from each file's suffix
    :param csv_options: ``delimiter`` and ``encoding`` of CSV; default: ``{"delimiter": ",", "encoding": "utf-8"}``
    :param id_columns: ``{column: "thirdPartyId", "pcId" or "ECID"}``; default: the columns that are named so, or
        third_party_id, mbox3rdPartyId, pc_id, mboxPC, tntId, ecid, MCID, mcid, marketingCloudVisitorId or
        marketing_cloud_visitor_id
    :param customer_id_columns: ``{column: integration code}``, for ids of customers in other data sources; they need
        an ECID, and no ``thirdPartyId``, in their row
    :param attributes: columns to send, or ``{column: parameter name}``, at most 50 with a value in a row, each of at
        most 256 characters; default: none
    :param adobe_target_conn_id: the connection, of type ``adobe_target`` (templated)
    :param mbox: the name of an mbox that no activity uses, so that no impression is counted
    :param max_concurrent_calls: how many calls may be under way at once, 1 to 50
    :param calls_per_second: how many calls may begin in a second, up to 1,000; at most 200 in the first minute, and
        200 a second more in each that follows
    :param browser_interval: seconds between two calls about one person or browser, 0 to 86,400; 0: at once, in one
        session. Adobe's rules need 1,800
    :param dry_run: do everything but the calls
    :param skip_invalid_records: ``False``: the first bad row (other than a duplicate) ends the task before anything
        is sent
    :param max_invalid_pct: more than this per cent of bad rows (other than duplicates) ends the task before anything
        is sent
    :param rejects_path: a folder for the bad rows, local or in object storage (templated)
    :param on_no_rows: if the source has no rows: ``succeed`` with a warning, ``skip`` or ``fail``. If every row was
        rejected, the task fails, unless ``max_invalid_pct`` is 100
    :param max_failed_pct: the per cent of the rows sent, 0 to 100, that Adobe Target may refuse
    :param result_path: a folder for the links, as one Parquet file, local or in object storage (templated)
    :param result_table: a table to add the links to (templated)
    :param result_conn_id: the database connection of this table (templated)
    """

    template_fields: Sequence[str] = (
        "data",
        "sql",
        "parameters",
        "path",
        "rejects_path",
        "result_path",
        "result_table",
        "result_conn_id",
        "sql_conn_id",
        "adobe_target_conn_id",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql", "parameters": "json"}
    ui_color = "#f6e1e1"

    def __init__(
        self,
        *,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Iterable[Any] | Mapping[str, Any] | None = None,
        data: Any = None,
        path: Any = None,
        file_format: Literal["parquet", "csv", "ndjson"] | None = None,
        csv_options: Mapping[str, Any] | None = None,
        id_columns: Mapping[str, str] | None = None,
        customer_id_columns: Mapping[str, str] | None = None,
        attributes: Sequence[str] | Mapping[str, str] | None = None,
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        mbox: str = "warehouse-link",
        max_concurrent_calls: int = 10,
        calls_per_second: float = 100,
        browser_interval: float = 0,
        dry_run: bool = False,
        skip_invalid_records: bool = True,
        max_invalid_pct: float | None = None,
        rejects_path: str | None = None,
        on_no_rows: Literal["succeed", "skip", "fail"] = "succeed",
        max_failed_pct: float = 0.0,
        result_path: str | None = None,
        result_table: str | None = None,
        result_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_one_source({"data": data, "sql": sql, "path": path})
        check_sql("sql", sql)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.data = RowsArgument.of(data)
        self.path = path
        self.file_format = file_format
        self.csv_options = csv_options
        self.id_columns = id_columns
        self.customer_id_columns = customer_id_columns
        self.attributes = attributes
        self.adobe_target_conn_id = adobe_target_conn_id
        self.mbox = mbox
        self.max_concurrent_calls = max_concurrent_calls
        self.calls_per_second = calls_per_second
        self.browser_interval = browser_interval
        self.is_dry_run = dry_run  # Airflow has a method of the argument's name
        self.skip_invalid_records = skip_invalid_records
        self.max_invalid_pct = max_invalid_pct
        self.rejects_path = rejects_path
        self.on_no_rows = on_no_rows
        self.max_failed_pct = max_failed_pct
        self.result_path = result_path
        self.result_table = result_table
        self.result_conn_id = result_conn_id
        self._folder = TempFolder()
        self._check_arguments()

    @classmethod
    def partial(cls, **arguments: Any) -> RowsPartial:  # type: ignore[override]  # Airflow's is a descriptor
        """Begin a mapped task, as with every operator; rows given here are shown as ``<rows>``, too."""
        return RowsPartial(super().partial(**with_hidden_rows(arguments)))

    @cached_property
    def hook(self) -> AdobeTargetHook:
        """The connection to Adobe Target."""
        return AdobeTargetHook(adobe_target_conn_id=self.adobe_target_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Link the ids of all rows.

        :returns: the report: counts of rows by outcome, and where the links are; nothing of a row
        :raises AirflowFailException: where a retry cannot help
        :raises AdobeTargetUnavailableError: where Adobe Target gives no usable answer
        :raises RuntimeError: where the links cannot be added to their table
        """
        from airflow_provider_adobe_target.profiles.identities import IdentityPipeline

        with translate_errors(), self._folder as folder:
            self._check_arguments()
            rows = resolve_rows(
                self.data,
                self.sql,
                self.path,
                self.sql_conn_id,
                self.parameters,
                file_format=self.file_format,
                csv_options=self.csv_options,
            )
            run = IdentityPipeline(rows, self._rules(), folder, keep_rejects=bool(self.rejects_path))
            links = LinkWriter(folder)
            try:
                self._link_all(run, links)
            except BaseException as error:
                self._explain(error, run, links)
                self._write(context, run, links)  # as far as that can be done: the task's own error matters more
                raise
            places, failure = self._write(context, run, links)
            if failure:
                self._explain(failure, run, links)
                raise failure
            report = self._report(run, links, places)
            self._check_refused(run, links)
            rows_invalid = run.rows_rejected - run.rejects.by_reason["refused_by_target"]
            check_row_counts(run.rows_read, rows_invalid, self.on_no_rows, self.max_invalid_pct)
            return report

    def on_kill(self) -> None:
        """Remove what is set aside on disk: Airflow 3 ends a killed task some seconds later, wherever it is."""
        self._folder.remove()

    def _link_all(self, run: IdentityPipeline, links: LinkWriter) -> None:
        if self.is_dry_run:
            for identity in run.identities():
                links.add(identity, None)
            return
        from airflow_provider_adobe_target.load.identity_linker import link_rows

        link_rows(
            run,
            links,
            self.hook.settings,
            mbox=self.mbox,
            max_workers=self.max_concurrent_calls,
            calls_per_second=self.calls_per_second,
            browser_interval=self.browser_interval,
        )

    def _rules(self) -> Any:
        from airflow_provider_adobe_target.profiles.identities import IdentityOptions

        return IdentityOptions(
            self.id_columns,
            self.customer_id_columns or {},
            self.attributes or (),
            self.skip_invalid_records,
            self.max_invalid_pct,
        )

    def _check_arguments(self) -> None:
        """Check arguments.

        :raises InvalidArgumentError: naming the argument
        """
        check_arguments(self)
        if not _MBOX.fullmatch(self.mbox) or self.mbox == _GLOBAL_MBOX:
            raise InvalidArgumentError(
                f"mbox={self.mbox!r} cannot be the name of an mbox that no activity uses: it is to have letters, "
                f"digits, '_', '-' and '.' only, at most 128, and not to be {_GLOBAL_MBOX!r}."
            )
        if (self.result_table is None) != (self.result_conn_id is None):
            raise InvalidArgumentError("result_table and result_conn_id go together: give both or none.")

    def _explain(self, error: BaseException, run: IdentityPipeline, links: LinkWriter) -> None:
        """Say of a task that failed halfway what it did, and what is missing."""
        account = (
            f"Rows read so far: {run.rows_read:,}; linked: {links.count:,}; rejected: {run.rows_rejected:,}. "
            "The others are not linked. Another try links all rows again, which does no harm."
        )
        if isinstance(error, AdobeTargetError) and error.args:
            error.args = (f"{error.args[0]} {account}", *error.args[1:])
        else:
            self.log.error(account)

    def _write(
        self, context: Context, run: IdentityPipeline, links: LinkWriter
    ) -> tuple[dict[str, str | None], Exception | None]:
        """Write bad rows and links to where they are wanted, each of them whatever becomes of the others.

        :returns: the places by argument, and the first error
        """
        ti = context["ti"]
        writers: dict[str, Callable[[str], str | None]] = {
            "rejects_path": lambda folder: write_rejects(run.rejects, folder, ti),
            "result_path": lambda folder: links.write_parquet(folder, ti),
            "result_table": lambda table: links.insert(table, str(self.result_conn_id)),
        }
        places: dict[str, str | None] = dict.fromkeys(writers)
        first: Exception | None = None
        for name, write in writers.items():
            place = None if self.is_dry_run and name != "rejects_path" else getattr(self, name)
            try:
                places[name] = write(place) if place else None
            except Exception as error:
                self.log.warning("What was to go to %s is not there: %s", name, error)
                first = first or error
        return places, first

    def _report(self, run: IdentityPipeline, links: LinkWriter, places: Mapping[str, str | None]) -> dict[str, Any]:
        report = {
            "client_code": self.hook.settings.client_code,
            "mbox": self.mbox,
            "dry_run": self.is_dry_run,
            "rows_read": run.rows_read,
            "rows_linked": links.count,
            "rows_rejected": run.rows_rejected,
            "rejected_by_reason": dict(run.rejects.by_reason),
            "values_replaced": 0,  # JSON has no delimiter that a value could contain
            **places,
        }
        self.log.info(
            "Rows read: %s; %s: %s; rejected: %s %s",
            f"{run.rows_read:,}",
            "to be linked" if self.is_dry_run else "linked",
            f"{links.count:,}",
            f"{run.rows_rejected:,}",
            report["rejected_by_reason"],
        )
        return report

    def _check_refused(self, run: IdentityPipeline, links: LinkWriter) -> None:
        refused = run.rejects.by_reason["refused_by_target"]
        if refused * 100 > self.max_failed_pct * (refused + links.count):
            where = "" if self.rejects_path else " With rejects_path they are kept."
            raise AdobeTargetError(
                f"Adobe Target refused {refused:,} of {refused + links.count:,} rows (HTTP 400), beyond "
                f"max_failed_pct={self.max_failed_pct}. The others are linked.{where}"
            )
