from __future__ import annotations

import pytest

from airflow_provider_adobe_target.client.batch import batch_id_of
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_url
from airflow_provider_adobe_target.client.endpoints.profile import fetch_url
from airflow_provider_adobe_target.client.endpoints.status_url import status_request_url
from airflow_provider_adobe_target.client.settings import TargetSettings

ADOBE = TargetSettings.from_fields("acme", "token", None, None, {"allowed_status_hosts": "status.example.com"})
LOCAL = TargetSettings.from_fields("acme", "token", "http://127.0.0.1:8900", None, {})
PATH = "/m2/acme/profile/batchStatus?batchId=acme-1-1"


def test_a_batch_is_posted_to_the_path_of_its_version():
    assert submit_url(ADOBE, "v2") == "https://acme.tt.omtrdc.net/m2/acme/v2/profile/batchUpdate"
    assert submit_url(ADOBE, "v1") == "https://acme.tt.omtrdc.net/m2/acme/profile/batchUpdate"


@pytest.mark.parametrize(
    ("profile_id", "id_type", "path"),
    [
        ("U 1&/?#ü", "thirdPartyId", "thirdPartyId/U%201%26%2F%3F%23%C3%BC"),
        ("1368007744041-575948", "pcId", "1368007744041-575948"),
        ("..", "thirdPartyId", "thirdPartyId/%2E%2E"),
        ("7352.28_0", "thirdPartyId", "thirdPartyId/7352.28_0"),
        ("0123", "marketingCloudVisitorId", "marketingCloudVisitorId/0123"),
    ],
)
def test_an_id_is_one_path_segment(profile_id, id_type, path):
    url = fetch_url(ADOBE, profile_id, id_type)
    assert url == f"https://acme.tt.omtrdc.net/rest/v1/profiles/{path}?client=acme"


@pytest.mark.parametrize(
    ("profile_id", "host"),
    [
        ("1368007744041-575948.01_00", "mboxedge01"),
        ("10abf6304b2714215b1fd39a870f01afc.28_20", "mboxedge28"),
        ("1000000000000-100000.01", "acme"),
        ("1.2.28_20", "acme"),
        ("1.evil.com/_20", "acme"),
        ("1.28_", "acme"),
        ("1.28_2_0", "acme"),
    ],
)
def test_a_target_id_is_asked_for_at_the_edge_that_its_suffix_names(profile_id, host):
    assert fetch_url(ADOBE, profile_id, "pcId").startswith(f"https://{host}.tt.omtrdc.net/rest/v1/profiles/1")
    assert fetch_url(LOCAL, profile_id, "pcId").startswith("http://127.0.0.1:8900/rest/v1/profiles/1")


@pytest.mark.parametrize(
    ("rest", "called"),
    [
        ("/s?batchId=1&m2Node=00", "/s?batchId=1&m2Node=00&showDetails=true"),
        ("/s?batchId=1&showDetails=true", "/s?batchId=1&showDetails=true"),
        ("/s?showDetails=true&batchId=1", "/s?showDetails=true&batchId=1"),
        ("/s?batchId=1&", "/s?batchId=1&showDetails=true"),
        ("/s/%7e/../x?a=%2f&mboxPC=0.19_05@x", "/s/%7e/../x?a=%2f&mboxPC=0.19_05@x&showDetails=true"),
        ("/s", "/s?showDetails=true"),
        ("/s?", "/s?showDetails=true"),
        ("", "?showDetails=true"),
    ],
)
def test_the_rest_of_a_status_url_stays_as_it_is(rest, called):
    assert status_request_url(ADOBE, f"http://e.tt.omtrdc.net{rest}") == f"https://e.tt.omtrdc.net{called}"


def test_the_batch_id_is_the_one_the_url_names():
    assert batch_id_of("https://e/m2/acme/profile/batchStatus?m2Node=0&batchId=acme-1-1&x=y") == "acme-1-1"
    assert batch_id_of("https://e.net/m2/status/7") == "e.net/m2/status/7"
