from __future__ import annotations

import warnings

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_adobe_target.assets.adobe_target import convert_asset_to_openlineage, create_asset


def test_the_client_code_of_an_asset_is_in_lower_case():
    assert Asset("adobetarget://ACME/thirdPartyId").uri == "adobetarget://acme/thirdPartyId"
    assert create_asset(client_code="Acme", id_type="pcId").uri == "adobetarget://acme/pcId"


@pytest.mark.parametrize(
    "uri", ["adobetarget://acme", "adobetarget:///pcId", "adobetarget://acme/a/b", "adobetarget://acme/pcId?x=1"]
)
def test_another_form_of_uri_is_refused(uri):
    from airflow import __version__ as airflow_version

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if airflow_version.startswith("2."):  # which warns
            Asset(uri)
            assert "adobetarget://CLIENT_CODE/ID_TYPE" in str(caught[-1].message)
            return
        with pytest.raises(ValueError, match="adobetarget://CLIENT_CODE/ID_TYPE"):
            Asset(uri)


def test_an_asset_is_an_openlineage_dataset():
    pytest.importorskip("openlineage.client")
    dataset = convert_asset_to_openlineage(Asset("adobetarget://acme/thirdPartyId"), None)
    assert (dataset.namespace, dataset.name) == ("adobetarget://acme", "thirdPartyId")
