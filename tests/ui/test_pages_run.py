"""The page of one task instance."""

from __future__ import annotations

import pytest

from support.page_content import text_of
from support.sample_runs import record

pytest.importorskip("airflow.api_fastapi", reason="the page needs Airflow 3")


def test_one_run_is_shown_in_detail(client, log):
    log.write(record())
    words = text_of(client.get("/run", params={"dag_id": "loyalty", "run_id": record().run_id, "task_id": "upload"}))
    assert "Waited for the budget 1 min 01 s" in words
    assert "acme-7-1 complete 100 12.3 kB 90 6 1 2026-01-31 00:00 3 min 00 s" in words
    assert "/rejects/x.parquet" in words
    assert "tier text 80 % 6" in words


def test_a_run_with_a_ledger_shows_the_profiles_that_it_holds(client, log):
    log.write(record(details={"ledger": {"id_type": "thirdPartyId", "profiles": 12_345}}))
    query = {"dag_id": "loyalty", "run_id": record().run_id, "task_id": "upload"}
    assert "Held in total 12,345" in text_of(client.get("/run", params=query))


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


def test_a_task_without_a_record_has_a_reason(client, log):
    response = client.get("/run", params={"dag_id": "loyalty", "run_id": "r", "task_id": "other"})
    assert "Only tasks with an operator or sensor of this provider" in text_of(response)
