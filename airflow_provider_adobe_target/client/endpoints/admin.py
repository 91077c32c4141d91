"""Admin API: requests for the Profile API token and the account's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airflow_provider_adobe_target.exceptions import ConnectionSettingsError

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.settings import TargetSettings


from airflow_provider_adobe_target.client.protocol import ACCESS_TOKEN, Request, plain_headers
from airflow_provider_adobe_target.client.settings import TargetSettings

_ADMIN_MEDIA_TYPE = "application/vnd.adobe.target.v1+json"


def profile_token_request(settings: TargetSettings, method: Literal["GET", "POST"]) -> Request:
    """Return the request that reads (GET) or generates (POST) the Profile API token (Adobe's Admin API).

    :raises ConnectionSettingsError: If the connection has no OAuth credential or no tenant.
    """
    path = "authentication/token?authorizationScope=profile_api"
    return _admin_request(settings, method, path, b"" if method == "POST" else None)


def client_settings_request(settings: TargetSettings) -> Request:
    """Return the request for the account's settings, which include 'Require Authentication'.

    :raises ConnectionSettingsError: If the connection has no OAuth credential or no tenant.
    """
    return _admin_request(settings, "GET", "clients/settings", None)


def _admin_request(settings: TargetSettings, method: Literal["GET", "POST"], path: str, body: bytes | None) -> Request:
    if settings.oauth is None or settings.tenant_id is None:
        raise ConnectionSettingsError(
            "The Admin API requires client_id, client_secret and tenant_id. Set all three in the connection's extra."
        )
    headers = {
        **plain_headers(_ADMIN_MEDIA_TYPE),
        "Authorization": ACCESS_TOKEN,
        "X-Api-Key": settings.oauth.client_id,
    }
    if method == "POST":
        headers["Content-Type"] = _ADMIN_MEDIA_TYPE
    return Request(method, f"{settings.admin_url}/{settings.tenant_id}/target/{path}", headers, body, settings.timeout)
