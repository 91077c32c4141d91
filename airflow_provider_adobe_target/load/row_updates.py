"""Update many profiles with one rate-limited call each."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.argument_checks import check_arguments
from airflow_provider_adobe_target.client.rate_limit.daily import DailyRateLimiter
from airflow_provider_adobe_target.client.rate_limit.daily_count import SharedQuota
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.concurrency.worker_pool import TaskCancelledError, run_pool
from airflow_provider_adobe_target.exceptions import (
    BatchTimeoutError,
    ProfileNotFoundError,
    TargetRefusedError,
    TokenRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyarrow import RecordBatch

    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.concurrency.clock import Clock
    from airflow_provider_adobe_target.load.ledger_stage import LedgerStage
    from airflow_provider_adobe_target.profiles.id_map import IdMap
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
    from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate, UpdateBlock
    from airflow_provider_adobe_target.profiles.rejects import Rejects
    from airflow_provider_adobe_target.spill import SpillFile

_REFUSED_IN_A_ROW = 10
_PROGRESS_SECONDS = 60.0

NOT_FOUND = "profile_not_found"
REFUSED = "refused_by_target"
_DETAILS = {NOT_FOUND: "Adobe Target has no such profile", REFUSED: "Adobe Target did not accept the update"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UpdateRate:
    """Rate limits of updates. Names, meanings and defaults as in ``SingleProfileUpdateOperator``."""

    updates_per_second: float
    updates_per_day: int
    max_concurrent_updates: int

    def __post_init__(self) -> None:
        """Check the limits.

        :raises AdobeTargetError: If a limit has an invalid value.
        """
        check_arguments(vars(self))

    def limiter(self, quota: SharedQuota | None = None) -> DailyRateLimiter:
        """Return a rate limiter for one kind of call.

        :param quota: Daily quota of the account for these calls, shared with other tasks; None for none.
        """
        return DailyRateLimiter(self.updates_per_second, self.updates_per_day, clocks.SYSTEM, quota)


@dataclass(frozen=True)
class ProfileWait:
    """How long to wait for profiles that do not exist yet.

    :param poll_interval: Seconds between two look-ups.
    :param timeout: Maximum wait in seconds.
    """

    poll_interval: float
    timeout: float


class RowUpdates:
    """Send the profiles of one pipeline as single updates.

    :param session: Client session.
    :param pipeline: Pipeline. Rows that Adobe Target does not have, or refuses, are added to its rejects.
    :param rate: Rate limits.
    :param looks_first: Whether each profile is looked up before it is updated.
    :param is_dry_run: Whether no calls are made.
    :param ledger: Stage that selects the rows to send.
    :param wait: Wait for profiles that do not exist. None to reject their rows immediately.
    :param id_map: Linked ids, which are updated after all rows. Those that Adobe Target does not have, or refuses, are
        counted as dropped links.
    """

    def __init__(
        self,
        session: Session,
        pipeline: ProfilePipeline,
        rate: UpdateRate,
        *,
        looks_first: bool,
        is_dry_run: bool,
        ledger: LedgerStage | None = None,
        wait: ProfileWait | None = None,
        id_map: IdMap | None = None,
    ) -> None:
        quotas = {name: SharedQuota(session.settings, name, clocks.SYSTEM) for name in ("lookups", "updates")}
        limiters = {name: rate.limiter(quota) for name, quota in quotas.items()}
        limits = replace(session.limits, **limiters, events=rate.limiter())
        self._session = session.replace(limits=limits)
        self._pipeline = pipeline
        self._max_workers = rate.max_concurrent_updates
        self._looks_first = looks_first
        self._is_dry_run = is_dry_run
        self._ledger = ledger
        self._wait = wait
        self._id_map = id_map
        self._linked_type: str | None = None  # while linked ids are updated
        self._missing: SpillFile | None = None  # rows without a profile, while others are waited for
        self._failed_ids: set[str] = set()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._refused_in_a_row = 0
        self._next_progress = session.clock.monotonic() + _PROGRESS_SECONDS

    def run(
        self, folder: Path, *, switch_to_bulk_above: int | None, write_rejects: Callable[[Rejects], str | None]
    ) -> str | None:
        """Authenticate, send all rows, and write the rejected rows, also if sending failed.

        :param folder: Existing private folder for spilled rows.
        :param switch_to_bulk_above: Number of rows above which a warning is logged; None for no warning.
        :param write_rejects: Function that writes the rejected rows and returns the path of the file.
        :return: Path of the rejected rows.
        :raises AdobeTargetError: If a limit on rejected rows is exceeded, or Adobe Target refuses too many consecutive
            rows.
        """
        if not self._is_dry_run:
            self._authenticate()  # in this thread, and before a row is read
        try:
            self._send_all(folder, switch_to_bulk_above)
        except BaseException:
            log.info("Outcome of the rows: %s", self._pipeline.counts)
            with suppress(Exception):  # the first error matters more
                write_rejects(self._pipeline.rejects)
            raise
        rejects_path = write_rejects(self._pipeline.rejects)
        log.info("Outcome of the rows: %s; rejects_path: %s", self._pipeline.counts, rejects_path)
        return rejects_path

    def _send_all(self, folder: Path, switch_to_bulk_above: int | None) -> None:
        """Read and check all rows in the calling thread, then send them in worker threads."""
        checked = self._checked(folder)
        if switch_to_bulk_above is not None and checked.rows > switch_to_bulk_above:
            log.warning(
                "There are %s rows, more than switch_to_bulk_above=%s. Use BulkProfileUpdateOperator for so many rows: "
                "it sends 100,000 of them in two calls, and has no daily limit.",
                f"{checked.rows:,}",
                f"{switch_to_bulk_above:,}",
            )
        record: AbstractContextManager[set[str]] = nullcontext(set())
        if self._ledger:
            record = self._ledger.updates(checked.rows)
        with record as self._failed_ids:
            if self._wait and not self._is_dry_run:
                self._send_and_wait(checked, folder, self._wait)
            else:
                self._send_blocks(checked.record_batches())
        if self._id_map:
            self._send_to_linked_ids(self._id_map, checked, folder)

    def _send_blocks(self, profiles: Iterable[RecordBatch]) -> None:
        from airflow_provider_adobe_target.profiles.profile_updates import cut_blocks

        run_pool(cut_blocks(profiles), self._send, max_workers=self._max_workers, stop=self._stop)

    def _send_and_wait(self, checked: SpillFile, folder: Path, wait: ProfileWait) -> None:
        """Send the rows. Repeat this with those without a profile, until there are none or the time is over."""
        from airflow_provider_adobe_target.spill import SpillFile

        clock = self._session.clock
        deadline = clock.monotonic() + wait.timeout
        pending = checked
        for number in count():
            self._missing = SpillFile(folder / f"missing-{number}")
            self._send_blocks(pending.record_batches())
            pending, self._missing = self._missing, None
            if not pending.rows or clock.monotonic() + wait.poll_interval > deadline:
                break
            log.info(
                "%s profiles do not exist yet. Next look-up in %.0f seconds.", f"{pending.rows:,}", wait.poll_interval
            )
            clock.sleep(wait.poll_interval)
        for batch in pending.record_batches():
            self._refuse(batch, NOT_FOUND)

    def _send_to_linked_ids(self, id_map: IdMap, checked: SpillFile, folder: Path) -> None:
        """Send the rows once more, to the ids that are linked with theirs."""
        own_type = self._pipeline.id_type
        for linked_type in id_map.linked_types(own_type):
            work = folder / f"linked-{linked_type}"
            work.mkdir()
            self._linked_type = linked_type
            self._send_blocks(id_map.linked_profiles(checked, own_type, linked_type, work))
        self._linked_type = None

    @property
    def rows_invalid(self) -> int:
        """Rows that were rejected before a call was made for them."""
        reasons = self._pipeline.rejects.by_reason
        return self._pipeline.rows_rejected - reasons[NOT_FOUND] - reasons[REFUSED]

    def check_outcome(self, *, if_not_found: str) -> None:
        """Raise if rows failed. Log a warning if no profile was found.

        :param if_not_found: ``fail`` or ``wait`` to raise if profiles were not found.
        :raises ProfileNotFoundError: If profiles were not found and ``if_not_found`` is ``fail``.
        :raises BatchTimeoutError: If they were not found and ``if_not_found`` is ``wait``.
        :raises TargetRefusedError: If Adobe Target refused rows.
        """
        reasons, sent = self._pipeline.rejects.by_reason, f"{self._pipeline.rows_sent:,}"
        if reasons[REFUSED]:
            raise TargetRefusedError(
                f"Adobe Target refused {reasons[REFUSED]:,} rows; {sent} were sent. They are among the rejected rows "
                f"as {REFUSED!r}, which are written if rejects_path is set."
            )
        if if_not_found == "fail" and reasons[NOT_FOUND]:
            raise ProfileNotFoundError(
                f"Adobe Target has no profile for {reasons[NOT_FOUND]:,} rows, and a single update creates none; "
                f"{sent} were sent. They are among the rejected rows as {NOT_FOUND!r}, which are written if "
                "rejects_path is set. With if_not_found='skip' the task succeeds without them; "
                "BulkProfileUpdateOperator creates them."
            )
        if if_not_found == "wait" and reasons[NOT_FOUND]:
            raise BatchTimeoutError(
                f"Adobe Target still had no profile for {reasons[NOT_FOUND]:,} rows at the timeout; {sent} were sent. "
                f"They are among the rejected rows as {NOT_FOUND!r}, which are written if rejects_path is set."
            )
        if reasons[NOT_FOUND] and not self._pipeline.rows_sent:
            log.warning(
                "Adobe Target has no profile for any of the %s rows: nothing was written. Check the id column, id_type "
                "and the client code.",
                f"{reasons[NOT_FOUND]:,}",
            )

    def _checked(self, folder: Path) -> SpillFile:
        """Read and check all rows, and spill the valid ones to disk.

        Sending may take hours. Reading first keeps the database connection short, and detects read errors before the
        first call.
        """
        from airflow_provider_adobe_target.spill import SpillFile

        checked = SpillFile(folder / "checked")
        profiles = self._pipeline.profiles()
        if self._ledger:
            self._ledger.connect()
            profiles = self._ledger.select(self._pipeline, profiles, folder, self._stop)
        for batch in profiles:
            checked.write(self._pipeline.with_stamps(batch))
        return checked

    def _send(self, number: int, block: UpdateBlock, clock: Clock) -> None:
        """Send the profiles of a block sequentially. The counts are updated even if an error ends the block."""
        ends: dict[str, list[int]] = {NOT_FOUND: [], REFUSED: []}
        sent = 0
        try:
            with self._session.replace(clock=clock) as session:
                for index, update in enumerate(block.updates()):
                    sent += self._send_one(index, update, ends, session)
        except TaskCancelledError:
            pass  # another thread failed and raises its error
        finally:
            self._settle(block, sent, ends)

    def _send_one(self, index: int, update: ProfileUpdate, ends: dict[str, list[int]], session: Session) -> bool:
        """Send one profile, and return whether Adobe Target accepted it. Otherwise add its index to ``ends``."""
        if self._stop.is_set():
            raise TaskCancelledError
        try:
            is_known = self._is_dry_run or self._update(update, session)
        except TokenRefusedError:
            raise
        except TargetRefusedError as error:
            ends[REFUSED].append(index)
            self._count_refusal(error)
            return False
        self._refused_in_a_row = 0
        if not is_known:
            ends[NOT_FOUND].append(index)
        return is_known

    def _authenticate(self) -> None:
        self._session.authenticate()

    def _update(self, update: ProfileUpdate, session: Session) -> bool:
        """Look up a profile, if required, and update it.

        :return: Whether the profile was updated; False if it was not found.
        :raises TargetRefusedError: If Adobe Target refuses the update.
        """
        if self._looks_first and session.fetch_profile(update.profile_id, self._id_type) is None:
            return False
        session.update_profile(update.profile_id, self._id_type, update.attributes)
        return True

    @property
    def _id_type(self) -> Any:
        return self._linked_type or self._pipeline.id_type  # known once the columns are

    def _count_refusal(self, error: TargetRefusedError) -> None:
        """Log a refusal, which may concern one row only.

        :raises TargetRefusedError: After 10 consecutive refusals, in all threads.
        """
        with self._lock:
            self._refused_in_a_row += 1
            refused = self._refused_in_a_row
        if refused >= _REFUSED_IN_A_ROW:
            raise TargetRefusedError(f"Adobe Target refused {refused} rows, one after the other. The last: {error}")
        log.warning("%s The row is left out.", error)

    def _settle(self, block: UpdateBlock, sent: int, ends: dict[str, list[int]]) -> None:
        for reason, indices in ends.items():
            if not indices:
                continue
            rows = block.profiles.take(indices)
            with self._lock:
                if self._linked_type and self._id_map:
                    self._id_map.dropped[reason] += len(rows)
                elif self._missing is not None and reason == NOT_FOUND:
                    self._missing.write(rows)
                else:
                    self._refuse(rows, reason)
        with self._lock:
            if self._linked_type:
                self._pipeline.rows_extended += sent
                return
            self._pipeline.rows_sent += sent
            now = self._session.clock.monotonic()
            if now >= self._next_progress:
                self._next_progress = now + _PROGRESS_SECONDS
                log.info("So far %s rows were sent.", f"{self._pipeline.rows_sent:,}")

    def _refuse(self, rows: RecordBatch, reason: str) -> None:
        self._failed_ids.update(rows.column("id").to_pylist())
        self._pipeline.refuse(rows, reason, _DETAILS[reason])
