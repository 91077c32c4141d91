from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from packaging.version import Version

from airflow_provider_adobe_target.sync_log.location import open_sync_log
from support.airflow_pages import site_with_runs
from support.airflow_site import AirflowSite


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Iterator[AirflowSite]:
    """An Airflow with DAGs, and runs of some of them in the sync log."""
    if Version(version("apache-airflow")) < Version("3.1"):
        pytest.skip("before 3.1 Airflow's interface has no pages of plugins")
    with site_with_runs(tmp_path_factory.mktemp("site")) as started:
        yield started


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The sync log that the page is configured to show."""
    monkeypatch.setenv("AIRFLOW_CONN_LOG_DB", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "log.db")}))
    monkeypatch.setenv("AIRFLOW__ADOBE_TARGET__SYNC_LOG", "log_db")
    return open_sync_log("log_db")


@pytest.fixture
def client():
    """A browser of a user who may read the DAGs ``loyalty`` and ``other``."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from airflow_provider_adobe_target.ui.app import create_app, readable_dags

    app, airflow = create_app(), FastAPI()
    app.dependency_overrides[readable_dags] = lambda: {"loyalty", "other"}
    airflow.mount("/adobe-target", app)
    with TestClient(airflow, "http://testserver/adobe-target", headers={"accept": "text/html"}) as opened:
        yield opened
