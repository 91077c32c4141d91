"""What became of batches, and the verdict over them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import AdobeTargetError

if TYPE_CHECKING:
    from collections.abc import Mapping

import re

_BATCH_ID = re.compile(r"[?&]batchId=([^&]+)")

SUBMITTED = "submitted"
COMPLETE = "complete"
STUCK = "stuck"
LOST = "status_lost"
DRY_RUN = "dry_run"
LOST_ANSWER = "lost_answer"
TORN = "torn"
_FINAL = frozenset({COMPLETE, STUCK, LOST})
_COUNTERS = ("batch_size", "consumed_count", "successful_updates", "profiles_not_found", "failed_updates")


@dataclass(frozen=True)
class BatchReceipt:
    """What Target gives for a file it has queued.

    :param batch_id: Target's name of the batch.
    :param status_url: where its status is asked, checked, without ``showDetails``.
    :param submitted_at: time of the answer, UTC, as in ``2026-01-01T00:00:00Z``.
    :param answer_was_lost: whether the file had been sent before, and the answer never came: Target may have it twice.
    """

    batch_id: str
    status_url: str
    submitted_at: str
    answer_was_lost: bool = False


@dataclass(frozen=True)
class BatchStatus:
    """What Target says of a batch. A counter it did not give is None, never computed from the others.

    :param status: ``incomplete``, ``complete``, ``stuck``, or another word of Target's as it came.
    :param batch_size: rows in the batch.
    :param consumed_count: rows taken up so far.
    :param successful_updates: rows applied.
    :param profiles_not_found: rows whose id is unknown.
    :param failed_updates: rows that failed.
    :param listed_failures: rows listed one by one as failed.
    """

    status: str
    batch_size: int | None = None
    consumed_count: int | None = None
    successful_updates: int | None = None
    profiles_not_found: int | None = None
    failed_updates: int | None = None
    listed_failures: int = 0

    @property
    def final(self) -> bool:
        """Whether Target is done with the batch, well or not."""
        return self.status in _FINAL


@dataclass(frozen=True)
class Batch:
    """One batch file and what is known of it: an entry of the report's ``batches``, in the report's order.

    :param rows: rows in the file, or None where only its status URL is known.
    :param bytes: bytes of the HTTP body.
    :param sha256: digest of the HTTP body, in hex.
    :param listed_failures: rows Target listed as failed; in the report only where there are any.
    :param resubmitted_after: why the same bytes were sent before: ``lost_answer`` (Target may have taken them then),
        ``stuck``, ``status_lost`` or ``torn``; in the report only where there is a reason.
    """

    batch_id: str | None
    status_url: str | None
    rows: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    submitted_at: str | None = None
    status: str = SUBMITTED
    batch_size: int | None = None
    consumed_count: int | None = None
    successful_updates: int | None = None
    profiles_not_found: int | None = None
    failed_updates: int | None = None
    listed_failures: int = 0
    resubmitted_after: tuple[str, ...] = ()

    @classmethod
    def submitted(cls, receipt: BatchReceipt, *, rows: int, bytes: int, sha256: str) -> Batch:
        """Return the batch that Target has just queued."""
        batch = cls(receipt.batch_id, receipt.status_url, rows, bytes, sha256, receipt.submitted_at)
        return batch.sent_before(LOST_ANSWER) if receipt.answer_was_lost else batch

    @classmethod
    def planned(cls, *, rows: int, bytes: int, sha256: str) -> Batch:
        """Return the batch that a dry run would send."""
        return cls(None, None, rows, bytes, sha256, status=DRY_RUN)

    @classmethod
    def from_status_url(cls, status_url: str) -> Batch:
        """Return a batch of which only the status URL is known."""
        return cls(batch_id_of(status_url), status_url)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Batch:
        """Read an entry of a report's ``batches``. Keys that no report has are ignored.

        :raises AdobeTargetError: where a value is not of the kind that a report holds.
        """
        known: dict[str, Any] = {}
        for name in (field.name for field in fields(cls) if field.name in entry):
            value = entry[name]
            wanted: Any = int if name in (*_COUNTERS, "rows", "bytes", "listed_failures") else str
            if name == "resubmitted_after":
                wanted, value = tuple, tuple(value) if isinstance(value, list) else value
            if value is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
                raise AdobeTargetError(
                    f"A batch's {name} is not {wanted.__name__}: give batches as the report has them."
                )
            known[name] = value
        status_url, batch_id = known.pop("status_url", None), known.pop("batch_id", None)
        known["status"] = known.get("status") or SUBMITTED
        known["listed_failures"] = known.get("listed_failures") or 0
        known["resubmitted_after"] = known.get("resubmitted_after") or ()
        return cls(batch_id or (batch_id_of(status_url) if status_url else None), status_url, **known)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of the report: plain JSON."""
        entry = self.to_event()
        for name in ("listed_failures", "resubmitted_after"):
            if not entry[name]:
                del entry[name]
        return entry

    @classmethod
    def from_event(cls, entry: Mapping[str, Any]) -> Batch:
        """Read what :meth:`to_event` wrote.

        :raises AdobeTargetError: as :meth:`from_dict`.
        """
        return cls.from_dict(entry)

    def to_event(self) -> dict[str, Any]:
        """Return all that is known, for the way between a task and its trigger: plain JSON."""
        return {**asdict(self), "resubmitted_after": list(self.resubmitted_after)}

    def with_status(self, status: BatchStatus) -> Batch:
        """Return the batch with what Target says now, and nothing of what it said before."""
        return replace(self, **asdict(status))

    def lost(self) -> Batch:
        """Return the batch as one that Target no longer knows."""
        return self.with_status(BatchStatus(LOST))

    def sent_before(self, *reasons: str) -> Batch:
        """Return the batch with reasons for which the same bytes had been sent before."""
        return replace(self, resubmitted_after=(*reasons, *self.resubmitted_after))

    @property
    def is_planned(self) -> bool:
        """Whether it is of a dry run, and Target never saw it."""
        return self.status == DRY_RUN and self.status_url is None

    @property
    def final(self) -> bool:
        """Whether there is nothing to wait for: Target is done with the batch, well or not, or never saw it."""
        return self.status in _FINAL or self.is_planned

    @property
    def failures(self) -> int | None:
        """Rows that failed: the counter or the rows listed, whichever is more; None if Target gave neither."""
        if self.failed_updates is None:
            return self.listed_failures or None
        return max(self.failed_updates, self.listed_failures)


def batch_id_of(status_url: str) -> str:
    """Return the ``batchId`` a status URL names, as it stands there, or the URL without its scheme."""
    match = _BATCH_ID.search(status_url)
    return match[1] if match else status_url.partition("://")[2]
