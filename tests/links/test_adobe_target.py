from __future__ import annotations

import pytest

from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.links.adobe_target import push_links


class TaskInstance:
    def __init__(self):
        self.pushed = {}

    def xcom_push(self, key, value):
        self.pushed[key] = value


@pytest.mark.parametrize(
    ("tenant", "url"),
    [
        ("acmeinc", "https://experience.adobe.com/#/@acmeinc/target/activities"),
        ("a/b", "https://experience.adobe.com/#/@a%2Fb/target/activities"),
        (None, "https://experience.adobe.com/#/target/activities"),
    ],
)
def test_links_lead_to_the_last_batch_and_the_tenant(tenant, url):
    ti = TaskInstance()
    push_links(ti, tenant, [Batch(status_url="https://x/1"), Batch(status_url="https://x/2")])
    assert ti.pushed == {"batch_status_url": "https://x/2", "activities_url": url}


def test_a_dry_run_has_no_links():
    ti = TaskInstance()
    push_links(ti, "acme", [Batch(status="dry_run", rows=1)])
    assert ti.pushed == {"batch_status_url": "", "activities_url": ""}
