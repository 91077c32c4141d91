"""The page without a browser: its content, access to it, and its speed."""

from __future__ import annotations

import csv
import io
import json
import re
import socket
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser

import pytest

from airflow_provider_adobe_target.sync_log.location import open_sync_log
from support.sample_runs import record

pytest.importorskip("airflow.api_fastapi", reason="the page needs Airflow 3")

EVIL = "<img src=x onerror=alert(1)>\"'"
SECONDS = 1.0
TOKEN = {"operator": "ProfileTokenSensor", "task_id": "token", "rows_sent": None, "rejected_by_reason": {}}


def text_of(response):
    """The words of a page, white space joined."""

    class Words(HTMLParser):
        found = ""

        def handle_data(self, data):
            self.found += f" {data}"

    words = Words()
    words.feed(response.text)
    return " ".join(words.found.split())


def facts(response):
    """The values of the page's tiles, by label."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)(?: <span.*?)?</dd>", response.text)
    return dict(found)


def test_the_sums_are_those_of_the_runs(client, log):
    log.write(record())
    log.write(
        record(run_id="second", rows_sent=50, rows_updated=50, rows_not_found=0, rows_failed=0, outcome="complete")
    )
    assert facts(client.get("/")) == {
        "Runs": "2",
        "Rows sent": "150",
        "Updated": "140",
        "No profile": "6",
        "Failed": "1",
        "Not confirmed": "3",
        "Rejected rows": "24",
        "Runs with failures": "1",
    }


def test_the_results_add_up_to_the_rows_sent(client, log):
    log.write(record(rows_updated=None, rows_not_found=None, rows_failed=None, outcome="submitted"))
    found = facts(client.get("/"))
    assert (found["Rows sent"], found["Not confirmed"]) == ("100", "100")
    assert "Updated" not in found


def test_rows_of_a_dry_run_count_as_not_sent(client, log):
    log.write(record(outcome="dry_run", rows_updated=None, rows_not_found=None, rows_failed=None))
    assert facts(client.get("/"))["Rows sent"] == "0"


def test_a_sensor_is_not_a_run_that_sent_rows(client, log):
    log.write(record())
    log.write(record(task_id="landed", operator="BatchStatusSensor", rows_sent=None, rows_updated=None))
    assert facts(client.get("/"))["Runs"] == "1"


def test_runs_with_a_ledger_are_summed_up(client, log):
    details = {"rows_sent_because": {"new": 60, "changed": 40}, "values_carried": 7}
    log.write(record(details=details, rows_unchanged=900))
    log.write(record(details=details, rows_unchanged=900, run_id="second"))
    log.write(record(details=details, run_id="plan", outcome="dry_run"))
    words = text_of(client.get("/"))
    assert "With a ledger Sent: new 120 Sent: changed 80 Unchanged 1,800 Values carried over 14" in words


def test_runs_without_a_ledger_have_no_sums_of_it(client, log):
    log.write(record())
    assert "With a ledger" not in client.get("/").text


def test_rejected_rows_are_shown_by_reason(client, log):
    log.write(record())
    assert "No id 10" in text_of(client.get("/"))
    assert "Duplicate id 2" in text_of(client.get("/"))


def test_a_run_links_to_its_task_and_its_details(client, log):
    log.write(record(map_index=3))
    page = client.get("/").text
    task = "/dags/loyalty/runs/scheduled__2026-01-31T00%3A00%3A00%2B00%3A00/tasks/upload/mapped/3"
    assert f'href="{task}" data-airflow' in page
    [details] = re.findall(r'href="/adobe-target(/run\?[^"]*)"', page)
    assert "acme-7-1" in client.get(details.replace("&amp;", "&")).text


def test_one_run_is_shown_in_detail(client, log):
    log.write(record())
    words = text_of(client.get("/run", params={"dag_id": "loyalty", "run_id": record().run_id, "task_id": "upload"}))
    assert "Waited for the budget 1 min 01 s" in words
    assert "acme-7-1 complete 100 12.3 kB 90 6 1 2026-01-31 00:00 3 min 00 s" in words
    assert "/rejects/x.parquet" in words
    assert "tier text 80 % 6" in words


def test_the_latest_try_is_shown_and_earlier_ones_are_linked(client, log):
    log.write(record(outcome="failed", details={"error": "AirflowFailException"}))
    log.write(record(try_number=2, outcome="complete"))
    query = {"dag_id": "loyalty", "run_id": record().run_id, "task_id": "upload", "map_index": "{MAP_INDEX}"}
    latest = text_of(client.get("/run", params=query))
    assert "Complete" in latest
    assert "Try: 1 2" in latest
    first = text_of(client.get("/run", params={**query, "try_number": "1"}))
    assert "The task failed with AirflowFailException" in first


def test_a_placeholder_that_airflow_leaves_means_a_task_that_is_not_mapped(client, log):
    log.write(record())
    query = {"dag_id": "loyalty", "run_id": record().run_id, "task_id": "upload"}
    assert "acme-7-1" in client.get("/run", params={**query, "map_index": "{MAP_INDEX}"}).text
    assert "no record" in client.get("/run", params={**query, "map_index": "0"}).text


@pytest.mark.parametrize("run_id", [record().run_id, f"asset_triggered__{record().run_id[11:]}_k2Lq"])
def test_a_run_id_that_airflow_did_not_encode_is_understood(client, log, run_id):
    """Airflow 3.1 inserts it into the address of a tab as it is."""
    log.write(record(run_id=run_id))
    assert "+00:00" in run_id
    query = f"dag_id=loyalty&run_id={run_id}&task_id=upload&map_index={{MAP_INDEX}}"
    assert "acme-7-1" in client.get(f"/run?{query}").text


def test_attributes_are_a_dictionary(client, log):
    old = datetime.now(timezone.utc) - timedelta(days=5)
    log.write(record(sent_at=old, started_at=old, run_id="old", attributes=_attributes(gone=(1, 1), tier=(1, 100))))
    log.write(record())
    log.write(record(dag_id="other", attributes=_attributes(tier=(20, 100))))
    words = text_of(client.get("/attributes"))
    # of the last run of each of two tasks: 100 of 200 rows have a value
    assert re.search(r"tier text 50 % 6 .* loyalty · upload other · upload|other · upload loyalty · upload", words)
    assert re.search(rf"gone text 100 % 6 {old:%Y-%m-%d %H:%M}", words)


def _attributes(**counts):
    return {
        name: {"type": "text", "filled": filled, "rows": rows, "max_length": 6}
        for name, (filled, rows) in counts.items()
    }


@pytest.mark.parametrize(
    ("query", "runs"),
    [
        ({}, "2"),
        ({"days": "90"}, "3"),
        ({"days": "seven"}, "2"),
        ({"account": "globex"}, "1"),
        ({"dag_id": "other"}, "1"),
        ({"run_id": record().run_id}, "2"),
    ],
)
def test_filters_select_runs(client, log, query, runs):
    log.write(record())
    log.write(record(dag_id="other", client_code="globex"))
    log.write(record(run_id="old", started_at=datetime.now(timezone.utc) - timedelta(days=60)))
    assert facts(client.get("/", params=query))["Runs"] == runs


def test_a_long_table_has_pages(client, log):
    for number in range(51):
        log.write(record(run_id=f"run {number}"))
    assert client.get("/").text.count("Details of") == 50
    assert client.get("/", params={"page": "2"}).text.count("Details of") == 1
    assert client.get("/", params={"page": "x"}).status_code == 200


def test_runs_are_downloaded_as_csv(client, log):
    log.write(record(task_id="=cmd()"))
    response = client.get("/runs.csv")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    [row] = csv.DictReader(io.StringIO(response.text))
    assert (row["rows_sent"], row["outcome"], row["task_id"]) == ("100", "partial", "'=cmd()")
    assert json.loads(row["rejected_by_reason"]) == {"missing_id": 10, "duplicate_id": 2}


def test_runs_are_returned_as_json(client, log):
    log.write(record())
    found = client.get("/api/runs").json()
    assert found["total"] == 1
    assert found["runs"][0]["batches"][0]["batch_id"] == "acme-7-1"


def test_a_token_that_expires_soon_is_a_notice(client, log):
    soon = datetime.now(timezone.utc) + timedelta(days=3, hours=1)
    log.write(record(**TOKEN, details={"expires_at": f"{soon:%Y-%m-%dT%H:%M:%SZ}"}))
    words = text_of(client.get("/"))
    assert "The Profile API token of account acme expires in 3 days" in words
    log.write(
        record(**{**TOKEN, "run_id": "later"}, details={"expires_at": "2020-01-01T00:00:00Z"}, client_code="globex")
    )
    assert "The Profile API token of account globex has expired." in text_of(client.get("/"))


# Access


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


# Safety


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


# Without a log


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


def test_an_empty_log_explains_when_a_run_appears(client, log):
    assert "A run appears here as soon as" in text_of(client.get("/"))
    assert "Attributes appear here after the first run" in text_of(client.get("/attributes"))


def test_a_task_without_a_record_has_a_reason(client, log):
    response = client.get("/run", params={"dag_id": "loyalty", "run_id": "r", "task_id": "other"})
    assert "Only tasks with an operator or sensor of this provider" in text_of(response)


# Time


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


@pytest.fixture(scope="module", params=["table", "folder"])
def ten_thousand(request, tmp_path_factory):
    """A database or a folder with 10,000 runs, 360 a day, of 20 attributes and 3 batches each."""
    import sqlite3

    from airflow_provider_adobe_target.sync_log.record import COLUMNS
    from airflow_provider_adobe_target.sync_log.table import ddl

    path = tmp_path_factory.mktemp("many")
    now = datetime.now(timezone.utc)
    attributes = _attributes(**{f"attribute_{number}": (50, 100) for number in range(20)})
    rows = []
    for number in range(10_000):
        started = now - timedelta(minutes=4 * number)
        batches = [{**record().batches[0], "batch_id": f"b-{number}-{file}"} for file in range(3)]
        changes = {"started_at": started, "finished_at": started, "batches": batches, "attributes": attributes}
        rows.append(record(run_id=f"run {number}", dag_id=["loyalty", "other"][number % 2], **changes).to_row())
    if request.param == "folder":
        for number, row in enumerate(rows):
            month = path / "runs" / row["started_at"][:7]
            month.mkdir(parents=True, exist_ok=True)
            (month / f"{number:033}.json").write_text(json.dumps(row))
        return path / "runs"
    with sqlite3.connect(path / "log.db") as connection:
        for statement in ddl():
            connection.execute(statement)
        marks = ", ".join("?" * len(COLUMNS))
        connection.executemany(f"INSERT INTO adobe_target_runs VALUES ({marks})", [list(row.values()) for row in rows])
    connection.close()
    return path / "log.db"


@pytest.fixture
def many_runs(ten_thousand, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LOG_DB", json.dumps({"conn_type": "sqlite", "host": str(ten_thousand)}))
    monkeypatch.setenv("AIRFLOW__ADOBE_TARGET__SYNC_LOG", str(ten_thousand) if ten_thousand.is_dir() else "log_db")


def test_the_ten_thousand_runs_are_all_counted(client, many_runs):
    assert facts(client.get("/", params={"days": "30"}))["Runs"] == "10.0 k"


def test_static_files_are_there(client):
    for name in ("page.css", "page.js", "icon.svg", "icon-dark.svg"):
        assert client.get(f"/static/{name}").status_code == 200
