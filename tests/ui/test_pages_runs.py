"""The page of all runs: sums, filters, table, downloads and tokens."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from support.page_content import facts, text_of
from support.sample_runs import record

pytest.importorskip("airflow.api_fastapi", reason="the page needs Airflow 3")

TOKEN = {"operator": "ProfileTokenSensor", "task_id": "token", "rows_sent": None, "rejected_by_reason": {}}


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


def test_the_profiles_of_each_ledger_are_those_of_its_latest_run(client, log):
    now = datetime.now(timezone.utc)
    for hours, profiles in ((3, 10), (1, 12_345), (2, 11)):
        details = {"ledger": {"id_type": "thirdPartyId", "profiles": profiles}}
        log.write(record(run_id=f"{hours}", started_at=now - timedelta(hours=hours), details=details))
    sensor = {"task_id": "landed", "operator": "BatchStatusSensor", "rows_sent": None, "id_type": None}
    log.write(record(**sensor, client_code="globex", details={"ledger": {"id_type": "pcId", "profiles": 7}}))
    held = re.findall(r"Held in total: (\S+) profiles of (\w+, \w+)", text_of(client.get("/")))
    assert held == [("12,345", "acme, thirdPartyId"), ("7", "globex, pcId")]
    assert "globex, pcId" not in text_of(client.get("/", params={"account": "acme"}))


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


def test_an_empty_log_explains_when_a_run_appears(client, log):
    assert "A run appears here as soon as" in text_of(client.get("/"))
