"""Evaluate finished batches against the failure limits."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.argument_checks import check_arguments
from airflow_provider_adobe_target.client.batch import COMPLETE, COUNTERS, LOST, STUCK, TORN, Batch, named
from airflow_provider_adobe_target.exceptions import BatchOutcomeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_SENTENCES = 10

_COUNTER_NAMES = {
    "consumed_count": "consumedCount",
    "successful_updates": "successfulUpdates",
    "profiles_not_found": "profilesNotFound",
    "failed_updates": "failedUpdates",
}


@dataclass(frozen=True)
class OutcomeLimits:
    """Limits on the outcome of all batches together.

    :param max_failed_pct: Percentage of rows, 0 to 100, that may have failed.
    :param max_not_found_pct: Percentage of rows, 0 to 100, that may have no profile. None for no limit.
    :param max_failed_rows: Number of rows that may have failed. If ``max_failed_pct`` is 0, only this limit applies.
        None for no limit.
    :param max_not_found_rows: Number of rows that may have no profile. None for no limit.
    """

    max_failed_pct: float = 0.0
    max_not_found_pct: float | None = None
    max_failed_rows: int | None = None
    max_not_found_rows: int | None = None

    def __post_init__(self) -> None:
        """Check the limits.

        :raises ProfileDataError: If a limit is not within 0 to 100.
        """
        check_arguments(vars(self))

    @property
    def counts_not_found(self) -> bool:
        """Whether there is a limit on ids without a profile."""
        return self.max_not_found_pct is not None or self.max_not_found_rows is not None


NO_LIMITS = OutcomeLimits(max_failed_pct=100)
"""Limits that no counter exceeds. Only batches that are stuck, lost or incomplete fail."""


def evaluate_batches(batches: Sequence[Batch], limits: OutcomeLimits) -> list[str]:
    """Evaluate final batches.

    :param limits: Limits on all batches together.
    :return: Warnings about missing or contradictory counters, and about batches without any known id.
    :raises BatchOutcomeError: If a batch is stuck or lost, its ``batchSize`` differs from the number of rows sent, or a
        limit is exceeded. The message has all problems, with batch ids and counts.
    """
    batches = [batch for batch in batches if not batch.is_planned]
    problems = _first([problem for batch in batches for problem in _problems_of(batch)])
    failed = [batch.failures for batch in batches]
    if limits.max_failed_rows is not None:
        problems += _row_limit_problem("max_failed_rows", limits.max_failed_rows, "failed", failed, batches)
    if limits.max_failed_rows is None or limits.max_failed_pct:
        problems += _limit_problem("max_failed_pct", limits.max_failed_pct, "failed", failed, batches)
    not_found = [batch.profiles_not_found for batch in batches]
    if limits.max_not_found_rows is not None:
        limit = limits.max_not_found_rows
        problems += _row_limit_problem("max_not_found_rows", limit, "were not found", not_found, batches)
    if limits.max_not_found_pct is not None:
        limit_pct = limits.max_not_found_pct
        problems += _limit_problem("max_not_found_pct", limit_pct, "were not found", not_found, batches)
    if problems:
        raise BatchOutcomeError(" ".join(problems))
    warnings = _first([warning for batch in batches for warning in _warnings(batch, limits.counts_not_found)])
    return warnings if limits.max_not_found_pct == 100 else [*warnings, *_few_found(batches)]


def _first(sentences: list[str]) -> list[str]:
    """Return the first sentences, and one with the number of the others."""
    more = len(sentences) - _MAX_SENTENCES
    return sentences if more <= 0 else [*sentences[:_MAX_SENTENCES], f"Similar messages for {more:,} more."]


def outcome_of(batches: Sequence[Batch], rows_rejected: int) -> str:
    """Return the outcome of a task that did not fail.

    :param batches: All batches.
    :param rows_rejected: Number of rows that were not sent because they are invalid.
    :return: ``dry_run`` if the batches are those of a dry run, ``submitted`` if a batch is not final, ``partial`` if
        rows were rejected, failed or not found or a batch did not complete, otherwise ``complete``.
    """
    if batches and all(batch.is_planned for batch in batches):
        return "dry_run"
    if not all(batch.final for batch in batches):
        return "submitted"
    lost = sum((batch.failures or 0) + (batch.profiles_not_found or 0) for batch in batches)
    is_partial = lost or rows_rejected or any(batch.status != COMPLETE for batch in batches)
    return "partial" if is_partial else "complete"


def _few_found(batches: Sequence[Batch]) -> list[str]:
    """Warn if most ids have no profile, which a wrong id column or id_type explains better than new customers."""
    rows = sum(_rows(batch) or 0 for batch in batches)
    not_found = sum(batch.profiles_not_found or 0 for batch in batches)
    if not rows or 2 * not_found <= rows:
        return []
    if not_found < rows:
        return [
            f"Target found no profile for {not_found} of the {rows} rows, in {named(batches)}: they were not written. "
            "Check the id column and id_type. To fail in this case, set max_not_found_pct."
        ]
    return [
        f"Target found no profile for any of the {rows} rows, in {named(batches)}: nothing was written. "
        "Check the id column and id_type. To fail in this case, set max_not_found_pct."
    ]


def failure_reason(batch: Batch) -> str | None:
    """Return why a batch failed and its file may be sent again: ``stuck``, ``status_lost`` or ``torn``; or None."""
    if batch.status in (STUCK, LOST):
        return batch.status
    return TORN if batch.final and _problems_of(batch) else None


def _problems_of(batch: Batch) -> list[str]:
    """Return the problems of one batch that are independent of the limits."""
    if batch.status == STUCK:
        return [f"Batch {batch.batch_id} is stuck: Target will not complete it. Part of its rows may be applied."]
    if batch.status == LOST:
        return [
            f"Batch {batch.batch_id}: status lost. Target no longer has it; the outcome of its rows is unknown. "
            "Sending the same rows again is safe."
        ]
    if batch.status != COMPLETE:
        return [f"Batch {batch.batch_id} has no final status: it is {batch.status}."]
    if None not in (batch.rows, batch.batch_size) and batch.rows != batch.batch_size:
        return [
            f"Batch {batch.batch_id} was sent with {batch.rows} rows, but its batchSize is "
            f"{batch.batch_size}: rows were lost or torn in transit."
        ]
    return []


def _limit_problem(
    name: str, limit: float, verb: str, counts: Sequence[int | None], batches: Sequence[Batch]
) -> list[str]:
    count = sum(number or 0 for number in counts)
    rows = sum(_rows(batch) or 0 for batch in batches) or count
    if count * 100 <= Fraction(str(limit)) * rows:
        return []
    ids = named(batch for batch, number in zip(batches, counts, strict=True) if number)
    return [f"{count} of {rows} rows {verb}: {count * 100 / rows:.4g} per cent, beyond {name}={limit}, in {ids}."]


def _row_limit_problem(
    name: str, limit: int, verb: str, counts: Sequence[int | None], batches: Sequence[Batch]
) -> list[str]:
    count = sum(number or 0 for number in counts)
    if count <= limit:
        return []
    ids = ", ".join(str(batch.batch_id) for batch, number in zip(batches, counts, strict=True) if number)
    return [f"{count} rows {verb}, beyond {name}={limit}, in {ids}."]


def _rows(batch: Batch) -> int | None:
    return batch.batch_size if batch.rows is None else batch.rows


def _warnings(batch: Batch, not_found_matters: bool) -> list[str]:
    name = f"Batch {batch.batch_id} is complete"
    if all(getattr(batch, counter) is None for counter in COUNTERS):
        return [f"{name}, but Target returned no counters: the outcome of its rows is unknown."]
    missing = [] if batch.failures is not None else ["failedUpdates"]
    if not_found_matters and batch.profiles_not_found is None:
        missing.append("profilesNotFound")
    warnings = [f"{name}, but Target did not return {' and '.join(missing)}."] if missing else []
    return warnings + [f"{name}, but {contradiction}." for contradiction in _contradictions(batch)]


def _contradictions(batch: Batch) -> Iterator[str]:
    """Describe counters that cannot all be right, or do not account for every row."""
    if batch.failed_updates is not None and batch.listed_failures > batch.failed_updates:
        yield (
            f"{batch.listed_failures} rows are listed as failed, and failedUpdates is {batch.failed_updates}: the "
            "larger number counts"
        )
    rows = _rows(batch)
    if rows is None:
        return
    if batch.consumed_count is not None and batch.consumed_count < rows:
        yield f"its consumedCount is {batch.consumed_count} of {rows} rows"
    counters = {name: getattr(batch, field) for field, name in _COUNTER_NAMES.items()}
    for name, count in counters.items():
        if count is not None and count > rows:
            yield f"its {name} is {count}, more than its {rows} rows"
    failed = batch.failures if batch.failed_updates is None else batch.failed_updates
    parts = (batch.successful_updates, batch.profiles_not_found, failed)
    total = sum(part or 0 for part in parts)
    if total < rows and batch.successful_updates is not None:
        yield f"its successfulUpdates is {batch.successful_updates}, and its counters add up to {total} of {rows} rows"
    elif total != rows and None not in parts:
        yield f"its counters add up to {total} of {rows} rows"
