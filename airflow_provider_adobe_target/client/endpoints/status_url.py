"""Validation of status URLs from responses."""

from __future__ import annotations

import re

from airflow_provider_adobe_target.client.hosts import parse_authority
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.settings_fields import TARGET_DOMAIN
from airflow_provider_adobe_target.exceptions import TargetRefusedError

_STATUS_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>(?:[/?][^#]*)?)", re.IGNORECASE)
_VISIBLE_ASCII = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,2048}")  # no white space, no control character, no backslash


def checked_status_url(settings: TargetSettings, url: str) -> str:
    """Validate a status URL. It comes from a response, and the token is sent to it.

    The host must be one of Target's (``*.tt.omtrdc.net``), the host of the base URL, or one of
    ``allowed_status_hosts``. ``http`` is replaced with ``https``, unless the base URL is plain http with the same host.

    :param settings: Connection settings.
    :param url: URL from a response.
    :return: URL to call.
    :raises TargetRefusedError: If the URL must not be called. The message never contains a user part.
    """
    match = _STATUS_URL.fullmatch(url) if _VISIBLE_ASCII.fullmatch(url) else None
    if match is None:
        raise TargetRefusedError("The status URL is not a valid http or https URL. It is not called.")
    try:
        host, port = parse_authority(match["authority"])
    except ValueError as error:
        raise TargetRefusedError(f"The status URL is invalid and not called: {error}.") from None
    own = host == settings.base_host
    if not (own or host.endswith(TARGET_DOMAIN) or host in settings.allowed_status_hosts):
        raise TargetRefusedError(
            f"The status URL names the host {host}, which is outside Target's domain. It is not called. If it is "
            "correct, add it to allowed_status_hosts of the connection."
        )
    scheme, authority = match["scheme"], match["authority"]
    if scheme.lower() == "http" and not (own and settings.plain_http):
        scheme = "https"
        authority = authority.removesuffix(":80") if port == 80 else authority
    return f"{scheme}://{authority}{match['rest']}"


def status_request_url(settings: TargetSettings, url: str) -> str:
    """Return the URL of a status request: the validated URL with ``showDetails=true``.

    :raises TargetRefusedError: As :func:`checked_status_url`.
    """
    checked = checked_status_url(settings, url)
    base, _, query = checked.partition("?")
    if "showDetails=true" in query.split("&"):
        return checked
    separator = "" if query == "" or query.endswith("&") else "&"
    return f"{base}?{query}{separator}showDetails=true"
