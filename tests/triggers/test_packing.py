"""What a deferred task keeps in Airflow's database."""

from __future__ import annotations

import asyncio
import json

import pytest
from airflow.serialization.serialized_objects import BaseSerialization
from cryptography.fernet import Fernet

from airflow_provider_adobe_target.client.batch import Batch, BatchStatus
from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.triggers.adobe_target import BatchStatusTrigger, batches_of_event
from airflow_provider_adobe_target.triggers.packing import pack_statuses, pack_urls, unpack_urls, with_statuses

MYSQL_TEXT = 65_535
URL = "https://mboxedge{edge}.tt.omtrdc.net/m2/{client}/profile/batchStatus?batchId={client}-{at}-{number}"


def batches(count, client="acme", edges=1):
    urls = (
        URL.format(
            edge=30 + number % edges, client=client, at=1_800_000_000_000 + 997 * number, number=13_029_383 + number
        )
        for number in range(count)
    )
    return [
        Batch(
            batch_id=url.rpartition("=")[2],
            status_url=url,
            rows=50_000,
            bytes=4_900_000,
            sha256="ab" * 32,
            submitted_at="2026-01-01T00:00:00Z",
        )
        for url in urls
    ]


@pytest.mark.parametrize(("client", "edges"), [("acme", 1), ("a" * 40, 5)])
def test_a_thousand_files_fit_into_the_arguments_and_the_event(client, edges):
    known = batches(1_000, client, edges)
    report = {"client_code": client, "rejected_by_reason": {"missing_id": 10**6}, "rows_read": 5 * 10**7}
    trigger = BatchStatusTrigger(
        adobe_target_conn_id="adobe", batches=pack_urls(known), poll_interval=60, deadline=2e9, report=report
    )
    arguments = json.dumps(BaseSerialization.serialize(trigger.serialize()[1]))
    assert len(Fernet(Fernet.generate_key()).encrypt(arguments.encode())) < MYSQL_TEXT
    status = BatchStatus("complete", 50_000, 50_000, 49_000, 500, 500, 500)
    done = [batch.with_status(status) for batch in known]
    event = {"event": {"statuses": pack_statuses(done), "report": report}, "is_execution_timeout": False}
    assert len(json.dumps(BaseSerialization.serialize(event))) < MYSQL_TEXT
    assert batches_of_event(event["event"], lambda: known) == done


@pytest.mark.parametrize(
    "url",
    [
        "https://e.tt.omtrdc.net/m2/acme/v2/profile/batchStatus?batchId=acme-1-2&m2Node=00",
        "https://e.tt.omtrdc.net/m2/acme/profile/batchStatus?m2Node=00&batchId=acme%2D1",
        "https://e/status",
        "http://127.0.0.1:8080/x?batchId=",
        "https://e/a b?batchId=c d-1",
    ],
)
def test_every_status_url_is_the_same_after_packing(url):
    known = [*batches(2), Batch.from_status_url(url)]
    packed = json.loads(json.dumps(pack_urls(known)))
    assert [batch.status_url for batch in unpack_urls(packed)] == [batch.status_url for batch in known]


@pytest.mark.parametrize(
    "status",
    [
        BatchStatus("complete"),
        BatchStatus("stuck", 1, 2, 3, 4, 5, 6),
        BatchStatus("status_lost"),
        BatchStatus("complete", None, 0, None, 7, 0, 1),
    ],
)
def test_every_status_is_the_same_after_packing(status):
    [batch] = batches(1)
    done = batch.with_status(status)
    assert with_statuses([batch], json.loads(json.dumps(pack_statuses([done])))) == [done]


def test_a_batch_that_is_not_final_keeps_what_is_known():
    known = batches(2)
    assert with_statuses(known, pack_statuses([known[0], known[1].with_status(BatchStatus("incomplete"))])) == known


def test_statuses_of_other_batches_are_refused():
    with pytest.raises(AdobeTargetError, match="1 batches were waited for in the triggerer, and 2 are known"):
        batches_of_event({"statuses": ["0,0,0,0,0,0,complete"]}, lambda: batches(2))


def test_a_trigger_of_an_earlier_version_answers_as_it_did():
    done = [batch.with_status(BatchStatus("complete", 1)) for batch in batches(2)]
    entries = [batch.to_event() for batch in done]
    trigger = BatchStatusTrigger(
        adobe_target_conn_id="adobe_target_default", batches=entries, poll_interval=1, deadline=0, report={"a": 1}
    )

    async def first():
        return await anext(trigger.run())

    trigger._wait = _nothing
    event = asyncio.run(first()).payload
    assert event == {"batches": entries, "report": {"a": 1}}
    assert batches_of_event(event, list) == done


async def _nothing(batches):
    """Wait for no batch: all are final."""
