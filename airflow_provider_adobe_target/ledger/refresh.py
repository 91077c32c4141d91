"""Rule for sending unchanged profiles again before Adobe Target deletes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Refresh:
    """Refresh of unchanged profiles, spread evenly over the days.

    Each id has a phase within the period, from its hash. A profile is due in the first run after its phase has passed
    since its confirmation, hence at most ``days`` and one interval between runs later.

    :param days: Length of the period; None to refresh nothing.
    :param now: Current time in microseconds.
    """

    days: float | None
    now: int

    def due(self, confirmed_at: npt.NDArray[np.int64], id_hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return a mask of the profiles that must be sent again.

        :param confirmed_at: Times of confirmation in microseconds.
        :param id_hashes: Hashes of the ids.
        """
        if self.days is None:
            return np.zeros(len(id_hashes), bool)
        period = max(1, int(self.days * _DAY))
        # The upper bits select the partition; the lower 40 bits give the phase.
        phase = (id_hashes.view(np.uint64) & np.uint64(2**40 - 1)).astype(np.float64) / 2**40 * period
        offset = phase.astype(np.int64)
        due: npt.NDArray[np.bool_] = (self.now - offset) // period > (confirmed_at - offset) // period
        return due
