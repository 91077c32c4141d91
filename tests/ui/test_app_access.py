"""Who sees which runs, and what names of tasks cannot do to the page."""

from __future__ import annotations

import re

import pytest

from support.sample_runs import record

pytest.importorskip("airflow.api_fastapi", reason="the page needs Airflow 3")

EVIL = "<img src=x onerror=alert(1)>\"'"
TOKEN = {"operator": "ProfileTokenSensor", "task_id": "token", "rows_sent": None, "rejected_by_reason": {}}


def test_runs_of_dags_that_the_user_may_not_read_are_not_shown(client, log):
    log.write(record(dag_id="secret", client_code="hidden"))
    log.write(record(dag_id="secret", **TOKEN, details={"expires_at": "2027-01-01T00:00:00Z"}))
    for path in ("/", "/attributes", "/runs.csv", "/api/runs"):
        response = client.get(path, params={"days": "365", "run_id": record().run_id})
        assert response.status_code == 200
        assert not re.search("secret|hidden|tier|2027", response.text), path


@pytest.mark.parametrize("path", ["/", "/attributes", "/run", "/runs.csv", "/api/runs"])
def test_a_dag_that_the_user_may_not_read_is_refused(client, log, path):
    log.write(record(dag_id="secret"))
    query = {"dag_id": "secret", "run_id": record().run_id, "task_id": "upload"}
    response = client.get(path, params=query)
    assert response.status_code == 403
    assert "acme" not in response.text


@pytest.mark.parametrize("path", ["/", "/attributes", "/run", "/runs.csv", "/api/runs"])
def test_without_a_login_no_run_is_shown(log, path, monkeypatch):
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
    from airflow.api_fastapi.core_api import security
    from fastapi.testclient import TestClient

    from airflow_provider_adobe_target.ui.app import create_app

    monkeypatch.setattr(security, "get_auth_manager", SimpleAuthManager)
    log.write(record())
    with TestClient(create_app()) as client:
        for headers in ({}, {"Authorization": "Bearer made-up"}, {"Cookie": "_token=made-up"}):
            response = client.get(path, headers=headers)
            assert response.status_code in (401, 403)
            assert "loyalty" not in response.text


def test_names_cannot_add_markup(client, log):
    log.write(
        record(
            task_id=EVIL,
            run_id=EVIL,
            client_code=EVIL,
            operator=EVIL,
            outcome=EVIL,
            rejected_by_reason={EVIL: 12},
            attributes={EVIL: {"type": EVIL, "filled": 1, "rows": 1, "max_length": 1}},
            batches=[{"batch_id": EVIL, "status": EVIL}],
            details={"source": EVIL, "rejects_path": EVIL, "error": EVIL},
        )
    )
    query = {"dag_id": "loyalty", "run_id": EVIL, "task_id": EVIL}
    for response in (client.get("/"), client.get("/attributes"), client.get("/run", params=query)):
        assert response.status_code == 200
        assert "&lt;img" in response.text
        assert "<img" not in response.text
    refused = client.get("/", params={"dag_id": EVIL})
    assert refused.status_code == 403
    assert "<img" not in refused.text


def test_every_response_forbids_foreign_scripts_and_frames(client, log):
    for path in ("/", "/run", "/nothing", "/static/page.css"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/attributes"])
def test_the_page_has_no_inline_script_or_style(client, log, path):
    log.write(record())
    page = client.get(path).text
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", page)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)


def test_static_files_are_there(client):
    for name in ("page.css", "page.js", "icon.svg", "icon-dark.svg"):
        assert client.get(f"/static/{name}").status_code == 200
