"""The batch model: one batch file, and the status that Target reported for it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import AdobeTargetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BATCH_ID = re.compile(r"[?&]batchId=([^&]+)")

SUBMITTED = "submitted"
COMPLETE = "complete"
STUCK = "stuck"
LOST = "status_lost"
DRY_RUN = "dry_run"
LOST_ANSWER = "lost_answer"
TORN = "torn"
_FINAL = frozenset({COMPLETE, STUCK, LOST})
_MAX_NAMED = 10


@dataclass(frozen=True)
class BatchStatus:
    """The status of a batch. A counter that Target did not return is None. It is never computed from the others.

    :param status: ``incomplete``, ``complete``, ``stuck``, or another word of Target, unchanged.
    :param batch_size: Rows in the batch.
    :param consumed_count: Rows processed so far.
    :param successful_updates: Rows applied.
    :param profiles_not_found: Rows with an unknown id.
    :param failed_updates: Rows that failed.
    :param listed_failures: Number of rows that Target lists individually as failed.
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
        """Whether Target has finished the batch, successfully or not."""
        return self.status in _FINAL


COUNTERS = ("batch_size", "consumed_count", "successful_updates", "profiles_not_found", "failed_updates")
_STATUS_FIELDS = tuple(field.name for field in fields(BatchStatus))


@dataclass(frozen=True, kw_only=True)
class Batch(BatchStatus):
    """One batch file and its last known status: an entry of the report's ``batches``.

    :param status: As :class:`BatchStatus`; also ``submitted`` if the status is not known yet, and ``dry_run``.
    :param batch_id: Target's id of the batch. None if the file was not submitted.
    :param status_url: Validated URL of status requests, without ``showDetails``. None if the file was not submitted.
    :param rows: Rows in the file. None if only the status URL is known.
    :param bytes: Size of the HTTP body.
    :param sha256: Digest of the HTTP body in hexadecimal.
    :param submitted_at: UTC time of the response, as in ``2026-01-01T00:00:00Z``.
    :param resubmitted_after: Reasons of earlier submissions of the same bytes: ``lost_answer`` (Target may have queued
        them), ``stuck``, ``status_lost`` or ``torn``. The report contains it only if there is a reason.
    """

    status: str = SUBMITTED
    batch_id: str | None = None
    status_url: str | None = None
    rows: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    submitted_at: str | None = None
    resubmitted_after: tuple[str, ...] = ()

    @classmethod
    def from_status_url(cls, status_url: str) -> Batch:
        """Return a batch of which only the status URL is known."""
        return cls(batch_id=batch_id_of(status_url), status_url=status_url)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Batch:
        """Read an entry of a report's ``batches``, or what :meth:`to_event` returned. Unknown keys are ignored.

        :raises AdobeTargetError: If a value has the wrong type.
        """
        known = {
            field.name: _checked(field.name, entry[field.name])
            for field in fields(cls)
            if entry.get(field.name) not in (None, "")
        }
        if not known.get("batch_id") and known.get("status_url"):
            known["batch_id"] = batch_id_of(known["status_url"])
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of the report: plain JSON."""
        entry = self.to_event()
        for name in ("listed_failures", "resubmitted_after"):
            if not entry[name]:
                del entry[name]
        return entry

    def to_event(self) -> dict[str, Any]:
        """Return all fields as plain JSON, for a trigger or a checkpoint. The status comes last, as in the report."""
        entry = asdict(self)
        status = {name: entry.pop(name) for name in _STATUS_FIELDS}
        reasons = list(entry.pop("resubmitted_after"))
        return {**entry, **status, "resubmitted_after": reasons}

    def with_status(self, status: BatchStatus) -> Batch:
        """Return the batch with a new status. All fields of the previous status are replaced."""
        return replace(self, **asdict(status))

    def sent_before(self, *reasons: str) -> Batch:
        """Return the batch with reasons of earlier submissions of the same bytes."""
        return replace(self, resubmitted_after=(*reasons, *self.resubmitted_after))

    @property
    def is_planned(self) -> bool:
        """Whether the batch belongs to a dry run, and was not sent to Target."""
        return self.status == DRY_RUN and self.status_url is None

    @property
    def final(self) -> bool:
        """Whether the status cannot change any more: Target has finished the batch, or does not have it."""
        return self.status in _FINAL or self.is_planned

    @property
    def failures(self) -> int | None:
        """Number of failed rows: the larger of the counter and the listed rows. None if Target returned neither."""
        if self.failed_updates is None:
            return self.listed_failures or None
        return max(self.failed_updates, self.listed_failures)


def named(batches: Iterable[Batch]) -> str:
    """Return the batch ids for a message: the first ten, and the number of others."""
    ids = [str(batch.batch_id) for batch in batches]
    more = f" and {len(ids) - _MAX_NAMED:,} more" if len(ids) > _MAX_NAMED else ""
    return ", ".join(ids[:_MAX_NAMED]) + more


def _checked(name: str, value: Any) -> Any:
    if name == "resubmitted_after":
        wanted: Any = tuple
        value = tuple(value) if isinstance(value, list) else value
    else:
        wanted = int if name in (*COUNTERS, "rows", "bytes", "listed_failures") else str
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise AdobeTargetError(f"The {name} of a batch must be {wanted.__name__}. Pass batches as the report has them.")
    return value


def batch_id_of(status_url: str) -> str:
    """Return the ``batchId`` parameter of a status URL, not decoded. Without one, return the URL without its scheme."""
    match = _BATCH_ID.search(status_url)
    return match[1] if match else status_url.partition("://")[2]
