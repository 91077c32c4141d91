"""Detect ids that are probably not those of the id type: ECIDs, e-mail addresses, Target ids, blanks, letter case."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.privacy import Finding
from airflow_provider_adobe_target.profiles.encoding import cell_starts, string_bytes

_ECID_LENGTH = 38
_EMAIL = r"^[^@\s]+@[^@\s]+\.[^@\s.]+$"
_TARGET_ID = r"^.+\.\d{1,4}_\d{1,4}$"  # with the number of the edge cluster: ….28_0
_CASE_SAMPLE = 50_000  # ids that are compared without regard to case

_MEANING = {
    "ecid": "have 38 digits, as an ECID",
    "email": "are e-mail addresses",
    "target_id": "look like Target ids (….28_0), which are sent with id_type='pcId'",
    "blanks": "begin or end with blanks",
    "case": f"differ in case only from another id (of the first {_CASE_SAMPLE:,})",
}

log = logging.getLogger(__name__)


class SuspiciousIds:
    """Count suspicious ids of a run. Memory is bounded by a sample of 50,000 ids.

    :param action: What to do if there are any.
    """

    def __init__(self, action: Finding) -> None:
        self._action = action
        self._ids = 0
        self._sample = pa.array([], pa.string())
        self._logged: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def add(self, ids: pa.StringArray, column: str, id_type: str) -> None:
        """Check the ids of one batch, and warn of each kind when it is first found.

        :param ids: Ids as text.
        :param column: Name of the id column, for messages.
        :param id_type: ``thirdPartyId`` or ``pcId``.
        :raises ProfileDataError: With ``fail``, if there are suspicious ids.
        """
        if self._action == "ignore":
            return
        ids = ids.drop_null() if ids.null_count else ids
        self._ids += len(ids)
        is_first = not len(self._sample)
        is_complete = self._extend_sample(ids)
        self.counts.update(self._kinds(ids, id_type))
        if is_first or is_complete:
            self._count_case()
        new = {kind: count for kind, count in self.counts.items() if kind not in self._logged}
        if not new:
            return
        found = "; ".join(f"{count:,} {_MEANING[kind]}" for kind, count in new.items())
        message = f"Ids in {column!r}: {found}. {self._ids:,} were checked so far."
        if self._action == "fail":
            raise ProfileDataError(f"{message} Correct them at their source, or set on_suspicious_id='warn'.")
        log.warning("%s Adobe Target accepts such ids, but they may not be those of your profiles.", message)
        self._logged.update(new)

    def finish(self) -> None:
        """Log the counts of the run, if they are higher than those that were logged."""
        if self._action == "ignore":
            return
        if len(self._sample) < _CASE_SAMPLE:
            self._count_case()
        if any(count > self._logged[kind] for kind, count in self.counts.items()):
            found = "; ".join(f"{count:,} {_MEANING[kind]}" for kind, count in self.counts.items())
            log.warning("Of %s ids: %s.", f"{self._ids:,}", found)

    def _kinds(self, ids: pa.StringArray, id_type: str) -> dict[str, int]:
        # A search in the bytes of all ids is fast, and finds nothing in most batches.
        data = string_bytes(ids).tobytes()
        counts = {"ecid": _count_ecids(ids)}
        if b"@" in data:
            counts["email"] = _sum(pc.match_substring_regex(ids, _EMAIL))
        if b"." in data and b"_" in data and id_type == "thirdPartyId":
            counts["target_id"] = _sum(pc.match_substring_regex(ids, _TARGET_ID))
        if b" " in data:
            counts["blanks"] = _sum(pc.or_(pc.starts_with(ids, " "), pc.ends_with(ids, " ")))
        return {kind: count for kind, count in counts.items() if count}

    def _extend_sample(self, ids: pa.StringArray) -> bool:
        """Add ids to the sample, and return whether it has just become complete."""
        ids = ids.slice(0, _CASE_SAMPLE - len(self._sample))
        if not len(ids):
            return False
        # A copy: a slice would keep the whole batch in memory.
        self._sample = pa.concat_arrays([self._sample, ids])
        return len(self._sample) == _CASE_SAMPLE

    def _count_case(self) -> None:
        distinct: int = pc.count_distinct(self._sample).as_py()
        distinct_in_lower_case: int = pc.count_distinct(pc.utf8_lower(self._sample)).as_py()
        if distinct > distinct_in_lower_case:
            self.counts["case"] = distinct - distinct_in_lower_case


def _count_ecids(ids: pa.StringArray) -> int:
    has_length = np.diff(cell_starts(ids)) == _ECID_LENGTH
    return _sum(pc.ascii_is_decimal(ids.filter(pa.array(has_length)))) if has_length.any() else 0


def _sum(mask: pa.BooleanArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
