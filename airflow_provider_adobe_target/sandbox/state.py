"""State of the sandbox: batches, profiles, calls and scripts, guarded by one lock."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.sandbox.batch_file import CountedFile
from airflow_provider_adobe_target.sandbox.issued_tokens import IssuedTokens
from airflow_provider_adobe_target.sandbox.messages import Answer, Call, Moment
from airflow_provider_adobe_target.sandbox.profile_store import Origin, ProfileStore
from airflow_provider_adobe_target.sandbox.rate_counter import RateCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_adobe_target.sandbox.batch_file import BatchFile, Row
    from airflow_provider_adobe_target.sandbox.settings import SandboxSettings

MAX_ID_LENGTH = {"thirdPartyId": 256, "pcId": 128}


@dataclass
class Batch:
    """One accepted file and its processing status.

    :param batch_id: Id of the batch.
    :param version: ``v1`` or ``v2``.
    :param call: Call that submitted the file. It records whether the acknowledgement was sent.
    :param body: HTTP body.
    :param file: Parsed body.
    :param received_at: Time of arrival in seconds since the epoch.
    :param due_at: Time at which the rows are applied and the status becomes final.
    :param processing_status: Status before ``due_at``.
    :param final_status: Status from ``due_at`` on.
    :param is_final: Whether the rows have been applied.
    :param consumed: Number of consumed rows.
    :param successful: Number of rows that count as applied.
    :param not_found: Number of rows with unknown ids (v1).
    :param failed: Number of failed rows.
    :param failed_ids: Ids of the failed rows, in order.
    :param lost_ids: Ids of rows that count as applied but were not stored.
    :param repeated_ids: Number of rows with an id that an earlier row of the file has.
    """

    batch_id: str
    version: Literal["v1", "v2"]
    call: Call = field(repr=False)
    body: bytes = field(repr=False)
    file: BatchFile = field(repr=False)
    received_at: float
    due_at: float
    processing_status: str
    final_status: str
    is_final: bool = False
    consumed: int = 0
    successful: int = 0
    not_found: int = 0
    failed: int = 0
    failed_ids: list[str] = field(default_factory=list, repr=False)
    lost_ids: list[str] = field(default_factory=list, repr=False)
    repeated_ids: int = 0

    @property
    def status(self) -> str:
        """The status as of the last call of :meth:`State.apply_due_batches`."""
        return self.final_status if self.is_final else self.processing_status

    @property
    def key(self) -> str:
        """The first column: ``thirdPartyId`` or ``pcId``."""
        return self.file.key

    @property
    def names(self) -> list[str]:
        """The attribute names of the header."""
        return self.file.names

    @property
    def row_count(self) -> int:
        """The number of rows, valid or not."""
        return len(self.file)

    @cached_property
    def body_bytes(self) -> int:
        """The size of the HTTP body."""
        return len(self.body)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the HTTP body, in hex."""
        return hashlib.sha256(self.body).hexdigest()

    def forget_body(self) -> None:
        """Drop the body. Its size and hash are kept."""
        self.body_bytes, self.sha256  # noqa: B018 - both are cached
        self.body = b""

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The decoded rows: the id under the name of its column, and all cells, including empty ones."""
        header = [self.key, *self.names]
        return [dict(zip(header, [row.profile_id, *row.cells], strict=False)) for row in self.file]


class State:
    """State of the sandbox. The caller of a method must hold :attr:`lock`.

    :param settings: Settings of the sandbox.
    :param clock: Function that returns the time in seconds since the epoch.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float]) -> None:
        self.lock = RLock()
        self.clock = clock
        self.watcher: Callable[[Call, Moment], None] = lambda call, moment: None
        self.edge_port = 0
        self.begin(settings)

    def begin(self, settings: SandboxSettings) -> None:
        """Start with an empty state."""
        self.settings = settings
        self.profiles = ProfileStore(settings)
        self.batches: dict[str, Batch] = {}
        self.calls: list[Call] = []
        self.warnings: list[str] = []
        self.open_deliveries: Counter[str] = Counter()  # by session id
        self._open_calls: set[int] = set()
        self.session_uses: dict[tuple[str, str], tuple[str, float]] = {}  # (subject) -> (its partner, time of the call)
        self.random = Random(settings.seed)  # noqa: S311  # nosec B311  # must be reproducible
        self.tokens = IssuedTokens(settings, self.clock())
        self.ims_tokens = RateCounter(60)
        self.interact_units, self.collect_units = RateCounter(1), RateCounter(1)
        self._limited_calls = RateCounter(60)
        self._scripts: dict[str, deque[Answer]] = {}
        self._endless: set[str] = set()

    def script(self, route: str, answers: tuple[Answer, ...], *, forever: bool) -> None:
        """Set the next answers of a route. They replace the rest of an earlier script."""
        self._scripts[route] = deque(answers)
        (self._endless.add if forever else self._endless.discard)(route)

    def scripted(self, route: str) -> Answer:
        """Return the next scripted answer of a route, or :meth:`Answer.real` if the script has ended."""
        answers = self._scripts.get(route)
        if not answers:
            return Answer.real()
        is_endless = len(answers) == 1 and route in self._endless
        return answers[0] if is_endless else answers.popleft()

    def count_call(self) -> bool:
        """Count a call against the calls per minute. Return whether it is within the limit."""
        return self._limited_calls.add(self.clock(), self.settings.calls_per_minute)

    def open_delivery(self, call: Call, session: str) -> bool:
        """Count a Delivery call as running in its session. Return False if too many are running."""
        if self.open_deliveries[session] >= self.settings.session_concurrency:
            return False
        self.open_deliveries[session] += 1
        self._open_calls.add(id(call))
        return True

    def close_delivery(self, call: Call) -> None:
        """Count a Delivery call as ended, if :meth:`open_delivery` counted it."""
        if id(call) in self._open_calls:
            self._open_calls.remove(id(call))
            self.open_deliveries[call.parameter("sessionId") or ""] -= 1

    def random_uuid(self) -> str:
        """Return a random UUID."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def random_id(self) -> str:
        """Return 32 random hex digits."""
        return f"{self.random.getrandbits(128):032x}"

    @contextmanager
    def overridden_settings(self, changes: Mapping[str, Any]) -> Iterator[None]:
        """Apply other settings during a ``with`` block."""
        former = {name: getattr(self.settings, name) for name in changes}
        try:
            for name, value in changes.items():
                setattr(self.settings, name, value)
            yield
        finally:
            for name, value in former.items():
                setattr(self.settings, name, value)

    def add_batch(self, version: Literal["v1", "v2"], call: Call, file: BatchFile) -> Batch:
        """Queue a file."""
        now, settings = self.clock(), self.settings
        batch_id = f"{settings.client_code}-{int(now * 1000)}-{13_029_383 + len(self.batches)}"
        batch = Batch(
            batch_id,
            version,
            call,
            call.body,
            file,
            now,
            now + settings.processing_seconds,
            settings.processing_status,
            settings.final_status,
        )
        self.batches[batch_id] = batch
        return batch

    def apply_due_batches(self) -> float:
        """Apply the batches that are due, in the order of their due times. Return the current time."""
        now = self.clock()
        due = [batch for batch in self.batches.values() if not batch.is_final and batch.due_at <= now]
        for batch in sorted(due, key=lambda batch: batch.due_at):
            self._apply(batch)
        return now

    def _apply(self, batch: Batch) -> None:
        origin = self.profiles.origin("v1 batch" if batch.version == "v1" else "v2 batch", batch.due_at, batch.batch_id)
        # How much of a stuck batch is applied is undocumented. Half of it makes both wrong assumptions visible.
        last = batch.row_count // 2 if batch.final_status == "stuck" else batch.row_count
        if isinstance(batch.file, CountedFile):
            batch.consumed = batch.successful = last
        seen: set[str] = set()
        for number, row in enumerate(batch.file):
            if number == last:
                break
            batch.repeated_ids += row.profile_id in seen
            seen.add(row.profile_id)
            batch.consumed += 1
            self._apply_row(batch, row, origin)
        batch.is_final = True
        if batch.repeated_ids:
            self.warnings.append(
                f"Batch {batch.batch_id} repeats ids ({batch.repeated_ids} rows): the last row of an id was kept."
            )

    def _apply_row(self, batch: Batch, row: Row, origin: Origin) -> None:
        values = {name: cell for name, cell in zip(batch.names, row.cells, strict=False) if cell}
        if self._is_bad(batch, row):
            outcome = "failed"
        elif not values:
            return  # empty values are ignored, and the row has no others
        elif self.random.random() < self.settings.loss_rate:
            outcome = "written"
            batch.lost_ids.append(row.profile_id)
        else:
            key = (batch.key, row.profile_id)
            outcome = self.profiles.write(key, values, origin, create=batch.version == "v2")
        if outcome == "written":
            batch.successful += 1
        elif outcome == "not found":
            batch.not_found += 1
        else:
            batch.failed += 1
            batch.failed_ids.append(row.profile_id)

    def _is_bad(self, batch: Batch, row: Row) -> bool:
        profile_id = row.profile_id
        return (
            not profile_id
            or len(profile_id) > MAX_ID_LENGTH[batch.key]
            or len(row.cells) > len(batch.names)
            or is_forbidden(batch.key, profile_id)
            or profile_id in self.settings.fail_ids
        )


def is_forbidden(id_type: str, profile_id: str) -> bool:
    """Return whether an id has a character that Adobe does not allow in customer ids."""
    return id_type == "thirdPartyId" and ("+" in profile_id or "/" in profile_id)
