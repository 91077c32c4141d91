"""The page without a sync log, with one that does not respond, and its speed with a large one."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_adobe_target.sync_log.location import open_sync_log
from support.page_content import facts, text_of
from support.sample_runs import attribute_statistics, record

pytest.importorskip("airflow.api_fastapi", reason="the page needs Airflow 3")

SECONDS = 0.8
COLD_SECONDS = 1.2  # includes the compilation of the templates


def test_without_a_sync_log_the_page_has_a_hint(client, monkeypatch):
    monkeypatch.delenv("AIRFLOW__ADOBE_TARGET__SYNC_LOG", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps({"conn_type": "adobe_target", "login": "acme"}))
    response = client.get("/")
    assert response.status_code == 200
    assert "Set sync_log in the extra of the connection adobe_target_default" in text_of(response)
    assert client.get("/runs.csv").status_code == 404


def test_the_log_of_the_default_connection_is_shown_without_a_setting(client, monkeypatch, tmp_path):
    extra = {"sync_log": str(tmp_path)}
    connection = {"conn_type": "adobe_target", "login": "acme", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
    open_sync_log(str(tmp_path)).write(record())
    assert facts(client.get("/"))["Runs"] == "1"


@contextmanager
def silent_server():
    """A port that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened = []
        threading.Thread(target=lambda: opened.append(server.accept()), daemon=True).start()
        yield server.getsockname()[1]


def test_an_unreachable_database_is_named_within_2_seconds(client, monkeypatch):
    pytest.importorskip("airflow.providers.postgres.hooks.postgres")
    with silent_server() as port:
        away = {"conn_type": "postgres", "host": "127.0.0.1", "port": port, "login": "u", "password": "s3cret"}
        monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(away))
        monkeypatch.setenv("AIRFLOW__ADOBE_TARGET__SYNC_LOG", "away")
        for _ in range(2):
            started = time.monotonic()
            response = client.get("/")
            assert time.monotonic() - started < 2
            assert response.status_code == 503
            assert "The sync log cannot be read It did not respond within 1.5 seconds." in text_of(response)
        assert client.get("/api/runs").status_code == 503


def test_a_database_that_refuses_is_named_without_its_password(client, monkeypatch):
    pytest.importorskip("airflow.providers.postgres.hooks.postgres")
    refused = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "u", "password": "s3cret"}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(refused))
    monkeypatch.setenv("AIRFLOW__ADOBE_TARGET__SYNC_LOG", "away")
    response = client.get("/")
    assert "OperationalError" in response.text
    assert not re.search("s3cret|127.0.0.1", response.text)


@pytest.mark.parametrize("path", ["/", "/attributes", "/?dag_id=loyalty", "/runs.csv?days=365"])
def test_the_page_is_ready_within_a_second_with_ten_thousand_runs(client, many_runs, path):
    client.get("/")  # imports
    times = []
    for _ in range(3):
        started = time.process_time()
        assert client.get(path).status_code == 200
        times.append(time.process_time() - started)
    assert min(times) < SECONDS


def test_the_first_page_of_a_folder_is_ready_within_a_second(client, many_runs, request):
    if "folder" not in request.node.name:
        pytest.skip("no page keeps records of a table")
    client.get("/static/page.css")  # imports
    started = time.process_time()
    assert client.get("/").status_code == 200
    assert time.process_time() - started < COLD_SECONDS


@pytest.fixture(scope="module", params=["table", "folder"])
def ten_thousand(request, tmp_path_factory):
    """A database or a folder with 10,000 runs, 360 a day, of 20 attributes and 3 batches each."""
    import sqlite3

    from airflow_provider_adobe_target.sync_log.record import COLUMNS
    from airflow_provider_adobe_target.sync_log.table import ddl

    path = tmp_path_factory.mktemp("many")
    rows = list(_ten_thousand_rows())
    if request.param == "folder":
        for number, row in enumerate(rows):
            month = path / "runs" / row["started_at"][:7]
            month.mkdir(parents=True, exist_ok=True)
            # As tasks leave it: a file for each run of the last two days, and larger ones of the earlier runs.
            name = f"{number:033}.json" if number < 720 else f"all-{number // 400:04}.json"
            with (month / name).open("a") as file:
                file.write(json.dumps(row) + "\n")
        return path / "runs"
    with sqlite3.connect(path / "log.db") as connection:
        for statement in ddl():
            connection.execute(statement)
        marks = ", ".join("?" * len(COLUMNS))
        connection.executemany(f"INSERT INTO adobe_target_runs VALUES ({marks})", [list(row.values()) for row in rows])
    connection.close()
    return path / "log.db"


def _ten_thousand_rows():
    now, chance = datetime.now(timezone.utc), random.Random(1)  # noqa: S311
    names = [f"attribute_{number}" for number in range(20)]
    for number in range(10_000):
        started = now - timedelta(minutes=4 * number)
        batches = [{**record().batches[0], "batch_id": f"b-{number}-{file}"} for file in range(3)]
        attributes = attribute_statistics(**{name: (chance.randint(0, 100), 100) for name in names})
        changes = {"started_at": started, "finished_at": started, "batches": batches, "attributes": attributes}
        yield record(run_id=f"run {number}", dag_id=["loyalty", "other"][number % 2], **changes).to_row()


@pytest.fixture
def many_runs(ten_thousand, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LOG_DB", json.dumps({"conn_type": "sqlite", "host": str(ten_thousand)}))
    monkeypatch.setenv("AIRFLOW__ADOBE_TARGET__SYNC_LOG", str(ten_thousand) if ten_thousand.is_dir() else "log_db")


def test_the_ten_thousand_runs_are_all_counted(client, many_runs):
    assert facts(client.get("/", params={"days": "30"}))["Runs"] == "10.0 k"
