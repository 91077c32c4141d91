from __future__ import annotations

import pytest

from airflow_provider_adobe_target.client.endpoints.status_url import status_request_url
from airflow_provider_adobe_target.client.settings import TargetSettings

ADOBE = TargetSettings.from_fields("acme", "token", None, None, {"allowed_status_hosts": "status.example.com"})
LOCAL = TargetSettings.from_fields("acme", "token", "http://127.0.0.1:8900", None, {})
PATH = "/m2/acme/profile/batchStatus?batchId=acme-1-1"


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
