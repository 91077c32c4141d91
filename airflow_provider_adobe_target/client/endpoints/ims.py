"""Adobe Identity Management Service (IMS): the access token request."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.client.settings_fields import OAuthCredential


from airflow_provider_adobe_target.client.protocol import _FORM, Request, plain_headers
from airflow_provider_adobe_target.client.settings import TargetSettings


def access_token_request(settings: TargetSettings, oauth: OAuthCredential) -> Request:
    """Return the request for an access token (Adobe's OAuth Server-to-Server page)."""
    form = {
        "client_id": oauth.client_id,
        "client_secret": oauth.client_secret,
        "grant_type": "client_credentials",
        "scope": oauth.scope,
    }
    headers = {**plain_headers("application/json"), "Content-Type": _FORM}
    return Request("POST", f"{oauth.ims_url}/ims/token/v3", headers, urlencode(form).encode(), settings.timeout)
