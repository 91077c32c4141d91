from __future__ import annotations

import pytest
from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError
from airflow_provider_adobe_target.task_groups.adobe_target import profile_sync

ROWS = {"data": [{"thirdPartyId": "a", "tier": "gold"}]}
APPROVALS = tuple(map(int, airflow_version.split(".")[:2])) >= (3, 1)


def test_tasks_follow_each_other_and_share_arguments():
    with DAG("sync", schedule=None) as dag:
        profile_sync(**ROWS, attributes=["tier"], rejects_path="/rejects", timeout=60, default_args={"retries": 3})
    plan, upload, verify = (dag.get_task(f"profile_sync.{name}") for name in ("plan", "upload", "verify"))
    assert (plan.downstream_task_ids, upload.downstream_task_ids) == ({upload.task_id}, {verify.task_id})
    assert (plan.is_dry_run, upload.is_dry_run) == (True, False)
    assert (plan.rejects_path, upload.rejects_path) == (None, "/rejects")
    assert plan.attributes == upload.attributes == verify.attributes == ["tier"]
    assert (upload.timeout, verify.timeout) == (60, 24 * 60 * 60)
    assert plan.retries == upload.retries == verify.retries == 3


def test_a_sync_without_a_sample_ends_with_the_upload():
    with DAG("sync", schedule=None) as dag:
        profile_sync("tiers", **ROWS, sample_size=None)
    assert set(dag.task_ids) == {"tiers.plan", "tiers.upload"}


@pytest.mark.parametrize("name", ["dry_run", "task_id", "wait_for_completion"])
def test_arguments_that_the_group_sets_are_refused(name):
    with DAG("sync", schedule=None), pytest.raises(InvalidArgumentError, match=f"{name} is set by profile_sync"):
        profile_sync(**ROWS, **{name: True})


@pytest.mark.skipif(not APPROVALS, reason="Airflow before 3.1 has no approvals")
def test_the_approval_is_between_plan_and_upload():
    with DAG("sync", schedule=None) as dag:
        profile_sync(**ROWS, ask={"subject": "Really?"})
    approve = dag.get_task("profile_sync.approve")
    assert approve.upstream_task_ids == {"profile_sync.plan"}
    assert approve.downstream_task_ids == {"profile_sync.upload"}
    assert approve.subject == "Really?"
    assert "key='markdown'" in approve.body


@pytest.mark.skipif(APPROVALS, reason="Airflow has approvals")
def test_asking_requires_a_newer_airflow():
    with DAG("sync", schedule=None), pytest.raises(InvalidArgumentError, match=r"ask requires Airflow 3\.1"):
        profile_sync(**ROWS, ask=True)
