"""Match rate: the share of ids that have a profile, measured without creating profiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.argument_checks import check_number
from airflow_provider_adobe_target.client.verdict import NO_LIMITS, evaluate_batches
from airflow_provider_adobe_target.concurrency.clock import utc_time
from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder
from airflow_provider_adobe_target.exceptions import BatchOutcomeError

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.session import Session

_MAX_SAMPLED = 50_000


@dataclass(frozen=True)
class MatchRate:
    """Result of a match rate probe.

    :param asked: Number of sampled ids.
    :param found: Number of sampled ids with a profile (``successfulUpdates``).
    :param not_found: Number of sampled ids without a profile (``profilesNotFound``).
    :param rejected: Number of invalid and duplicate ids by reason.
    """

    asked: int
    found: int
    not_found: int
    rejected: dict[str, int]

    @property
    def pct(self) -> float | None:
        """Percentage of the sampled ids that have a profile, or None if the sample is empty."""
        return 100 * self.found / self.asked if self.asked else None


def probe(
    session: Session,
    ids: Iterable[Any],
    id_type: str,
    sample_size: int,
    seed: int,
    attribute: str,
    poll_interval: float,
    timeout: float,
) -> MatchRate:
    """Measure the match rate of a sample; parameters and exceptions as ``AdobeTargetHook.probe_match_rate``."""
    from airflow_provider_adobe_target.profiles.options import ProfileOptions
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
    from airflow_provider_adobe_target.profiles.sampling import draw_sample
    from airflow_provider_adobe_target.profiles.sources.dataframes import read_data

    check_number("sample_size", sample_size, 1, _MAX_SAMPLED, whole=True)
    clock = session.clock
    value = utc_time(clock.now())[:10]
    rules: Any = {"id_column": id_type, "id_type": id_type}
    with TempFolder() as folder:
        rows = read_data([{id_type: profile_id, attribute: value} for profile_id in ids])
        run = ProfilePipeline(rows, ProfileOptions(**rules), folder)
        sample = draw_sample(run.profiles(), sample_size, seed)
        rejected = dict(run.rejects.by_reason)
        if not sample:
            return MatchRate(0, 0, 0, rejected)
        drawn = read_data([{id_type: update.profile_id, attribute: value} for update in sample])
        inner = folder / "sample"
        inner.mkdir()
        [file] = ProfilePipeline(drawn, ProfileOptions(**rules), inner).files()
        batch = session.submit(file, "v1")
    [batch] = session.wait([batch], poll_interval, clock.now() + timeout)
    evaluate_batches([batch], NO_LIMITS)
    if batch.successful_updates is None or batch.profiles_not_found is None:
        raise BatchOutcomeError(
            f"Adobe Target returned no counters for batch {batch.batch_id}: the match rate is unknown."
        )
    return MatchRate(file.rows, batch.successful_updates, batch.profiles_not_found, rejected)
