"""Detect ids that are probably not those of the id type: ECIDs, e-mail addresses, Target ids, blanks, letter case."""

from __future__ import annotations

import logging
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.privacy import Finding

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
        self._sample: list[pa.StringArray] = []
        self._sampled = 0
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
        ids = ids.drop_null()
        self._ids += len(ids)
        self.counts += self._kinds(ids, id_type)
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
        if any(count > self._logged[kind] for kind, count in self.counts.items()):
            found = "; ".join(f"{count:,} {_MEANING[kind]}" for kind, count in self.counts.items())
            log.warning("Of %s ids: %s.", f"{self._ids:,}", found)

    def _kinds(self, ids: pa.StringArray, id_type: str) -> Counter[str]:
        counts = {
            "ecid": _count_ecids(ids),
            "email": _count(ids, "@", _EMAIL),
            "target_id": _count(ids, ".", _TARGET_ID) if id_type == "thirdPartyId" else 0,
            "blanks": _sum(pc.or_(pc.starts_with(ids, " "), pc.ends_with(ids, " "))),
            "case": self._count_case(ids),
        }
        return Counter({kind: count for kind, count in counts.items() if count})

    def _count_case(self, ids: pa.StringArray) -> int:
        """Return the number of new ids in the sample that equal another one in lower case."""
        ids = ids.slice(0, _CASE_SAMPLE - self._sampled)
        if not len(ids):
            return 0
        self._sampled += len(ids)
        self._sample.append(ids)
        known = pa.chunked_array(self._sample)
        lower = pc.utf8_lower(known)
        return max(0, pc.count_distinct(known).as_py() - pc.count_distinct(lower).as_py() - self.counts["case"])


def _count_ecids(ids: pa.StringArray) -> int:
    long = ids.filter(pc.equal(pc.binary_length(ids), _ECID_LENGTH))
    return _sum(pc.ascii_is_decimal(long)) if len(long) else 0


def _count(ids: pa.StringArray, character: str, pattern: str) -> int:
    some = ids.filter(pc.match_substring(ids, character))
    return _sum(pc.match_substring_regex(some, pattern)) if len(some) else 0


def _sum(mask: pa.BooleanArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
