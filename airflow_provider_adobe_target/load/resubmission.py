"""Resubmission of files whose batches failed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.argument_checks import check_arguments
from airflow_provider_adobe_target.client.batch import LOST, STUCK
from airflow_provider_adobe_target.client.verdict import failure_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.load.checkpoint import Checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resubmission:
    """Resubmission options. Names and meanings as in ``BulkProfileUpdateOperator``."""

    on_stuck: str
    on_status_lost: str

    def __post_init__(self) -> None:
        """Check the options.

        :raises AdobeTargetError: If an option has an invalid value.
        """
        check_arguments(vars(self))

    def schedule(self, batches: Mapping[int, Batch], checkpoint: Checkpoint) -> bool:
        """Record final batches and schedule failed ones for resubmission.

        If none qualifies for resubmission now, all failed files are scheduled for the next time the task is cleared.

        :param batches: Final batches, by file number.
        :return: Whether any file must be sent again now.
        """
        checkpoint.complete(batches)
        choices = {STUCK: self.on_stuck, LOST: self.on_status_lost}
        ends = _failure_reasons(batches)
        now = {
            number: end
            for number, end in ends.items()
            if choices.get(end) == "resubmit" and end not in batches[number].resubmitted_after
        }
        _log_resubmissions(now, batches)
        for number, end in (now or ends).items():
            checkpoint.reset(number, end)
        return bool(now)


def reset_failed_batches(batches: Mapping[int, Batch], checkpoint: Checkpoint) -> bool:
    """Record final batches and schedule all failed ones for resubmission, regardless of the options.

    :return: Whether any batch failed.
    """
    checkpoint.complete(batches)
    ends = _failure_reasons(batches)
    _log_resubmissions(ends, batches)
    for number, end in ends.items():
        checkpoint.reset(number, end)
    return bool(ends)


def _failure_reasons(batches: Mapping[int, Batch]) -> dict[int, str]:
    return {number: end for number, batch in batches.items() if (end := failure_reason(batch))}


def _log_resubmissions(ends: Mapping[int, str], batches: Mapping[int, Batch]) -> None:
    for number, end in ends.items():
        log.warning("Batch %s is %s: its rows are sent again.", batches[number].batch_id, end)
