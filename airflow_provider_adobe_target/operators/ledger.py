"""The ledger of an operator or sensor: checks, templates, and the stage of one task run."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_adobe_target.ledger import ProfileLedger
    from airflow_provider_adobe_target.load.ledger_stage import LedgerStage
    from airflow_provider_adobe_target.version_compat import Context

_EXCLUDED = {"on_stuck": "resubmit", "on_status_lost": "resubmit"}


def check_ledger(operator: Any) -> None:
    """Check that the arguments of an operator can be combined with its ledger.

    :raises InvalidArgumentError: If they cannot. The message names the argument.
    """
    from airflow_provider_adobe_target.ledger import ProfileLedger

    if operator.ledger is None:
        return
    if not isinstance(operator.ledger, ProfileLedger):
        raise InvalidArgumentError(f"ledger must be a ProfileLedger, not {type(operator.ledger).__name__}.")
    if not getattr(operator, "supports_ledger", True):
        raise InvalidArgumentError(f"{type(operator).__name__} has no ledger.")
    if hasattr(operator, "profile_id") and operator.ledger.on_missing == "marker":
        raise InvalidArgumentError("on_missing='marker' needs BulkProfileUpdateOperator.")
    for name, value in _EXCLUDED.items():
        if getattr(operator, name, None) == value:
            raise InvalidArgumentError(
                f"{name}={value!r} cannot be combined with ledger. The next run, or the cleared task, sends these rows "
                "again."
            )
    if getattr(operator, "limit_rows", None) is not None and operator.ledger.on_missing == "marker":
        raise InvalidArgumentError(
            "limit_rows cannot be combined with on_missing='marker': other rows would be missing."
        )
    if getattr(operator, "fallback_id_column", None) is not None:
        raise InvalidArgumentError(
            "fallback_id_column cannot be combined with ledger, which covers one id type. Upload the rows of each id "
            "column in a task of its own, each with a ledger."
        )
    for name in ("id_map", "id_map_sql", "id_map_path"):
        if getattr(operator, name, None) is not None:
            raise InvalidArgumentError(f"{name} cannot be combined with ledger.")


class LedgerArgument:
    """Mixin of operators and sensors with the argument ``ledger``."""

    ledger: ProfileLedger | None

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render the template fields. The ledger is rendered as a copy, because other runs share the object."""
        self.ledger = copy.copy(self.ledger)
        super().render_template_fields(context, jinja_env)  # type: ignore[misc]  # Airflow's method

    def _ledger_stage(self, context: Context) -> LedgerStage | None:
        """Return the stage of one run of an operator. None if it has no ledger.

        :raises LedgerRefusedError: If an argument of the ledger is invalid.
        """
        ledger = self.ledger
        if ledger is None:
            return None
        from airflow_provider_adobe_target.load.ledger_stage import LedgerStage

        values: Any = context
        operator: Any = self
        ti = values["ti"]
        now = datetime.fromtimestamp(clocks.SYSTEM.now(), timezone.utc)
        return LedgerStage(
            ledger,
            operator.hook.session,
            writer=f"{ti.dag_id}.{ti.task_id}",
            run=ti.run_id,
            key=json.dumps([ti.dag_id, ti.task_id, ti.run_id, ti.map_index]),
            as_of=ledger.as_of_micros(values.get("data_interval_end"), now),
            suppressed=lambda: suppressed_ids(ledger.suppress),
            is_mapped=ti.map_index >= 0,
            poll_interval=operator.poll_interval,
            timeout=operator.timeout,
            dry_run=operator.is_dry_run,
        )


def suppressed_ids(suppress: Any) -> pa.StringArray | None:
    """Return the ids that must not be sent.

    :param suppress: List of ids, a table as in ``data``, or a path; None for no ids.
    """
    suppress = getattr(suppress, "value", suppress)
    if suppress is None or (isinstance(suppress, str) and not suppress.strip()):
        return None
    import pyarrow as pa

    if isinstance(suppress, (list, tuple, set, frozenset)) and all(isinstance(id, (str, int)) for id in suppress):
        return pa.array([str(id) for id in suppress], pa.string())
    parts = [pa.array([], pa.string()), *_ids_of_rows(suppress)]
    return pa.concat_arrays(parts)


def _ids_of_rows(suppress: Any) -> Iterator[pa.StringArray]:
    from airflow_provider_adobe_target.inputs.row_source import RowSource
    from airflow_provider_adobe_target.inputs.templating import RowsArgument
    from airflow_provider_adobe_target.profiles.mapping import map_columns
    from airflow_provider_adobe_target.profiles.values.to_text import to_text

    is_path = isinstance(suppress, str) or hasattr(suppress, "__fspath__")
    source = RowSource(path=suppress) if is_path else RowSource(data=RowsArgument(suppress))
    for batch in source.read().record_batches():
        column = batch.schema.names[0]
        if len(batch.schema) > 1:
            column = map_columns(batch.schema, complete=False).id_column
        yield to_text(batch.column(column)).text.drop_null()
