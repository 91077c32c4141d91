"""Compare the number of rows with that of earlier runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from airflow_provider_adobe_target.exceptions import ProfileDataError

MIN_RUNS = 3
"""Number of earlier runs that are required for a comparison."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RowCountLimit:
    """Limit on the deviation of the number of rows from the median of earlier runs.

    :param max_rows_deviation_pct: Percentage of the median.
    :param earlier: Numbers of rows that earlier runs read.
    """

    max_rows_deviation_pct: float
    earlier: Sequence[int]

    @property
    def is_known(self) -> bool:
        """Whether there are enough earlier runs."""
        return len(self.earlier) >= MIN_RUNS

    def check(self, rows_read: int) -> None:
        """Compare the number of rows with the median. With too few earlier runs, log that it is not compared.

        :raises ProfileDataError: If the deviation exceeds the limit.
        """
        if not self.is_known:
            log.info(
                "The number of rows is not compared: the sync log has %s earlier runs of this task, and "
                "max_rows_deviation_pct requires %s.",
                len(self.earlier),
                MIN_RUNS,
            )
            return
        usual = median(self.earlier)
        if abs(rows_read - usual) * 100 <= self.max_rows_deviation_pct * usual:
            return
        raise ProfileDataError(
            f"{rows_read:,} rows were read. The median of the last {len(self.earlier)} runs is {usual:,.0f}: the "
            f"deviation exceeds max_rows_deviation_pct={self.max_rows_deviation_pct:g}. Nothing was sent. If the "
            "number is correct, run the task once with a higher max_rows_deviation_pct."
        )
