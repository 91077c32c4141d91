"""Assets for profiles in Adobe Target: ``adobetarget://{client code}/{id type}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import Asset

if TYPE_CHECKING:
    from urllib.parse import SplitResult

SCHEME = "adobetarget"


def profile_uri(client_code: str, id_type: str) -> str:
    """Return the URI of the profiles of one account and id type."""
    return f"{SCHEME}://{client_code}/{id_type}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check an asset URI, and return it with the client code in lower case.

    :raises ValueError: If the URI is not ``adobetarget://{client code}/{id type}``.
    """
    id_type = uri.path.strip("/")
    if not uri.netloc or uri.username or uri.port or not id_type or "/" in id_type or uri.query or uri.fragment:
        raise ValueError(f"The asset URI must be {SCHEME}://CLIENT_CODE/ID_TYPE, such as {SCHEME}://acme/thirdPartyId.")
    return uri._replace(netloc=uri.netloc.lower(), path=f"/{id_type}")


def create_asset(*, client_code: str, id_type: str = "thirdPartyId", extra: dict[str, Any] | None = None) -> Asset:
    """Return the asset for the profiles of one account.

    :param client_code: Client code of the account.
    :param id_type: ``thirdPartyId``, ``pcId``, or a namespace of the Edge Network.
    :param extra: ``extra`` of the asset.
    """
    return Asset(uri=profile_uri(client_code.lower(), id_type), extra=extra)


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Any:
    """Return the OpenLineage dataset of an asset. Operators report the same namespace and name."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, name = dataset_name(asset.uri)
    return Dataset(namespace=namespace, name=name)


def dataset_name(uri: str) -> tuple[str, str]:
    """Return namespace and name of the OpenLineage dataset of an asset URI."""
    parts = urlsplit(uri)
    return f"{SCHEME}://{parts.netloc}", parts.path.strip("/")
