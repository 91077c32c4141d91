"""The page of attributes."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from support.page_content import text_of
from support.sample_runs import attribute_statistics, record

pytest.importorskip("airflow.api_fastapi", reason="the page needs Airflow 3")


def test_attributes_are_a_dictionary(client, log):
    old = datetime.now(timezone.utc) - timedelta(days=5)
    before = attribute_statistics(gone=(1, 1), tier=(1, 100))
    before["tier"]["max_length"] = 9
    log.write(record(sent_at=old, started_at=old, run_id="old", attributes=before))
    log.write(record())
    log.write(record(dag_id="other", attributes=attribute_statistics(tier=(20, 100))))
    words = text_of(client.get("/attributes"))
    # of the last run of each of two tasks: 100 of 200 rows have a value; of all runs: the longest value
    assert re.search(r"tier text 50 % 9 .* loyalty · upload other · upload|other · upload loyalty · upload", words)
    assert re.search(rf"gone text 100 % 6 {old:%Y-%m-%d %H:%M}", words)


def test_an_empty_log_explains_when_attributes_appear(client, log):
    assert "Attributes appear here after the first run" in text_of(client.get("/attributes"))


def test_statistics_without_a_number_have_its_default(client, log):
    log.write(record(attributes={"tier": {"type": "text", "added_later": {"x": 1}}}))
    assert "tier text 0 % 0" in text_of(client.get("/attributes"))
