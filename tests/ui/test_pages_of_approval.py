"""The approval of ``profile_sync``, answered through Airflow's API while the DAG runs."""

from __future__ import annotations

import time
from importlib.metadata import version

import httpx
import pytest
from packaging.version import Version

pytest.importorskip("airflow.api_fastapi", reason="approvals need Airflow 3.1")

from airflow_provider_adobe_target.sandbox import Sandbox
from support.airflow_pages import query, run_dag
from support.airflow_site import PASSWORDS
from support.real_airflow import connection

CHOICES = {"approved.approve": "Approve", "rejected.approve": "Reject"}
SECONDS = 300


@pytest.fixture
def api(site):
    with httpx.Client(base_url=site.url, timeout=60, trust_env=False) as client:
        token = client.post("/auth/token", json={"username": "admin", "password": PASSWORDS["admin"]}).json()
        client.headers["Authorization"] = f"Bearer {token['access_token']}"
        yield client


def respond(api, process):
    """Answer each question while the DAG runs, and return the questions by task."""
    questions, deadline = {}, time.monotonic() + SECONDS
    while process.poll() is None:
        assert time.monotonic() < deadline, f"only {sorted(questions)} asked"
        found = api.get("/api/v2/dags/syncs/dagRuns/~/hitlDetails", params={"response_received": False}).json()
        for question in found["hitl_details"]:
            instance = question["task_instance"]
            questions[instance["task_id"]] = question
            path = f"/api/v2/dags/syncs/dagRuns/{instance['dag_run_id']}/taskInstances/{instance['task_id']}/-1"
            choice = {"chosen_options": [CHOICES[instance["task_id"]]], "params_input": {}}
            api.patch(f"{path}/hitlDetails", json=choice).raise_for_status()
        time.sleep(0.2)
    return questions


@pytest.mark.skipif(
    Version(version("apache-airflow")) < Version("3.3"),
    reason="before 3.3 dag.test() cannot run the trigger of an approval",
)
def test_an_approved_plan_is_uploaded_and_a_rejected_one_is_not(site, api):
    with Sandbox(processing_seconds=0.2) as sandbox:
        process = run_dag(site, "syncs", AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox))
        questions = respond(api, process)
        batches = sandbox.batches
    states = dict(query(site, "SELECT task_id, state FROM task_instance WHERE dag_id = 'syncs'"))
    assert states == {
        "approved.plan": "success",
        "approved.approve": "success",
        "approved.upload": "success",
        "approved.verify": "success",
        "rejected.plan": "success",
        "rejected.approve": "success",
        "rejected.upload": "skipped",
        "rejected.verify": "skipped",
    }
    assert [batch.row_count for batch in batches] == [3]
    assert questions.keys() == CHOICES.keys()
    for question in questions.values():
        assert question["subject"] == "Send 3 profiles to Adobe Target?"
        assert "| Rows sent | 3 |" in question["body"] or "3 of 3 rows would be sent" in question["body"]
