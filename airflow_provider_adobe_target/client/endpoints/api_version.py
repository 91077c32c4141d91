"""Check of the id type against the version of the bulk API."""

from __future__ import annotations

from airflow_provider_adobe_target.argument_checks import check_arguments
from airflow_provider_adobe_target.exceptions import ConnectionSettingsError, ProfileDataError


def check_version(api_version: str, key: str, uses_ecid: bool, id_column: str | None = None) -> None:
    """Reject a combination that creates unreachable profiles.

    Adobe's Bulk Profile Update page (note of August 2025): if the site identifies visitors by ECID, a file with
    ``pcId`` must be sent to v1. v2 would create profiles that no visitor is matched with.

    :param api_version: Version of the bulk API.
    :param key: First column of the file, ``thirdPartyId`` or ``pcId``.
    :param uses_ecid: Whether the site identifies visitors by ECID, according to the connection.
    :param id_column: Column of the ids, if it is known. ``mbox.id`` is valid for v1 only.
    :raises ProfileDataError: For an unknown version, and for ``mbox.id`` with v2.
    :raises ConnectionSettingsError: For ``pcId`` with v2 on a site that uses ECID.
    """
    check_arguments({"api_version": api_version})
    if api_version == "v2" and (id_column or "").lower() == "mbox.id":
        raise ProfileDataError(
            "The id column mbox.id requires api_version='v1'. If it contains Target ids of a site that does not use "
            "ECID, rename the column to pcId."
        )
    if key == "pcId" and api_version == "v2" and uses_ecid:
        raise ConnectionSettingsError(
            "pcId with api_version='v2' creates profiles that no visitor is matched with, if visitors are identified "
            "by ECID. Send thirdPartyId or set api_version='v1'. If the site does not use ECID, set uses_ecid to false "
            "in the connection."
        )
