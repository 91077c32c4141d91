from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_adobe_target.client.batch import Batch
from airflow_provider_adobe_target.links import adobe_target as links
from airflow_provider_adobe_target.links.adobe_target import TaskRunLink, push_links


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


KEY = {"dag_id": "loyalty", "run_id": "manual__2026-01-31T00:00:00+00:00", "task_id": "upload"}
PATH = "/dags/loyalty/runs/manual__2026-01-31T00%3A00%3A00%2B00%3A00/tasks/upload"


def run_link(*, argument=None, connection=None, map_index=-1):
    operator = SimpleNamespace(sync_log=argument, hook=SimpleNamespace(settings=SimpleNamespace(sync_log=connection)))
    return TaskRunLink().get_link(operator, ti_key=SimpleNamespace(**KEY, map_index=map_index))


@pytest.mark.parametrize("recorded", [{"argument": "log"}, {"connection": "log"}])
def test_a_recorded_task_links_to_its_tab(monkeypatch, recorded):
    monkeypatch.setattr(links, "_has_tabs", lambda: True)
    assert run_link(**recorded) == f"{PATH}/plugin/adobe-target-ti"
    assert run_link(**recorded, map_index=2) == f"{PATH}/mapped/2/plugin/adobe-target-ti"
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.com/airflow/")
    assert run_link(**recorded) == f"/airflow{PATH}/plugin/adobe-target-ti"


def test_a_task_without_a_record_has_no_link(monkeypatch):
    monkeypatch.setattr(links, "_has_tabs", lambda: True)
    assert run_link() == ""


def test_an_airflow_without_tabs_has_no_link(monkeypatch):
    monkeypatch.setattr(links, "_has_tabs", lambda: False)
    assert run_link(argument="log") == ""
