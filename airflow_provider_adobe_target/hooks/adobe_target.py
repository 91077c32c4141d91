"""The connection to Adobe Target."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_adobe_target import connection_form
from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.client.batch_file_check import check_batch_file
from airflow_provider_adobe_target.client.endpoints.api_version import check_version
from airflow_provider_adobe_target.client.endpoints.batch_status import (
    batch_status,
    failed_ids,
    poll_once,
    wait_for_batches,
)
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_batch
from airflow_provider_adobe_target.client.endpoints.profile import fetch_profile, update_profile
from airflow_provider_adobe_target.client.rate_limit.daily import CALLS_PER_DAY, CALLS_PER_SECOND, DailyRateLimiter
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter, shared_rate_limiter
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetError,
    ConnectionSettingsError,
    ProfileDataError,
)
from airflow_provider_adobe_target.version_compat import BaseHook, get_async_connection, mask_secret

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.auth.authenticator import Authenticator
    from airflow_provider_adobe_target.client.auth.token_cache import Token
    from airflow_provider_adobe_target.client.profile import TargetProfile
    from airflow_provider_adobe_target.client.protocol import ApiVersion, Flow, IdType
    from airflow_provider_adobe_target.concurrency.clock import Clock
    from airflow_provider_adobe_target.hooks.match_rate import MatchRate

T = TypeVar("T")
log = logging.getLogger(__name__)

CONFIRMATION = "rotate the token for every user of it"
"""What somebody has to say who wants a new Profile API token."""

_FETCH_ID_TYPES = {
    "thirdPartyId": "thirdPartyId",
    "pcId": "pcId",
    "tntId": "pcId",
    "marketingCloudVisitorId": "marketingCloudVisitorId",
    "ECID": "marketingCloudVisitorId",
}


class AdobeTargetHook(BaseHook):
    """Talk to Adobe Target with what an Airflow connection holds.

    :param adobe_target_conn_id: the connection, of type ``adobe_target``
    """

    conn_name_attr = "adobe_target_conn_id"
    default_conn_name = "adobe_target_default"
    conn_type = "adobe_target"
    hook_name = "Adobe Target"

    def __init__(self, *, adobe_target_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.adobe_target_conn_id = adobe_target_conn_id

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields that the connection form has beside Airflow's own (Airflow 2.11 to 3.1)."""
        return connection_form.widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how Airflow's own fields are shown in the connection form (Airflow 2.11 to 3.1)."""
        return connection_form.ui_field_behaviour()

    @cached_property
    def settings(self) -> TargetSettings:
        """What the connection says, checked.

        :raises ConnectionSettingsError: naming the field
        """
        return _settings(self.get_connection(self.adobe_target_conn_id))

    @classmethod
    async def aget_settings(cls, adobe_target_conn_id: str) -> TargetSettings:
        """Return :attr:`settings` without blocking an event loop."""
        return _settings(await get_async_connection(adobe_target_conn_id, hook=cls))

    @cached_property
    def rate_limiter(self) -> RateLimiter:
        """The calls a minute, submits and polls together, that all tasks of this machine share for this account."""
        return shared_rate_limiter(self.settings, clocks.SYSTEM)

    def authenticate(self) -> None:
        """Read the Profile API token now where the connection leaves that to the Admin API, rather than at a call.

        :raises TokenRefusedError: where IMS or the Admin API does not take the OAuth credential
        :raises AdobeTargetUnavailableError: where one of them gives no usable answer
        """
        if self.settings.reads_token:
            self._run(_nothing(), clocks.SYSTEM)

    def upload_batch(self, file: str | os.PathLike[str], api_version: ApiVersion = "v2") -> dict[str, Any]:
        """Send one batch file as it is, and return its receipt: Adobe Target has queued it, not yet written it.

        :param file: path of a file in Adobe's batch format: ``batch=thirdPartyId,…``, then a row a line,
            percent-encoded
        :param api_version: ``v2`` creates profiles that do not exist, ``v1`` does not
        :returns: ``batch_id``, ``status_url``, ``rows``, ``bytes``, ``sha256``, ``submitted_at``, ``status``
            ("submitted"), and the counters of a status, each ``None``
        :raises ProfileDataError: if Adobe Target could not read the file as it was meant; naming line and column
        :raises ConnectionSettingsError: for a file keyed by ``pcId`` with v2 where the site uses ECID
        :raises TargetRefusedError: where Adobe Target does not take the file
        :raises AdobeTargetUnavailableError: where it gives no usable answer
        """
        content = Path(file).read_bytes()
        body = check_batch_file(content)
        check_version(api_version, body.id_type, self.settings.uses_ecid)
        if body.encoded_delimiters:
            self.log.warning(
                "The batch file has %s encoded commas or line breaks. Adobe Target very likely decodes a file before "
                "it splits it: a comma then shifts the columns, and a line break writes to another profile.",
                f"{body.encoded_delimiters:,}",
            )
        digest = hashlib.sha256(content).hexdigest()
        return self.submit(Path(file), body.rows, len(content), digest, api_version).to_dict()

    def get_batch_status(self, status_url: str) -> dict[str, Any]:
        """Ask what became of a batch.

        :param status_url: as the receipt has it
        :returns: as :meth:`upload_batch`; what only the sender knows is ``None``
        :raises StatusLostError: where Adobe Target no longer knows the batch
        :raises AdobeTargetUnavailableError: where it gives no usable answer for 30 minutes
        """
        clock, batch = clocks.SYSTEM, Batch.from_status_url(status_url)
        status = self._run(batch_status(self.settings, self.rate_limiter, clock, batch), clock)
        return batch.with_status(status).to_dict()

    def submit(
        self, path: Path, rows: int, size: int, sha256: str, api_version: ApiVersion, clock: Clock | None = None
    ) -> Batch:
        """Send one batch file of which all is known, and return it as submitted; errors as :meth:`upload_batch`."""
        from airflow_provider_adobe_target.client.protocol import BatchBody

        clock = clock or clocks.SYSTEM
        flow = submit_batch(self.settings, self.rate_limiter, clock, BatchBody(path, size), api_version)
        return Batch.submitted(self._run(flow, clock), rows=rows, bytes=size, sha256=sha256)

    def poll(
        self, batches: Sequence[Batch], deadline: float = math.inf, on_final: Callable[[int, Batch], None] | None = None
    ) -> list[Batch]:
        """Ask once for the status of each batch that is not final; errors as :meth:`get_batch_status`.

        :param deadline: epoch seconds at which to stop trying
        :param on_final: called with the index of each batch that has become final, and the batch, as soon as it has
        :raises BatchTimeoutError: at the deadline
        """
        clock = clocks.SYSTEM
        return self._run(poll_once(self.settings, self.rate_limiter, clock, batches, deadline, on_final), clock)

    def wait(
        self,
        batches: Sequence[Batch],
        poll_interval: float,
        deadline: float,
        clock: Clock | None = None,
        on_final: Callable[[int, Batch], None] | None = None,
    ) -> list[Batch]:
        """Ask for the status of batches until all are final; parameters and errors as :meth:`poll`.

        :param poll_interval: seconds before the first time of asking, growing to five times as many
        """
        clock = clock or clocks.SYSTEM
        flow = wait_for_batches(self.settings, self.rate_limiter, clock, batches, poll_interval, deadline, on_final)
        return self._run(flow, clock)

    def failed_ids(self, batches: Sequence[Batch]) -> set[str]:
        """Return the ids that Adobe Target lists as failed in batches; errors as :meth:`get_batch_status`."""
        clock, ids = clocks.SYSTEM, set()
        for batch in batches:
            ids |= self._run(failed_ids(self.settings, self.rate_limiter, clock, batch), clock)
        return ids

    def read_profile_token(self) -> Token:
        """Ask the Admin API for the Profile API token in force, and its end; none is made.

        :returns: its ``value``, empty where there is none, and ``expires_at``, epoch seconds; it may end earlier, since
            Adobe does not say whether it tells the rest of a token's life or all of it
        :raises ConnectionSettingsError: where the connection has no OAuth credential or no ``tenant_id``
        :raises TokenRefusedError: where IMS or the Admin API does not take the credential
        :raises AdobeTargetUnavailableError: where one of them gives no usable answer
        """
        return self._drive(lambda authenticator: authenticator.read_profile_token(), clocks.SYSTEM)

    def rotate_profile_token(self, *, confirm: str) -> Token:
        """Make a new Profile API token. From then on calls with the present one are refused, whoever makes them.

        :param confirm: ``rotate the token for every user of it``, and nothing else
        :returns: as :meth:`read_profile_token`
        :raises ConnectionSettingsError: before any call, where it is not confirmed; else as
            :meth:`read_profile_token`
        :raises UnclearAnswerError: where a token may have been made, and the one in force cannot be read
        """
        if confirm != CONFIRMATION:
            raise ConnectionSettingsError(
                "The Profile API token is rotated for everybody who uses it, other tasks and other systems: those fail "
                f"until they have the new one. If that is meant, say confirm={CONFIRMATION!r}. Nothing was done."
            )
        return self._drive(lambda authenticator: authenticator.make_profile_token(), clocks.SYSTEM)

    @cached_property
    def lookup_limit(self) -> DailyRateLimiter:
        """The look-ups of profiles that this hook may make; Adobe does not count them among the 50 calls a minute."""
        return DailyRateLimiter(CALLS_PER_SECOND, CALLS_PER_DAY, clocks.SYSTEM)

    @cached_property
    def update_limit(self) -> DailyRateLimiter:
        """The single updates that this hook may make, counted like :attr:`lookups` and apart from them."""
        return DailyRateLimiter(CALLS_PER_SECOND, CALLS_PER_DAY, clocks.SYSTEM)

    def get_profile(
        self, profile_id: str, id_type: str = "thirdPartyId", *, deadline: float = math.inf
    ) -> TargetProfile | None:
        """Look up one profile. What Adobe Target gives can be tens of minutes old.

        :param profile_id: the id, as it is
        :param id_type: ``thirdPartyId``; ``pcId``, also called ``tntId``; or ``marketingCloudVisitorId``, also called
            ``ECID``
        :param deadline: epoch seconds beyond which nothing is waited for
        :returns: the profile, or None where there is none
        :raises ConnectionSettingsError: naming a field of the connection
        :raises ProfileDataError: for an unknown ``id_type``
        :raises TargetRefusedError: where the answer is neither a profile nor 'not found'
        :raises AdobeTargetUnavailableError: where Adobe Target gives no usable answer for 30 minutes
        """
        if id_type not in _FETCH_ID_TYPES:
            raise ProfileDataError(f"id_type={id_type!r} is not one of {', '.join(_FETCH_ID_TYPES)}.")
        kind: Any = _FETCH_ID_TYPES[id_type]
        clock = clocks.SYSTEM
        return self._run(fetch_profile(self.settings, self.lookup_limit, clock, profile_id, kind, deadline), clock)

    def update_profile(self, profile_id: str, attributes: Mapping[str, str], id_type: IdType = "thirdPartyId") -> None:
        """Write attributes to one profile, as they are. Adobe Target takes them also where there is no such profile.

        :param profile_id: the id, as it is
        :param attributes: names, without ``profile.``, and texts
        :param id_type: ``thirdPartyId`` or ``pcId``
        :raises TargetRefusedError: where Adobe Target does not take the update
        :raises AdobeTargetUnavailableError: where it gives no usable answer for 30 minutes
        """
        clock = clocks.SYSTEM
        flow = update_profile(self.settings, self.update_limit, clock, profile_id, id_type, attributes)
        self._run(flow, clock)

    def probe_match_rate(
        self,
        ids: Iterable[Any],
        id_type: IdType = "thirdPartyId",
        *,
        sample_size: int = 1_000,
        seed: int = 0,
        attribute: str = "airflow_match_probe",
        poll_interval: float = 60,
        timeout: float = 24 * 60 * 60,
    ) -> MatchRate:
        """Ask how many of some ids have a profile, without creating any: by a v1 batch of a sample of them.

        Profiles that are found get one attribute, the day. It waits here until Adobe Target has finished the batch.

        :param ids: texts or whole numbers, held in memory
        :param id_type: ``thirdPartyId`` or ``pcId``
        :param sample_size: ids to ask for, 1 to 50,000
        :param seed: another one draws another sample
        :param attribute: what the profiles that are found get
        :param poll_interval: seconds before the first time of asking, growing to five times as many
        :param timeout: seconds of waiting
        :returns: how many were asked for, found and not found, and :attr:`MatchRate.pct`
        :raises ProfileDataError: for a wrong argument
        :raises BatchOutcomeError: where the batch did not end well, or has no counters
        :raises BatchTimeoutError: where it is unfinished at the timeout
        :raises AdobeTargetUnavailableError: where Adobe Target gives no usable answer
        """
        from airflow_provider_adobe_target.hooks.match_rate import probe

        return probe(self, ids, id_type, sample_size, seed, attribute, poll_interval, timeout)

    def test_connection(self) -> tuple[bool, str]:
        """Fetch the profile of an id that nobody has: a real call that changes nothing. The log has the result."""
        works, message = self._test_connection()
        log.log(logging.INFO if works else logging.WARNING, "%s (test of the connection)", message)
        return works, message

    def _test_connection(self) -> tuple[bool, str]:
        from airflow_provider_adobe_target.client.auth.authenticator import NO_RETRY
        from airflow_provider_adobe_target.client.connection_test import check_connection

        clock = clocks.SYSTEM
        try:
            return self._drive(
                lambda authenticator: check_connection(self.settings, authenticator, clock), clock, policy=NO_RETRY
            )
        except (AdobeTargetError, OSError) as error:  # OSError: a file of certificates that is not there
            return False, str(error)

    def _run(self, flow: Flow[T], clock: Clock) -> T:
        return self._drive(lambda authenticator: authenticator.with_profile_token(flow), clock)

    def _drive(self, flow_of: Callable[[Authenticator], Flow[T]], clock: Clock, **options: Any) -> T:
        from airflow_provider_adobe_target.client.auth.authenticator import Authenticator
        from airflow_provider_adobe_target.client.transports import RequestsTransport, run

        authenticator = Authenticator(self.settings, self.rate_limiter, clock, mask_secret, **options)
        with RequestsTransport(self.settings) as transport:
            return run(flow_of(authenticator), transport, clock)


def _nothing() -> Flow[None]:
    yield from ()


def _settings(connection: Any) -> TargetSettings:
    return TargetSettings.from_fields(
        login=connection.login,
        password=connection.password,
        host=connection.host,
        port=connection.port,
        schema=connection.schema,
        extra=connection.extra_dejson,
    )
