"""The URLs that are called, and the check of the one that comes from an answer."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import quote

from airflow_provider_adobe_target.client.hosts import parse_authority
from airflow_provider_adobe_target.client.settings import TARGET_DOMAIN, TargetSettings
from airflow_provider_adobe_target.exceptions import TargetRefusedError

ApiVersion = Literal["v1", "v2"]
IdType = Literal["thirdPartyId", "pcId"]
FetchIdType = Literal["thirdPartyId", "pcId", "marketingCloudVisitorId"]

MAX_QUERY_BYTES = 8 * 1024
"""The longest URL of a single update (Adobe's Single Profile Update page: 8 KB); above, a form takes the attributes."""
MAX_UPDATE_BYTES = 60 * 1024
"""The most bytes of a single update, URL and form together (the same page: 60 KB)."""

_ID_PARAMETERS = {"thirdPartyId": "mbox3rdPartyId", "pcId": "mboxPC"}
_CLUSTER = re.compile(r"[^.]*\.([0-9]{1,4})_[0-9]+")

_STATUS_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>(?:[/?][^#]*)?)", re.IGNORECASE)
_VISIBLE_ASCII = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,2048}")  # no white space, no control character, no backslash
_BATCH_ID = re.compile(r"[?&]batchId=([^&]+)")


def submit_url(settings: TargetSettings, api_version: ApiVersion) -> str:
    """Return the URL a batch is posted to.

    :param api_version: ``v2`` creates profiles for unknown ids, ``v1`` does not.
    """
    version = "v2/" if api_version == "v2" else ""
    return f"{settings.base_url}/m2/{settings.client_code}/{version}profile/batchUpdate"


def update_url(settings: TargetSettings, profile_id: str, id_type: IdType) -> str:
    """Return the URL of a single update, its query with the id alone, percent-encoded."""
    parameter = f"{_ID_PARAMETERS[id_type]}={quote(profile_id, safe='')}"
    return f"{settings.base_url}/m2/{settings.client_code}/profile/update?{parameter}"


def room_in_update(settings: TargetSettings) -> int:
    """Return the bytes that an id and its attributes, percent-encoded, may have to fit a single update."""
    return MAX_UPDATE_BYTES - len(update_url(settings, "", "thirdPartyId"))


def fetch_url(settings: TargetSettings, profile_id: str, id_type: FetchIdType) -> str:
    """Return the URL of one profile, the id percent-encoded as one path segment.

    A Target id whose suffix names an edge cluster (``….28_0``) is asked for there, where its profile is, unless the
    connection names a host of its own.
    """
    segment = quote(profile_id, safe="")
    if segment in (".", ".."):  # else URL normalisation would take it for a step in the path
        segment = segment.replace(".", "%2E")
    folder = "" if id_type == "pcId" else f"{id_type}/"
    base_url = settings.base_url
    cluster = _CLUSTER.fullmatch(profile_id) if id_type == "pcId" else None
    if cluster and settings.is_default_host:
        base_url = f"https://mboxedge{cluster[1]}{TARGET_DOMAIN}"
    return f"{base_url}/rest/v1/profiles/{folder}{segment}?client={settings.client_code}"


def checked_status_url(settings: TargetSettings, url: str) -> str:
    """Check a status URL, which comes from an answer and which the token would follow.

    Its host is to be one of Target's (``*.tt.omtrdc.net``), the connection's own, or one of
    ``allowed_status_hosts``. ``http`` becomes ``https``, but for a base URL of plain http with the same host
    name; the rest stays as it is.

    :raises TargetRefusedError: where the URL is not to be called. The text never repeats a user part.
    """
    match = _STATUS_URL.fullmatch(url) if _VISIBLE_ASCII.fullmatch(url) else None
    if match is None:
        raise TargetRefusedError("The status URL is not a plain http or https URL: it is not called.")
    try:
        host, port = parse_authority(match["authority"])
    except ValueError as error:
        raise TargetRefusedError(f"The status URL is not called: {error}.") from None
    own = host == settings.base_host
    if not (own or host.endswith(TARGET_DOMAIN) or host in settings.allowed_status_hosts):
        raise TargetRefusedError(
            f"The status URL names the host {host}, which is none of Target's: it is not called. If it is "
            "right, name it in allowed_status_hosts of the connection."
        )
    scheme, authority = match["scheme"], match["authority"]
    if scheme.lower() == "http" and not (own and settings.plain_http):
        scheme = "https"
        authority = authority.removesuffix(":80") if port == 80 else authority
    return f"{scheme}://{authority}{match['rest']}"


def status_request_url(settings: TargetSettings, url: str) -> str:
    """Return the URL a batch's status is asked at: the checked one, with ``showDetails=true``.

    :raises TargetRefusedError: as :func:`checked_status_url`.
    """
    checked = checked_status_url(settings, url)
    base, _, query = checked.partition("?")
    if "showDetails=true" in query.split("&"):
        return checked
    separator = "" if query == "" or query.endswith("&") else "&"
    return f"{base}?{query}{separator}showDetails=true"


def batch_id_of(status_url: str) -> str:
    """Return the ``batchId`` a status URL names, as it stands there, or the URL without its scheme."""
    match = _BATCH_ID.search(status_url)
    return match[1] if match else status_url.partition("://")[2]
