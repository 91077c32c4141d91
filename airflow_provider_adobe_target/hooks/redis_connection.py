"""The Redis connection that all machines use for the rate limit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ConnectionSettingsError

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.settings import TargetSettings

_TLS_OPTIONS = ("ssl", "ssl_cert_reqs", "ssl_ca_certs", "ssl_keyfile", "ssl_certfile", "ssl_check_hostname")
_DEFAULT_PORT = 6379


def with_redis(settings: TargetSettings, connection: Any) -> TargetSettings:
    """Return settings with the Redis server of a connection. The fields are those of Airflow's ``redis`` provider.

    :param settings: Settings whose ``rate_limit_conn_id`` names the connection.
    :param connection: Airflow connection of type ``redis``.
    :raises ConnectionSettingsError: If the connection has another type, or fields that cannot be used.
    """
    name = f"rate_limit_conn_id={settings.rate_limit_conn_id!r}"
    if connection.conn_type != "redis":
        raise ConnectionSettingsError(f"{name} must be a connection of type redis, not {connection.conn_type!r}.")
    if not connection.host:
        raise ConnectionSettingsError(f"{name}: the connection has no host.")
    extra = connection.extra_dejson
    try:
        database = int(extra.get("db") or 0)
    except (TypeError, ValueError):
        raise ConnectionSettingsError(f"{name}: db in its extra must be a whole number.") from None
    options = {
        "host": connection.host,
        "port": connection.port or _DEFAULT_PORT,
        "db": database,
        "username": connection.login or None,
        "password": connection.password or None,
        **{option: extra[option] for option in _TLS_OPTIONS if extra.get(option) is not None},
    }
    return replace(settings, redis=options)
