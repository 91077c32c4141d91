"""The recorder of tasks without a sync log, which a DAG file can import at no cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics


class NoRecorder:
    """The recorder of a task without a sync log. It does nothing."""

    is_active = False
    is_sender = True

    def attribute_statistics(self) -> AttributeStatistics | None:
        """Return None: no statistics are wanted."""
        return None

    def earlier_row_counts(self) -> Sequence[int]:
        """Return no numbers of rows: they are unknown."""
        return ()

    def sent_attributes(self) -> Collection[str] | None:
        """Return None: the attributes that were sent before are unknown."""
        return None

    def start(self) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""

    def accepted(self, batches: Sequence[Batch]) -> None:
        """Do nothing."""

    def note(self, report: Mapping[str, Any]) -> None:
        """Do nothing."""

    def note_ledger(self, ledger: Any) -> None:
        """Do nothing."""

    def sent(self, report: Mapping[str, Any]) -> None:
        """Do nothing."""

    def observed(self, batches: Sequence[Batch]) -> None:
        """Do nothing."""

    def deferred(self) -> None:
        """Do nothing."""

    def finished(self, result: Any, *, task_failed: bool, error: str | None = None) -> None:
        """Do nothing."""
