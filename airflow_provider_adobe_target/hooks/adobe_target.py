"""Hook for Adobe Target."""

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
"""Required value of ``confirm`` in :meth:`AdobeTargetHook.rotate_profile_token`."""

_FETCH_ID_TYPES = {
    "thirdPartyId": "thirdPartyId",
    "pcId": "pcId",
    "tntId": "pcId",
    "marketingCloudVisitorId": "marketingCloudVisitorId",
    "ECID": "marketingCloudVisitorId",
}


class AdobeTargetHook(BaseHook):
    """Interact with Adobe Target.

    :param adobe_target_conn_id: ID of the connection, which must be of type ``adobe_target``.
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
        """Return the custom fields of the connection form (Airflow 2.11 to 3.1)."""
        return connection_form.widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels and placeholders of the standard fields of the connection form (Airflow 2.11 to 3.1)."""
        return connection_form.ui_field_behaviour()

    @cached_property
    def settings(self) -> TargetSettings:
        """The validated settings of the connection.

        :raises ConnectionSettingsError: If a field is invalid. The message names the field.
        """
        return _settings(self.get_connection(self.adobe_target_conn_id))

    @classmethod
    async def aget_settings(cls, adobe_target_conn_id: str) -> TargetSettings:
        """Return :attr:`settings` without blocking an event loop."""
        return _settings(await get_async_connection(adobe_target_conn_id, hook=cls))

    @cached_property
    def rate_limiter(self) -> RateLimiter:
        """The rate limiter for uploads and polls, shared by all tasks on this machine that use the account."""
        return shared_rate_limiter(self.settings, clocks.SYSTEM)

    def authenticate(self) -> None:
        """Read the Profile API token from the Admin API before the first call, if the connection requires this.

        :raises TokenRefusedError: If IMS or the Admin API refuses the OAuth credential.
        :raises AdobeTargetUnavailableError: If IMS or the Admin API returns no usable response.
        """
        if self.settings.reads_token:
            self._run(_nothing(), clocks.SYSTEM)

    def upload_batch(self, file: str | os.PathLike[str], api_version: ApiVersion = "v2") -> dict[str, Any]:
        """Upload one batch file and return its receipt. Adobe Target has queued the batch, but not processed it yet.

        :param file: Path of a file in Adobe's batch format: ``batch=thirdPartyId,…``, then one percent-encoded row per
            line.
        :param api_version: ``v2`` creates profiles that do not exist, ``v1`` does not.
        :return: ``batch_id``, ``status_url``, ``rows``, ``bytes``, ``sha256``, ``submitted_at``, ``status``
            ("submitted"), and the counters of a status, each ``None``.
        :raises ProfileDataError: If the file is not in Adobe's batch format. The message names line and column.
        :raises ConnectionSettingsError: For a file with ``pcId`` and v2 if the site uses ECID.
        :raises TargetRefusedError: If Adobe Target refuses the file.
        :raises AdobeTargetUnavailableError: If Adobe Target returns no usable response.
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
        """Return the status of a batch.

        :param status_url: Status URL from the receipt.
        :return: As :meth:`upload_batch`. Fields that only the sender has are ``None``.
        :raises StatusLostError: If Adobe Target no longer has the batch.
        :raises AdobeTargetUnavailableError: If Adobe Target returns no usable response for 30 minutes.
        """
        clock, batch = clocks.SYSTEM, Batch.from_status_url(status_url)
        status = self._run(batch_status(self.settings, self.rate_limiter, clock, batch), clock)
        return batch.with_status(status).to_dict()

    def submit(
        self, path: Path, rows: int, size: int, sha256: str, api_version: ApiVersion, clock: Clock | None = None
    ) -> Batch:
        """Upload one batch file that is already validated; raises as :meth:`upload_batch`.

        :param path: Path of the file.
        :param rows: Number of rows.
        :param size: Size in bytes.
        :param sha256: SHA-256 digest of the file in hexadecimal.
        :param api_version: ``v2`` creates profiles that do not exist, ``v1`` does not.
        :param clock: Clock. Default: the system clock.
        :return: Submitted batch.
        """
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
        """Poll the status of batches until all are final; parameters and exceptions as :meth:`poll`.

        :param poll_interval: Seconds before the first poll. The interval grows up to five times this value.
        """
        clock = clock or clocks.SYSTEM
        flow = wait_for_batches(self.settings, self.rate_limiter, clock, batches, poll_interval, deadline, on_final)
        return self._run(flow, clock)

    def failed_ids(self, batches: Sequence[Batch]) -> set[str]:
        """Return the ids that Adobe Target lists as failed in batches; raises as :meth:`get_batch_status`."""
        clock, ids = clocks.SYSTEM, set()
        for batch in batches:
            ids |= self._run(failed_ids(self.settings, self.rate_limiter, clock, batch), clock)
        return ids

    def read_profile_token(self) -> Token:
        """Read the current Profile API token and its expiry from the Admin API. No token is generated.

        :return: Token with ``value``, which is empty if none exists, and ``expires_at`` in seconds since the epoch.
            Treat the expiry as an upper bound: Adobe does not document whether it returns the remaining or the total
            lifetime.
        :raises ConnectionSettingsError: If the connection has no OAuth credential or no ``tenant_id``.
        :raises TokenRefusedError: If IMS or the Admin API refuses the credential.
        :raises AdobeTargetUnavailableError: If IMS or the Admin API returns no usable response.
        """
        return self._drive(lambda authenticator: authenticator.read_profile_token(), clocks.SYSTEM)

    def rotate_profile_token(self, *, confirm: str) -> Token:
        """Generate a new Profile API token. The current token becomes invalid for all its users.

        Raises as :meth:`read_profile_token`, and also the following.

        :param confirm: Must be ``rotate the token for every user of it``.
        :return: As :meth:`read_profile_token`.
        :raises ConnectionSettingsError: If ``confirm`` has another value. No call is made.
        :raises UnclearAnswerError: If a token may have been generated and the current one cannot be read.
        """
        if confirm != CONFIRMATION:
            raise ConnectionSettingsError(
                "The Profile API token is rotated for everybody who uses it, other tasks and other systems: those fail "
                f"until they have the new one. If that is meant, say confirm={CONFIRMATION!r}. Nothing was done."
            )
        return self._drive(lambda authenticator: authenticator.make_profile_token(), clocks.SYSTEM)

    @cached_property
    def lookup_limit(self) -> DailyRateLimiter:
        """The rate limiter for profile look-ups. They do not count towards the 50 calls per minute."""
        return DailyRateLimiter(CALLS_PER_SECOND, CALLS_PER_DAY, clocks.SYSTEM)

    @cached_property
    def update_limit(self) -> DailyRateLimiter:
        """The rate limiter for single updates, separate from :attr:`lookup_limit`."""
        return DailyRateLimiter(CALLS_PER_SECOND, CALLS_PER_DAY, clocks.SYSTEM)

    def get_profile(
        self, profile_id: str, id_type: str = "thirdPartyId", *, deadline: float = math.inf
    ) -> TargetProfile | None:
        """Look up one profile. The data may be tens of minutes old.

        :param profile_id: Id, not encoded.
        :param id_type: ``thirdPartyId``; ``pcId``, also called ``tntId``; or ``marketingCloudVisitorId``, also called
            ``ECID``.
        :param deadline: Time in seconds since the epoch after which no attempt starts.
        :return: Profile, or None if it does not exist.
        :raises ConnectionSettingsError: If a field of the connection is invalid.
        :raises ProfileDataError: For an unknown ``id_type``.
        :raises TargetRefusedError: If the response is neither a profile nor 'not found'.
        :raises AdobeTargetUnavailableError: If Adobe Target returns no usable response for 30 minutes.
        """
        if id_type not in _FETCH_ID_TYPES:
            raise ProfileDataError(f"id_type={id_type!r} is not one of {', '.join(_FETCH_ID_TYPES)}.")
        kind: Any = _FETCH_ID_TYPES[id_type]
        clock = clocks.SYSTEM
        return self._run(fetch_profile(self.settings, self.lookup_limit, clock, profile_id, kind, deadline), clock)

    def update_profile(self, profile_id: str, attributes: Mapping[str, str], id_type: IdType = "thirdPartyId") -> None:
        """Update attributes of one profile. Adobe Target accepts the update even if the profile does not exist.

        :param profile_id: Id, not encoded.
        :param attributes: Values by name, without ``profile.``.
        :param id_type: ``thirdPartyId`` or ``pcId``.
        :raises TargetRefusedError: If Adobe Target refuses the update.
        :raises AdobeTargetUnavailableError: If Adobe Target returns no usable response for 30 minutes.
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
        """Estimate how many ids have a profile, with a v1 batch of a sample. No profiles are created.

        The matched profiles get one attribute with the current date. The call blocks until the batch is final.

        :param ids: Ids as text or integers. They are held in memory.
        :param id_type: ``thirdPartyId`` or ``pcId``.
        :param sample_size: Number of ids in the sample, 1 to 50,000.
        :param seed: Seed of the sample.
        :param attribute: Name of the attribute that is written to matched profiles.
        :param poll_interval: Seconds before the first poll. The interval grows up to five times this value.
        :param timeout: Maximum number of seconds to wait.
        :return: Number of ids that were sampled, found and not found, and :attr:`MatchRate.pct`.
        :raises ProfileDataError: If an argument is invalid.
        :raises BatchOutcomeError: If the batch failed or has no counters.
        :raises BatchTimeoutError: If the batch is not final after the timeout.
        :raises AdobeTargetUnavailableError: If Adobe Target returns no usable response.
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
        except (AdobeTargetError, OSError) as error:  # OSError: a missing certificate file
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
