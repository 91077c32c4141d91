"""The client session: settings, rate limits, clock, transport and authentication of one connection."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_adobe_target.client.call import CallContext, log
from airflow_provider_adobe_target.client.endpoints import batch_status
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_batch
from airflow_provider_adobe_target.client.endpoints.profile import fetch_profile, update_profile
from airflow_provider_adobe_target.client.protocol import BatchBody
from airflow_provider_adobe_target.client.rate_limit.daily import CALLS_PER_DAY, CALLS_PER_SECOND, DailyRateLimiter
from airflow_provider_adobe_target.client.rate_limit.daily_count import SharedQuota
from airflow_provider_adobe_target.client.rate_limit.limiter import NoLimit, shared_rate_limiter
from airflow_provider_adobe_target.concurrency import clock as clocks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from airflow_provider_adobe_target.client.auth.authenticator import Authenticator
    from airflow_provider_adobe_target.client.auth.token_cache import Token
    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.client.endpoints.batch_status import OnFinal
    from airflow_provider_adobe_target.client.endpoints.delivery import Link, Person
    from airflow_provider_adobe_target.client.endpoints.edge_network import EdgeEvent, EdgeReceipt
    from airflow_provider_adobe_target.client.profile import TargetProfile
    from airflow_provider_adobe_target.client.protocol import ApiVersion, FetchIdType, Flow, IdType, UploadFile
    from airflow_provider_adobe_target.client.rate_limit.interfaces import RateLimit
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.client.transports.requests import RequestsTransport
    from airflow_provider_adobe_target.concurrency.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True)
class RateLimits:
    """Rate limiters by kind of call.

    :param calls: Limiter of uploads, status requests and the Admin API: 50 calls per minute per account.
    :param lookups: Limiter of profile look-ups.
    :param updates: Limiter of single updates.
    :param links: Limiter of Delivery calls.
    :param events: Limiter of Edge Network events.
    """

    calls: RateLimit
    lookups: RateLimit
    updates: RateLimit
    links: RateLimit
    events: RateLimit

    @classmethod
    def of_account(cls, settings: TargetSettings, clock: Clock) -> RateLimits:
        """Return the default limits. Tasks of the account share ``calls`` and the daily quotas.

        They share them on this machine, or on all machines with the same Redis server.
        """
        return cls(
            calls=shared_rate_limiter(settings, clock),
            lookups=DailyRateLimiter(CALLS_PER_SECOND, CALLS_PER_DAY, clock, SharedQuota(settings, "lookups", clock)),
            updates=DailyRateLimiter(CALLS_PER_SECOND, CALLS_PER_DAY, clock, SharedQuota(settings, "updates", clock)),
            links=NoLimit(),
            events=NoLimit(),
        )


class Session:
    """Client of one Adobe Target account.

    Every call is authenticated, waits for its rate limit, and is retried by the policy of its endpoint.

    A session may be used from several threads: each call opens and closes its own connection. As a context manager, a
    session keeps its connections open between calls; then only one thread may use it. Threads get a session each from
    :meth:`replace`, which share the rate limits.

    :param settings: Connection settings.
    :param limits: Rate limiters. Default: :meth:`RateLimits.of_account`.
    :param clock: Clock. Default: the system clock.
    :param mask: Function that is called with each new token, to mask it in logs.
    """

    def __init__(
        self,
        settings: TargetSettings,
        *,
        limits: RateLimits | None = None,
        clock: Clock | None = None,
        mask: Callable[[str], object] = lambda token: None,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self.limits = limits or RateLimits.of_account(settings, self.clock)
        self._mask = mask
        self._transport: RequestsTransport | None = None

    @property
    def clock(self) -> Clock:
        """The clock of the session."""
        return self._clock or clocks.SYSTEM

    def replace(self, *, clock: Clock | None = None, limits: RateLimits | None = None) -> Session:
        """Return a session of the same account with its own connections, and with the given changes.

        :param clock: Clock, for example one whose waits end when the task is cancelled.
        :param limits: Rate limiters.
        """
        other = copy.copy(self)
        other._clock = clock or self._clock
        other.limits = limits or self.limits
        other._transport = None
        return other

    def __enter__(self) -> Session:
        from airflow_provider_adobe_target.client.transports.requests import RequestsTransport

        self._transport = RequestsTransport(self.settings)
        return self

    def __exit__(self, *error: object) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # --- batches ------------------------------------------------------------------------------------------------

    def submit(self, file: UploadFile, api_version: ApiVersion = "v2") -> Batch:
        """Upload one batch file that is already validated; raises as ``submit_batch``.

        :param file: Path, rows, size and SHA-256 digest of the file.
        :param api_version: ``v2`` creates profiles that do not exist, ``v1`` does not.
        :return: Submitted batch.
        """
        body = BatchBody(file.path, file.size, file.rows, file.sha256)
        return self._run(submit_batch(self._context, body, api_version))

    def status(self, batch: Batch) -> Batch:
        """Return a batch with its status; raises as ``batch_status``."""
        return self._run(batch_status.batch_status(self._context, batch))

    def poll(
        self, batches: Sequence[Batch], deadline: float = math.inf, on_final: OnFinal | None = None
    ) -> list[Batch]:
        """Request the status of each batch that is not final, once; parameters and errors as ``poll_once``."""
        return self._run(batch_status.poll_once(self._context, batches, deadline, on_final))

    def wait(
        self, batches: Sequence[Batch], poll_interval: float, deadline: float, on_final: OnFinal | None = None
    ) -> list[Batch]:
        """Poll until all batches are final; parameters and errors as ``wait_for_batches``."""
        return self._run(batch_status.wait_for_batches(self._context, batches, poll_interval, deadline, on_final))

    async def wait_async(
        self, batches: Sequence[Batch], poll_interval: float, deadline: float, on_final: OnFinal | None = None
    ) -> list[Batch]:
        """As :meth:`wait`, without blocking the event loop."""
        from airflow_provider_adobe_target.client.transports.httpx import HttpxTransport, arun

        flow = batch_status.wait_for_batches(self._context, batches, poll_interval, deadline, on_final)
        async with HttpxTransport(self.settings) as transport:
            flow = self._authenticator().with_profile_token(flow)
            return await arun(flow, transport, self.clock, may_block=self.settings.redis is not None)

    def failed_ids(self, batches: Sequence[Batch]) -> set[str]:
        """Return the ids that Target lists as failed, at most 100,000 per batch; raises as ``batch_status``.

        :param batches: Batches with ``listed_failures``.
        """
        ids: set[str] = set()
        for batch in batches:
            of_batch = set(self._run(batch_status.failed_ids(self._context, batch)))
            if len(of_batch) < batch.listed_failures:
                counts = f"{len(of_batch):,}", f"{batch.listed_failures:,}"
                log.warning("Only %s ids are known of the %s failed rows of batch %s.", *counts, batch.batch_id)
            ids |= of_batch
        return ids

    # --- profiles -----------------------------------------------------------------------------------------------

    def fetch_profile(self, profile_id: str, id_type: FetchIdType, deadline: float = math.inf) -> TargetProfile | None:
        """Look up one profile; parameters and errors as ``endpoints.profile.fetch_profile``."""
        context = self._context_with(self.limits.lookups)
        return self._run(fetch_profile(context, profile_id, id_type, deadline))

    def update_profile(self, profile_id: str, id_type: IdType, attributes: Mapping[str, str]) -> None:
        """Update one profile; parameters and errors as ``endpoints.profile.update_profile``."""
        context = self._context_with(self.limits.updates)
        self._run(update_profile(context, profile_id, id_type, attributes))

    def link_person(self, person: Person, *, mbox: str, edge_url: str | None = None) -> Link:
        """Link the ids of a person; parameters and errors as ``endpoints.delivery.link_person``."""
        from airflow_provider_adobe_target.client.endpoints.delivery import link_person

        context = self._context_with(self.limits.links)
        return self._drive(link_person(context, person, mbox=mbox, edge_url=edge_url))

    def send_event(self, event: EdgeEvent, *, authenticated: bool, location_hint: str | None = None) -> EdgeReceipt:
        """Send one event to the Edge Network; parameters and errors as ``endpoints.edge_network.send_event``."""
        from airflow_provider_adobe_target.client.endpoints.edge_network import send_event

        context = self._context_with(self.limits.events)
        flow = send_event(context, event, authenticated=authenticated, location_hint=location_hint)
        return self._drive(self._authenticator().with_access_token(flow) if authenticated else flow)

    # --- tokens -------------------------------------------------------------------------------------------------

    def authenticate(self) -> None:
        """Read the Profile API token from the Admin API, if the connection requires this.

        :raises TokenRefusedError: If IMS or the Admin API refuses the OAuth credential.
        :raises AdobeTargetUnavailableError: If IMS or the Admin API returns no usable response.
        """
        if self.settings.reads_token:
            self._drive(self._authenticator().profile_token())

    def access_token(self) -> Token:
        """Return an access token of IMS; raises as ``Authenticator.access_token``."""
        return self._drive(self._authenticator().access_token())

    def read_profile_token(self) -> Token:
        """Read the Profile API token; raises as ``Authenticator.read_profile_token``."""
        return self._drive(self._authenticator().read_profile_token())

    def make_profile_token(self) -> Token:
        """Generate a new Profile API token, which invalidates the current one; raises as ``Authenticator``."""
        return self._drive(self._authenticator().make_profile_token())

    def test_connection(self) -> tuple[bool, str]:
        """Make a call that changes nothing, without retries.

        :return: Whether the connection works, and a message.
        :raises AdobeTargetError: If a response is unusable.
        :raises OSError: If a certificate file is missing.
        """
        from airflow_provider_adobe_target.client.auth.authenticator import NO_RETRY
        from airflow_provider_adobe_target.client.connection_test import check_connection

        return self._drive(check_connection(self._context, self._authenticator(policy=NO_RETRY)))

    # --- internals ----------------------------------------------------------------------------------------------

    @property
    def _context(self) -> CallContext:
        return self._context_with(self.limits.calls)

    def _context_with(self, rate_limiter: RateLimit) -> CallContext:
        return CallContext(self.settings, rate_limiter, self.clock)

    def _authenticator(self, **options: Any) -> Authenticator:
        from airflow_provider_adobe_target.client.auth.authenticator import Authenticator

        return Authenticator(self._context, self._mask, **options)

    def _run(self, flow: Flow[T]) -> T:
        return self._drive(self._authenticator().with_profile_token(flow))

    def _drive(self, flow: Flow[T]) -> T:
        from airflow_provider_adobe_target.client.transports.requests import RequestsTransport, run

        if self._transport is not None:
            return run(flow, self._transport, self.clock)
        with RequestsTransport(self.settings) as transport:
            return run(flow, transport, self.clock)
