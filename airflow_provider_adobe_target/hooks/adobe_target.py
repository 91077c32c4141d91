"""Hook for Adobe Target."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target import connection_form
from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.exceptions import AdobeTargetError, ConnectionSettingsError, ProfileDataError
from airflow_provider_adobe_target.hooks.redis_connection import with_redis
from airflow_provider_adobe_target.version_compat import BaseHook, get_async_connection, mask_secret

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.auth.token_cache import Token
    from airflow_provider_adobe_target.client.profile import TargetProfile
    from airflow_provider_adobe_target.client.protocol import ApiVersion, IdType
    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.hooks.match_rate import MatchRate

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
        settings = _settings(self.get_connection(self.adobe_target_conn_id))
        if settings.rate_limit_conn_id is None:
            return settings
        return with_redis(settings, self.get_connection(settings.rate_limit_conn_id))

    @classmethod
    async def aget_settings(cls, adobe_target_conn_id: str) -> TargetSettings:
        """Return :attr:`settings` without blocking an event loop."""
        settings = _settings(await get_async_connection(adobe_target_conn_id, hook=cls))
        if settings.rate_limit_conn_id is None:
            return settings
        return with_redis(settings, await get_async_connection(settings.rate_limit_conn_id, hook=cls))

    @cached_property
    def session(self) -> Session:
        """The client session of the connection. Its calls share the rate limits of the account."""
        from airflow_provider_adobe_target.client.session import Session

        return Session(self.settings, mask=mask_secret)

    def authenticate(self) -> None:
        """Read the Profile API token from the Admin API before the first call, if the connection requires this.

        :raises TokenRefusedError: If IMS or the Admin API refuses the OAuth credential.
        :raises AdobeTargetUnavailableError: If IMS or the Admin API returns no usable response.
        """
        self.session.authenticate()

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
        from airflow_provider_adobe_target.client.batch_file_check import check_batch_file
        from airflow_provider_adobe_target.client.endpoints.api_version import check_version
        from airflow_provider_adobe_target.client.protocol import BatchBody
        from airflow_provider_adobe_target.lineage.hook_lineage import collect_upload

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
        receipt = self.session.submit(BatchBody(Path(file), len(content), body.rows, digest), api_version).to_dict()
        collect_upload(self, file, body.id_type)
        return receipt

    def get_batch_status(self, status_url: str) -> dict[str, Any]:
        """Return the status of a batch.

        :param status_url: Status URL from the receipt.
        :return: As :meth:`upload_batch`. Fields that only the sender has are ``None``.
        :raises StatusLostError: If Adobe Target no longer has the batch.
        :raises AdobeTargetUnavailableError: If Adobe Target returns no usable response for 30 minutes.
        """
        return self.session.status(Batch.from_status_url(status_url)).to_dict()

    def read_profile_token(self) -> Token:
        """Read the current Profile API token and its expiry from the Admin API. No token is generated.

        :return: Token with ``value``, which is empty if none exists, and ``expires_at`` in seconds since the epoch.
            Treat the expiry as an upper bound: Adobe does not document whether it returns the remaining or the total
            lifetime.
        :raises ConnectionSettingsError: If the connection has no OAuth credential or no ``tenant_id``.
        :raises TokenRefusedError: If IMS or the Admin API refuses the credential.
        :raises AdobeTargetUnavailableError: If IMS or the Admin API returns no usable response.
        """
        return self.session.read_profile_token()

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
                "A rotation invalidates the Profile API token for all its users: other tasks and systems fail until "
                f"they have the new one. To rotate, pass confirm={CONFIRMATION!r}. Nothing was done."
            )
        return self.session.make_profile_token()

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
        return self.session.fetch_profile(profile_id, kind, deadline)

    def update_profile(self, profile_id: str, attributes: Mapping[str, str], id_type: IdType = "thirdPartyId") -> None:
        """Update attributes of one profile. Adobe Target accepts the update even if the profile does not exist.

        :param profile_id: Id, not encoded.
        :param attributes: Values by name, without ``profile.``.
        :param id_type: ``thirdPartyId`` or ``pcId``.
        :raises TargetRefusedError: If Adobe Target refuses the update.
        :raises AdobeTargetUnavailableError: If Adobe Target returns no usable response for 30 minutes.
        """
        self.session.update_profile(profile_id, id_type, attributes)

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

        return probe(self.session, ids, id_type, sample_size, seed, attribute, poll_interval, timeout)

    def test_connection(self) -> tuple[bool, str]:
        """Look up a profile with a random id, which changes nothing. The result is also logged."""
        works, message = self._test_connection()
        log.log(logging.INFO if works else logging.WARNING, "%s (test of the connection)", message)
        return works, message

    def _test_connection(self) -> tuple[bool, str]:
        try:
            return self.session.test_connection()
        except (AdobeTargetError, OSError) as error:  # OSError: a missing certificate file
            return False, str(error)


def _settings(connection: Any) -> TargetSettings:
    from airflow_provider_adobe_target.client.settings import TargetSettings

    return TargetSettings.from_fields(
        login=connection.login,
        password=connection.password,
        host=connection.host,
        port=connection.port,
        schema=connection.schema,
        extra=connection.extra_dejson,
    )
