"""Settings of an Adobe Target connection."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_adobe_target.client.hosts import is_loopback, parse_authority
from airflow_provider_adobe_target.client.settings_fields import (
    DEFAULT_ADMIN_URL,
    DEFAULT_CALLS_PER_MINUTE,
    DEFAULT_TIMEOUT,
    TARGET_DOMAIN,
    UPDATE_PATH_SEGMENTS,
    OAuthCredential,
    _adobe_url,
    _base,
    _boolean,
    _calls_per_minute,
    _choice,
    _client_code,
    _hosts,
    _keeps_clear_text_local,
    _oauth,
    _patterns,
    _proxies,
    _sync_log_keep_days,
    _text,
    _timeout,
    _token,
    _verify,
    _word,
)
from airflow_provider_adobe_target.concurrency.file_lock import digest
from airflow_provider_adobe_target.exceptions import ConnectionSettingsError

log = logging.getLogger(__name__)

_EXTRA_KEYS = frozenset(
    [
        "uses_ecid",
        "calls_per_minute",
        "allowed_status_hosts",
        "timeout",
        "verify",
        "proxies",
        "tenant_id",
        "client_id",
        "client_secret",
        "ims_scope",
        "ims_host",
        "admin_host",
        "datastream_id",
        "ims_org_id",
        "edge_host",
        "property_token",
        "update_path_segment",
        "sync_log",
        "sync_log_keep_days",
        "rate_limit_conn_id",
        "block_attributes",
        "hash_salt",
    ]
)


@dataclass(frozen=True)
class TargetSettings:
    """Settings of a connection. The ``repr`` contains no secret.

    :param client_code: Client code of the account: a path segment, and the first label of the default host.
    :param base_url: Base URL, ``scheme://host[:port]``, without a slash at the end.
    :param token: Profile API authentication token, or None to send no ``Authorization`` header.
    :param uses_ecid: Whether the site identifies visitors by ECID.
    :param calls_per_minute: Maximum number of calls in any 60 seconds, polls included, of all tasks on a machine, or
        with ``redis`` on all machines: 1 to 50.
    :param allowed_status_hosts: Hosts of status URLs that are allowed in addition to those of Target and the base URL.
    :param timeout: Connect timeout, and read timeout for the next byte of a response, in seconds.
    :param verify: Whether server certificates are verified, or the path of trusted certificates.
    :param proxies: Proxies, in the format of ``requests``.
    :param property_token: Token of the Target property, if any.
    :param oauth: OAuth server-to-server credential, if any.
    :param tenant_id: Tenant in the paths of the Admin API, if known.
    :param admin_url: Base URL of the Admin API, ``scheme://host[:port]``.
    :param datastream_id: ID of the Experience Platform datastream, if any.
    :param ims_org_id: ID of the organization that owns the datastream, if known.
    :param edge_url: Base URL of the Edge Network, ``scheme://host[:port]``, if not Adobe's default.
    :param update_path_segment: Path segment after ``/m2/`` of a single update: ``client_code`` for the client code, or
        the word ``client``.
    :param sync_log: ID of an Airflow connection, or a folder, where task runs are recorded, if any.
    :param sync_log_keep_days: Age in days from which records are deleted. None: they are kept.
    :param rate_limit_conn_id: Connection id of the Redis server that all machines use for the rate limit, if any.
    :param redis: Keyword arguments of ``redis.Redis`` for that server.
    :param block_attributes: Names or patterns of attributes that no task may send.
    :param hash_salt: Key of the digests of hashed attributes, if any.
    """

    client_code: str
    base_url: str
    token: str | None = field(default=None, repr=False)
    uses_ecid: bool = True
    calls_per_minute: int = DEFAULT_CALLS_PER_MINUTE
    allowed_status_hosts: frozenset[str] = frozenset()
    timeout: tuple[float, float] = DEFAULT_TIMEOUT
    verify: bool | str = True
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    property_token: str | None = field(default=None, repr=False)
    oauth: OAuthCredential | None = None
    tenant_id: str | None = None
    admin_url: str = DEFAULT_ADMIN_URL
    datastream_id: str | None = None
    ims_org_id: str | None = None
    edge_url: str | None = None
    update_path_segment: str = UPDATE_PATH_SEGMENTS[0]
    sync_log: str | None = None
    sync_log_keep_days: int | None = None
    rate_limit_conn_id: str | None = None
    redis: Mapping[str, Any] | None = field(default=None, repr=False)
    block_attributes: tuple[str, ...] = ()
    hash_salt: str | None = field(default=None, repr=False)

    @classmethod
    def from_fields(
        cls,
        login: str | None,
        password: str | None,
        host: str | None,
        port: int | str | None,
        extra: Mapping[str, Any] | None,
        schema: str | None = None,
    ) -> TargetSettings:
        """Parse the fields of an Airflow connection. Null and empty text mean that a field is not set.

        :param login: Client code, required.
        :param password: Profile API authentication token.
        :param host: Base URL or host name. Default: ``https://{client code}.tt.omtrdc.net``.
        :param port: Port of ``host``, if the URL has none.
        :param extra: ``uses_ecid``, ``calls_per_minute``, ``allowed_status_hosts``, ``timeout``, ``verify``,
            ``proxies``, ``property_token``, ``client_id``, ``client_secret``, ``ims_scope``, ``ims_host``,
            ``tenant_id``, ``admin_host``, ``datastream_id``, ``ims_org_id``, ``edge_host``,
            ``update_path_segment``, ``sync_log``, ``sync_log_keep_days``, ``rate_limit_conn_id``,
            ``block_attributes`` and ``hash_salt``. Other keys are ignored with a warning.
        :param schema: ``http`` or ``https`` for a host name without a scheme, as in the URI form of a connection.
        :raises ConnectionSettingsError: If a field is invalid. The message names it.
        """
        if extra is not None and not isinstance(extra, Mapping):
            raise ConnectionSettingsError("extra must be a JSON object.")
        fields = dict(extra or {})
        if unknown := sorted(str(key) for key in fields.keys() - _EXTRA_KEYS):
            log.warning("%s in the connection's extra is unknown and ignored.", ", ".join(map(repr, unknown)))
        client_code = _client_code(login)
        scheme, authority = _base(client_code, host, port, schema)
        token, oauth = _token("password", password), _oauth(fields)
        tenant_id = _word("tenant_id", fields.get("tenant_id"))
        has_token = token is not None or (oauth is not None and tenant_id is not None)
        if has_token and scheme == "http" and not is_loopback(parse_authority(authority)[0]):
            raise ConnectionSettingsError(
                f"host must not be http://{authority}, because the token would be sent in clear text. Use https, or "
                "remove the token from password and tenant_id, with which a token is read, from extra."
            )
        settings = cls(
            client_code=client_code,
            base_url=f"{scheme}://{authority}",
            token=token,
            uses_ecid=_boolean("uses_ecid", fields.get("uses_ecid"), default=True),
            calls_per_minute=_calls_per_minute(fields.get("calls_per_minute")),
            allowed_status_hosts=_hosts(fields.get("allowed_status_hosts")),
            timeout=_timeout(fields.get("timeout")),
            verify=_verify(fields.get("verify")),
            proxies=_proxies(fields.get("proxies")),
            property_token=_token("property_token", fields.get("property_token")),
            oauth=oauth,
            tenant_id=tenant_id,
            admin_url=_adobe_url("admin_host", fields.get("admin_host"), DEFAULT_ADMIN_URL),
            datastream_id=_token("datastream_id", fields.get("datastream_id")),
            ims_org_id=_token("ims_org_id", fields.get("ims_org_id")),
            edge_url=_adobe_url("edge_host", fields.get("edge_host"), "") or None,
            update_path_segment=_choice("update_path_segment", fields.get("update_path_segment"), UPDATE_PATH_SEGMENTS),
            sync_log=_text("sync_log", fields.get("sync_log")),
            sync_log_keep_days=_sync_log_keep_days(fields.get("sync_log_keep_days")),
            rate_limit_conn_id=_text("rate_limit_conn_id", fields.get("rate_limit_conn_id")),
            block_attributes=_patterns("block_attributes", fields.get("block_attributes")),
            hash_salt=_token("hash_salt", fields.get("hash_salt")),
        )
        if settings.clear_text_urls and not all(map(_keeps_clear_text_local, settings.proxies.items())):
            raise ConnectionSettingsError(
                f"proxies must not name another machine for http, because {settings.clear_text_urls[0]} is plain http "
                "and the proxy would receive the token or the client secret in clear text. Remove that proxy."
            )
        return settings

    @property
    def reads_token(self) -> bool:
        """Whether the Profile API token is read from the Admin API: a credential and a tenant are set, but no token."""
        return self.token is None and self.oauth is not None and self.tenant_id is not None

    @property
    def clear_text_urls(self) -> list[str]:
        """The plain http URLs that receive a token or the client secret. URLs of other machines are refused."""
        urls = [self.base_url] if self.token is not None or self.reads_token else []
        if self.oauth:
            urls += [self.oauth.ims_url, self.admin_url, self.edge_url or ""]
        return [url for url in urls if url.startswith("http://")]

    @property
    def plain_http(self) -> bool:
        """Whether the base URL is plain http."""
        return self.base_url.startswith("http://")

    @property
    def is_default_host(self) -> bool:
        """Whether the base URL is Adobe's default host for the client code."""
        return self.base_url == f"https://{self.client_code.lower()}{TARGET_DOMAIN}"

    @property
    def base_host(self) -> str:
        """The host of the base URL in normalized form, without the port."""
        return parse_authority(self.base_url.split("://", 1)[1])[0]


def account_digest(settings: TargetSettings) -> str:
    """Return a digest that identifies an account by its base URL and client code."""
    return digest(settings.base_url.lower(), settings.client_code.lower())
