"""``adobe-target plan`` and ``adobe-target send``: upload rows without a DAG."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from airflow_provider_adobe_target.cli import output
from airflow_provider_adobe_target.cli.connection import connection_settings, has_connection, prepare_airflow
from airflow_provider_adobe_target.cli.progress import UploadProgress, is_shown
from airflow_provider_adobe_target.cli.rows import CountedRows, RowArguments, count_rows, default_sql_url
from airflow_provider_adobe_target.cli.sent_files import SentFiles, checkpoint, ledger_client_code, ledger_stage
from airflow_provider_adobe_target.cli.upload_options import plan_options, send_options

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.derived_attributes import DerivedAttributes
    from airflow_provider_adobe_target.load.bulk_upload import BulkUpload
    from airflow_provider_adobe_target.load.upload_options import UploadResult
    from airflow_provider_adobe_target.profiles.rejects import Rejects
    from airflow_provider_adobe_target.profiles.sources.rows import Rows


@click.command()
@plan_options
def plan(ctx: click.Context, **arguments: Any) -> int:
    """Check rows and report what would be sent, without a call.

    FILE is Parquet, CSV or NDJSON: a path, a glob or a folder, local or in object storage. A connection is optional.
    """
    upload = _Upload(ctx, {**arguments, "dry_run": True})
    return upload.run()


@click.command()
@send_options
def send(ctx: click.Context, **arguments: Any) -> int:
    """Send rows to Adobe Target.

    FILE is Parquet, CSV or NDJSON: a path, a glob or a folder, local or in object storage. Ctrl-C ends the upload and
    reports what was sent.
    """
    upload = _Upload(ctx, arguments)
    return upload.run()


class _Upload:
    """One run of ``plan`` or ``send``."""

    def __init__(self, ctx: click.Context, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        self._is_plan = bool(arguments.get("dry_run"))
        self._is_offline = self._is_plan and not has_connection(arguments["conn_id"])
        csv_options = {name: arguments[name] for name in ("delimiter", "encoding") if arguments[name] is not None}
        self._rows = RowArguments(
            files=arguments["files"],
            sql=arguments["sql"],
            sql_conn_id=arguments["sql_conn_id"],
            sql_url=arguments["sql_url"] or default_sql_url(arguments["sql"], arguments["sql_conn_id"]),
            file_format=arguments["file_format"],
            csv_options=csv_options,
        )
        self._rows.check()
        if arguments["ledger"] and arguments.get("checkpoint"):
            raise click.UsageError("--checkpoint cannot be combined with --ledger, which records what was sent.")
        shown = is_shown(quiet=ctx.obj["quiet"])
        total = count_rows(self._rows) if shown else None
        self._progress = UploadProgress(total, sends=not self._is_plan, shown=shown)
        self._sent = SentFiles(self._progress)

    def run(self) -> int:
        from airflow_provider_adobe_target.cli.main import BAD_OUTCOME, exit_code_of
        from airflow_provider_adobe_target.exceptions import AdobeTargetError, ConnectionSettingsError

        upload = self._bulk_upload()
        try:
            with self._progress:
                report = upload.run(lambda result: self._wait(upload, result))
        except KeyboardInterrupt as interrupt:
            output.print_error("Interrupted.", type(interrupt).__name__, **self._what_was_sent())
            self._print_what_was_sent()
            return exit_code_of(interrupt)
        except ConnectionSettingsError:
            raise
        except (AdobeTargetError, OSError) as error:
            output.print_error(str(error), type(error).__name__, **self._what_was_sent())
            self._print_what_was_sent()
            return BAD_OUTCOME
        if self._is_offline:
            report["client_code"] = None
        output.print_result(report, lambda: _print_report(report))
        return 0

    def _bulk_upload(self) -> BulkUpload:
        from airflow_provider_adobe_target.client.session import Session
        from airflow_provider_adobe_target.client.verdict import OutcomeLimits
        from airflow_provider_adobe_target.load.bulk_upload import BulkUpload
        from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadOutputs, UploadSource
        from airflow_provider_adobe_target.profiles.options import ProfileOptions

        arguments = {
            **self._arguments,
            "attributes": _attributes(self._arguments["attributes"]),
            "derived": _derived(self._arguments["constants"]),
            "skip_invalid_records": not self._arguments["fail_on_invalid"],
        }
        session = Session(self._settings())
        return BulkUpload(
            session,
            UploadSource(self._counted_rows),
            ProfileOptions(**_named_as(ProfileOptions, arguments)),
            options=UploadOptions(**_named_as(UploadOptions, arguments)),
            limits=OutcomeLimits(**_named_as(OutcomeLimits, arguments)),
            checkpoint=checkpoint(self._sent, arguments, session),
            ledger=ledger_stage(self._sent, arguments, session),
            outputs=UploadOutputs(
                rejects_path=self._arguments["rejects_path"],
                write_rejects=_write_rejects,
                sent_attributes=self._sent_attributes,
            ),
        )

    def _sent_attributes(self) -> Collection[str] | None:
        """Return the names of the attributes in the sync log. None if none is given."""
        name = self._arguments.get("sync_log")
        if not name:
            return None
        with output.airflow_on_stderr():
            prepare_airflow()
            from airflow_provider_adobe_target.sync_log.location import open_sync_log
            from airflow_provider_adobe_target.sync_log.recorder import sent_attributes

            return sent_attributes(open_sync_log(name), None if self._is_offline else self._settings().client_code)

    def _settings(self) -> TargetSettings:
        from airflow_provider_adobe_target.client.settings import TargetSettings

        if self._is_offline:
            ledger = self._arguments["ledger"]
            client_code = ledger_client_code(ledger) if ledger else "none"
            return TargetSettings.from_fields(client_code, None, None, None, None)
        return connection_settings(self._arguments["conn_id"])

    def _counted_rows(self, folder: Path) -> Rows:
        self._progress.read_again()
        return CountedRows(self._rows.read(folder), self._progress.read)

    def _wait(self, upload: BulkUpload, result: UploadResult) -> list[Batch]:
        self._progress.waiting(len(result.batches))
        self._progress.final(len(result.batches) - len(result.pending))
        return upload.wait(result)

    def _what_was_sent(self) -> dict[str, Any]:
        batches = self._sent.accepted
        return {
            "rows_sent": sum(batch.rows or 0 for batch in batches),
            "files_unknown": self._sent.unknown,
            "batches": [batch.to_dict() for batch in batches],
        }

    def _print_what_was_sent(self) -> None:
        if self._is_plan:
            return
        sent = self._what_was_sent()
        click.echo(f"Adobe Target accepted {len(sent['batches']):,} files with {sent['rows_sent']:,} rows.", err=True)
        if sent["files_unknown"]:
            files = f"{sent['files_unknown']:,} more files were being sent"
            click.echo(f"{files}: whether Adobe Target accepted them is unknown. Sending them again is safe.", err=True)
        for batch in sent["batches"]:
            click.echo(f"  adobe-target status '{batch['status_url']}'", err=True)


def _named_as(options: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: arguments[field.name] for field in fields(options) if field.name in arguments}


def _attributes(text: str | None) -> list[str] | dict[str, str] | None:
    """Parse ``a,b`` or ``column=attribute,…``.

    :raises click.UsageError: If a name is empty.
    """
    if text is None:
        return None
    columns: dict[str, str] = {}
    for item in text.split(","):
        column, has_name, name = (part.strip() for part in item.partition("="))
        if not column or (has_name and not name):
            raise click.UsageError("--attributes must be column names, as a,b or column=attribute,…")
        columns[column] = name or column
    return columns if "=" in text else list(columns)


def _derived(constants: Sequence[str]) -> DerivedAttributes:
    """Parse ``name=value`` items.

    :raises click.UsageError: If an item has no name or no value, or a name is repeated.
    """
    from airflow_provider_adobe_target.derived_attributes import DerivedAttributes

    pairs = [item.partition("=")[::2] for item in constants]
    if not all(name.strip() and value for name, value in pairs) or len(dict(pairs)) < len(pairs):
        raise click.UsageError("--constant must be NAME=VALUE, with each name once.")
    return DerivedAttributes(constants={name.strip(): value for name, value in pairs})


def _write_rejects(rejects: Rejects, folder: str) -> str | None:
    if not rejects.by_reason.total():
        return None
    time = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    file = Path(folder) / f"rejects-{time}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        rejects.write_parquet(stream)
    return str(file)


def _print_report(report: Mapping[str, Any]) -> None:
    names = ["rows_read", "rows_sent", "rows_rejected", "rows_empty", "rows_unchanged"]
    names += [name for name in ("rows_stale", "rows_suppressed") if report.get(name)]  # with a ledger
    names.append("values_replaced")
    click.echo("Dry run: nothing was sent." if report["dry_run"] else f"Sent to {report['client_code']}.")
    labels = {"rows_sent": "rows to send"} if report["dry_run"] else {}
    output.print_counts({labels.get(name, name.replace("_", " ")): report[name] for name in names})
    if report["rejected_by_reason"]:
        click.echo("Rejected rows by reason:")
        output.print_counts(report["rejected_by_reason"])
    if "plan" in report:
        from airflow_provider_adobe_target.profiles.upload_plan import UploadPlan

        click.echo(UploadPlan(**report["plan"]).to_markdown())
    if report["rejects_path"]:
        click.echo(f"The rejected rows are in {report['rejects_path']}")
    if report["batches"]:
        click.echo("Files:" if report["dry_run"] else "Batches:")
        rows = [(batch["batch_id"] or f"file {number}", batch["status"], batch["rows"], "rows", batch["bytes"], "bytes")
                for number, batch in enumerate(report["batches"], 1)]  # fmt: skip
        output.print_table(rows, right=[2, 4])
    for batch in report["batches"]:
        if batch["status"] == "submitted":
            click.echo(f"  adobe-target status '{batch['status_url']}'")
