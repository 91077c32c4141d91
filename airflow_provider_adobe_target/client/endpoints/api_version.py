"""Which key goes with which version of the bulk interface."""

from __future__ import annotations

from airflow_provider_adobe_target.exceptions import ConnectionSettingsError, ProfileDataError

API_VERSIONS = ("v1", "v2")


def check_version(api_version: str, key: str, uses_ecid: bool) -> None:
    """Refuse a combination that writes profiles which no visit ever meets.

    Adobe's Bulk Profile Update page (note of August 2025): where visitors are identified by ECID, a file keyed by
    ``pcId`` goes to v1 only, since v2 would create a profile that nobody visits.

    :param key: first column of the file, ``thirdPartyId`` or ``pcId``
    :param uses_ecid: whether the site identifies visitors by ECID, as the connection says
    :raises ProfileDataError: for an unknown version
    :raises ConnectionSettingsError: for ``pcId`` with v2 on such a site
    """
    if api_version not in API_VERSIONS:
        raise ProfileDataError(f"api_version={api_version!r} is not one of {', '.join(API_VERSIONS)}.")
    if key == "pcId" and api_version == "v2" and uses_ecid:
        raise ConnectionSettingsError(
            "pcId with v2 creates profiles that no visit meets where visitors are identified by ECID (Adobe, "
            "August 2025). "
            "Send thirdPartyId instead, or use api_version='v1'; for a site without ECID set uses_ecid to false "
            "in the connection."
        )
