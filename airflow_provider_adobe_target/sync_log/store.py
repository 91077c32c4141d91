"""What a store of the sync log can do."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Protocol

from airflow_provider_adobe_target.sync_log.record import NESTED_COLUMNS, Decoder, RunRecord


@dataclass(frozen=True)
class RunFilter:
    """Selects records. None selects all.

    :param since: Start of the earliest try.
    :param until: Start of the latest try, exclusive.
    :param dag_ids: Ids of DAGs.
    :param run_id: Id of a DAG run.
    :param task_id: Id of a task.
    :param map_index: Index of a mapped task.
    :param client_code: Client code of an account.
    :param outcomes: Outcomes.
    :param operators: Class names of operators.
    :param nested: Which of ``batches``, ``attributes`` and ``details`` the records have. The others may be missing.
    :param decoders: Functions that decode some of these columns. Default: ``json.loads``.
    """

    since: datetime | None = None
    until: datetime | None = None
    dag_ids: Collection[str] | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    client_code: str | None = None
    outcomes: Collection[str] | None = None
    operators: Collection[str] | None = None
    nested: Sequence[str] = ()
    decoders: Mapping[str, Decoder] = field(default_factory=dict)

    @cached_property
    def nested_decoders(self) -> dict[str, Decoder]:
        """The function that decodes each of the nested columns, in the order of the columns."""
        return {name: self.decoders.get(name, json.loads) for name in NESTED_COLUMNS if name in self.nested}

    @cached_property
    def equalities(self) -> dict[str, object]:
        """The columns that must have one value."""
        names = ("run_id", "task_id", "map_index", "client_code")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @cached_property
    def memberships(self) -> dict[str, Collection[str]]:
        """The columns that must have one of several values."""
        named = {"dag_id": self.dag_ids, "outcome": self.outcomes, "operator": self.operators}
        return {column: values for column, values in named.items() if values is not None}

    def matches(self, record: RunRecord) -> bool:
        """Return whether a record is selected."""
        started = record.started_at
        if self.since and (started is None or started < self.since):
            return False
        if self.until and (started is None or started >= self.until):
            return False
        return all(getattr(record, name) == value for name, value in self.equalities.items()) and all(
            getattr(record, name) in values for name, values in self.memberships.items()
        )


class SyncLog(Protocol):
    """A store of records."""

    def write(self, record: RunRecord) -> None:
        """Insert a record, or replace the one with the same key."""

    def read(
        self, selected: RunFilter, limit: int | None = None, on_response: Callable[[], object] | None = None
    ) -> list[RunRecord]:
        """Return the selected records, the latest first.

        :param selected: Which records.
        :param limit: Maximum number of records.
        :param on_response: Called when the store has responded, before all records are read.
        """

    def purge(self, before: datetime) -> None:
        """Delete the records of tries that started earlier."""
