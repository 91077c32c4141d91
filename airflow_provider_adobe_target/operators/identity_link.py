"""Operator that links the ids of one person."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.airflow_errors import translate_errors
from airflow_provider_adobe_target.client.verdict import outcome_of
from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder
from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError, check_task_arguments
from airflow_provider_adobe_target.inputs.empty_source import check_row_counts
from airflow_provider_adobe_target.inputs.row_arguments import RowArguments
from airflow_provider_adobe_target.operators.base import AdobeTargetOperator
from airflow_provider_adobe_target.operators.observers import Observed, observed

if TYPE_CHECKING:
    from airflow_provider_adobe_target.load.link_writer import LinkWriter
    from airflow_provider_adobe_target.profiles.identities import IdentityPipeline
    from airflow_provider_adobe_target.version_compat import Context

_MBOX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_GLOBAL_MBOX = "target-global-mbox"


class IdentityLinkOperator(Observed, RowArguments, AdobeTargetOperator):  # type: ignore[misc]  # partial() is a descriptor
    """Link ids that belong to the same person, with one Delivery API call per row.

    A row has a customer id, ids of browsers, or both. The responses contain Target ids with their location hint, which
    can be written to Parquet or a table and used as ``pcId`` in bulk uploads.

    :param sql: One statement whose result is the rows (templated, also a ``.sql`` file). Give exactly one of ``sql``,
        ``data`` and ``path``.
    :param sql_conn_id: ID of an Airflow database connection, read with a server-side cursor if the driver has one
        (templated).
    :param parameters: Parameters of the statement (templated).
    :param data: A pandas or polars DataFrame, an Arrow table, a list of dicts, or the output of an upstream task.
        Never rendered, and displayed in Airflow as ``<rows>``.
    :param path: A Parquet, CSV or NDJSON file, a folder, a glob, or a list of these, as text, ``pathlib.Path`` or
        ``ObjectStoragePath``, local or in object storage (templated).
    :param file_format: ``parquet``, ``csv`` or ``ndjson``. Default: derived from the suffix of each file.
    :param csv_options: ``delimiter`` and ``encoding`` of CSV files. Default: comma and UTF-8.
    :param id_columns: ``{column: "thirdPartyId", "pcId" or "ECID"}``. Default: the columns with these names, or named
        third_party_id, mbox3rdPartyId, pc_id, mboxPC, tntId, ecid, MCID, mcid, marketingCloudVisitorId or
        marketing_cloud_visitor_id.
    :param customer_id_columns: ``{column: integration code}``, for customer ids in other data sources. Their rows must
        have an ECID, and no ``thirdPartyId``.
    :param attributes: Columns to send, or ``{column: parameter name}``. A row may have at most 50 values, of at most
        256 characters each. Default: none.
    :param session_id_column: Column with the session id of the visit, if the links must be made in the visitor's own
        session. Each session id may occur once. A row without one has a session of its own.
    :param edge_cluster_column: Column with the number of the edge cluster of the visit (the digits of the location
        hint), which receives the first call. Default: the client host.
    :param attribute_case: ``lower`` sends attribute names in lower case, for databases that fold names to upper case.
        Parameter names in ``attributes`` are not changed.
    :param adobe_target_conn_id: ID of the connection, of type ``adobe_target`` (templated).
    :param sync_log: Sync log of this task: ID of an Airflow connection, or a folder that contains a slash (templated).
        Default: that of the connection.
    :param mbox: Name of an mbox that no activity uses, so that no impression is counted.
    :param max_concurrent_calls: Maximum number of concurrent calls, 1 to 50.
    :param calls_per_second: Maximum number of calls per second, up to 1,000. The rate starts at 200 at most, and
        increases by 200 per minute.
    :param browser_interval: Seconds between two calls about one person or browser, 0 to 86,400. With 0, they follow
        without a pause in one session. Adobe's rules require 1,800.
    :param dry_run: Do everything except the calls.
    :param skip_invalid_records: If ``False``, the first invalid row (other than a duplicate) ends the task before
        anything is sent.
    :param max_invalid_pct: A higher percentage of invalid rows (other than duplicates) ends the task before anything is
        sent.
    :param rejects_path: Folder for rejected rows, local or in object storage (templated).
    :param on_no_rows: How a source without rows is handled: ``succeed`` with a warning, ``skip`` or ``fail``. If every
        row is rejected, the task fails, unless ``max_invalid_pct`` is 100.
    :param max_failed_pct: Percentage of the sent rows, 0 to 100, that Adobe Target may refuse.
    :param result_path: Folder for the links, as one Parquet file, local or in object storage (templated).
    :param result_table: Table into which the links are inserted (templated).
    :param result_conn_id: ID of the database connection of this table (templated).
    """

    template_fields: Sequence[str] = (
        *RowArguments.template_fields,
        "rejects_path",
        "result_path",
        "result_table",
        "result_conn_id",
    )

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
        session_id_column: str | None = None,
        edge_cluster_column: str | None = None,
        attribute_case: Literal["keep", "lower"] = "keep",
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
        sync_log: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(sync_log=sync_log, **kwargs)
        self._set_rows(
            sql=sql,
            sql_conn_id=sql_conn_id,
            parameters=parameters,
            data=data,
            path=path,
            file_format=file_format,
            csv_options=csv_options,
        )
        self.id_columns = id_columns
        self.customer_id_columns = customer_id_columns
        self.attributes = attributes
        self.session_id_column = session_id_column
        self.edge_cluster_column = edge_cluster_column
        self.attribute_case = attribute_case
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

    @observed
    def execute(self, context: Context) -> dict[str, Any]:
        """Link the ids of all rows.

        :return: Report with row counts by outcome, and the places of the links. It contains no values of rows.
        :raises AirflowFailException: If a retry cannot help.
        :raises AdobeTargetUnavailableError: If Adobe Target returns no usable response.
        :raises RuntimeError: If the links cannot be inserted into their table.
        """
        from airflow_provider_adobe_target.load.link_writer import LinkWriter
        from airflow_provider_adobe_target.profiles.identities import IdentityPipeline

        with translate_errors(), self._folder as folder:
            self._check_arguments()
            rows = self._row_source.read()
            run = IdentityPipeline(rows, self._rules(), folder, keep_rejects=bool(self.rejects_path))
            links = LinkWriter(folder)
            try:
                self._link_all(run, links)
            except BaseException as error:
                self._explain(error, run, links)
                self._write(context, run, links)  # errors are only logged: the first one matters more
                raise
            places, failure = self._write(context, run, links)
            if failure:
                self._explain(failure, run, links)
                raise failure
            report = self._report(run, links, places)
            self._recorder.note(report)
            self._check_refused(run, links)
            rows_invalid = run.rows_rejected - run.rejects.by_reason["refused_by_target"]
            check_row_counts(run.rows_read, rows_invalid, self.on_no_rows, self.max_invalid_pct)
            return report

    def on_kill(self) -> None:
        """Remove the temporary files. Airflow 3 ends a killed task some seconds later, without further notice."""
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
            self.hook.session,
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
            self.attribute_case,
            self.session_id_column,
            self.edge_cluster_column,
        )

    def _check_arguments(self) -> None:
        """Check the arguments.

        :raises InvalidArgumentError: If an argument is invalid. The message names it.
        """
        check_task_arguments(self)
        if not _MBOX.fullmatch(self.mbox) or self.mbox == _GLOBAL_MBOX:
            raise InvalidArgumentError(
                f"mbox={self.mbox!r} is invalid. The name must have 1 to 128 letters, digits, '_', '-' and '.', and "
                f"must not be {_GLOBAL_MBOX!r}: no activity may use the mbox."
            )
        if (self.result_table is None) != (self.result_conn_id is None):
            raise InvalidArgumentError("Give both result_table and result_conn_id, or neither.")

    def _explain(self, error: BaseException, run: IdentityPipeline, links: LinkWriter) -> None:
        """Add to an error what was done before it, and what is missing."""
        self._recorder.note(self._counts(run, links))
        account = (
            f"Rows read so far: {run.rows_read:,}; linked: {links.count:,}; rejected: {run.rows_rejected:,}. "
            "The other rows are not linked. A retry links all rows again, which is safe."
        )
        if isinstance(error, AdobeTargetError) and error.args:
            error.args = (f"{error.args[0]} {account}", *error.args[1:])
        else:
            self.log.error(account)

    def _write(
        self, context: Context, run: IdentityPipeline, links: LinkWriter
    ) -> tuple[dict[str, str | None], Exception | None]:
        """Write rejected rows and links to all outputs, even if one of them fails.

        :return: Places of the outputs by argument, and the first error.
        """
        from airflow_provider_adobe_target.load.output_files import write_rejects

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
                self.log.warning("The output %s cannot be written: %s", name, error)
                first = first or error
        return places, first

    def _counts(self, run: IdentityPipeline, links: LinkWriter) -> dict[str, Any]:
        return {
            "rows_read": run.rows_read,
            "rows_linked": links.count,
            "rows_rejected": run.rows_rejected,
            "rejected_by_reason": dict(run.rejects.by_reason),
        }

    def _report(self, run: IdentityPipeline, links: LinkWriter, places: Mapping[str, str | None]) -> dict[str, Any]:
        names = self.attributes or ()
        self.attribute_names = list(names.values() if isinstance(names, Mapping) else names)
        report = {
            "client_code": self.hook.settings.client_code,
            "mbox": self.mbox,
            "dry_run": self.is_dry_run,
            "outcome": "dry_run" if self.is_dry_run else outcome_of((), run.rows_rejected),
            **self._counts(run, links),
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
                f"max_failed_pct={self.max_failed_pct}. The other rows are linked.{where}"
            )
