"""Commas and line breaks, against a sandbox that decodes a file before it splits it."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from airflow_provider_adobe_target.operators.adobe_target import (
    AudienceFlagOperator,
    BulkProfileUpdateOperator,
    IdentityLinkOperator,
    SingleProfileUpdateOperator,
)
from airflow_provider_adobe_target.sandbox import Sandbox

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # Airflow 2.11
    from airflow.exceptions import TaskDeferred

RISKY = [
    {"thirdPartyId": "U1", "city": "Paris ,  TX", "note": "two\r\nlines", "tier": "gold"},
    {"thirdPartyId": "U2", "city": ",Ulm\n", "note": "a\rU3,b", "tier": "silver"},
    {"thirdPartyId": "U4", "city": None, "note": "\n", "tier": "gold"},
    {"thirdPartyId": "a,b", "city": "Rome", "note": "", "tier": "gold"},
]
ROWS = [{"thirdPartyId": "U1", "tier": "gold, old"}]
IDENTITIES = [{"thirdPartyId": "U1", "ECID": "12345678901234567890123456789012345678"}]


@pytest.fixture
def sandbox(monkeypatch):
    with Sandbox(processing_seconds=0) as sandbox:
        connection = {"conn_type": "adobe_target", "login": "acme", "host": sandbox.url}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
        yield sandbox


@pytest.fixture
def context():
    pushed = {}
    ti = SimpleNamespace(
        dag_id="dag",
        task_id="task",
        run_id="run",
        map_index=-1,
        try_number=1,
        xcom_push=lambda key, value: pushed.update({key: value}),
        xcom_pull=lambda key, **_: pushed.get(key),
    )
    return {"ti": ti, "run_id": "run"}


def bulk(**arguments):
    return BulkProfileUpdateOperator(task_id="task", poll_interval=0.05, durable=False, **arguments)


@pytest.mark.parametrize("api_version", ["v1", "v2"])
def test_no_value_reaches_another_profile_or_attribute(sandbox, context, api_version):
    for id_ in ("U1", "U2", "U4"):
        sandbox.put_profile(id_, {"seen": "yes"})
    report = bulk(data=RISKY, api_version=api_version).execute(context)
    assert report["values_replaced"] == 5
    assert report["rejected_by_reason"] == {"id_forbidden_character": 1}
    assert report["batches"][0]["batch_size"] == report["rows_sent"] == 3
    profiles = {id_: sandbox.profile(id_) for id_ in ("U1", "U2", "U3", "U4", "lines", "a", "b")}
    written = {id_: {**profile, "seen": "yes"} for id_, profile in profiles.items() if profile}
    assert written == {
        "U1": {"seen": "yes", "city": "Paris TX", "note": "two lines", "tier": "gold"},
        "U2": {"seen": "yes", "city": "Ulm", "note": "a U3 b", "tier": "silver"},
        "U4": {"seen": "yes", "tier": "gold"},
    }


def test_encoded_values_arrive_unchanged_if_split_before_decoding(sandbox, context):
    sandbox.settings.decode_order = "split-then-decode"
    report = bulk(data=[RISKY[0], RISKY[3]], on_risky_value="encode").execute(context)
    assert (report["values_replaced"], report["rows_sent"]) == (0, 2)
    assert sandbox.profile("U1") == {"city": "Paris ,  TX", "note": "two\r\nlines", "tier": "gold"}
    assert sandbox.profile("a,b") == {"city": "Rome", "tier": "gold"}


def test_a_single_update_keeps_commas_and_line_breaks(sandbox, context):
    sandbox.put_profile("a,b", {"seen": "yes"})
    attributes = {"city": "Paris, TX", "note": "two\r\nlines"}
    report = SingleProfileUpdateOperator(task_id="task", profile_id="a,b", attributes=attributes).execute(context)
    assert report["values_replaced"] == 0
    assert sandbox.profile("a,b") == {"seen": "yes", **attributes}


@pytest.mark.parametrize(
    ("operator", "replaced"),
    [
        (lambda: bulk(data=ROWS, dry_run=True), 1),
        (lambda: bulk(data=[]), 0),
        (lambda: bulk(data=ROWS), 1),
        (lambda: bulk(data=ROWS, wait_for_completion=False), 1),
        (lambda: bulk(data=ROWS, guaranteed_upload=True), 1),
        (lambda: bulk(data=ROWS, deferrable=True), 1),
        (
            lambda: AudienceFlagOperator(
                task_id="task",
                data=[{"thirdPartyId": "U1", "audience": "vip"}],
                universe_data=[{"thirdPartyId": "U2"}],
                audiences=["vip"],
                poll_interval=0.05,
                durable=False,
            ),
            0,
        ),
        (lambda: SingleProfileUpdateOperator(task_id="task", profile_id="U1", attributes={"a": "b,c"}), 0),
        (lambda: SingleProfileUpdateOperator(task_id="task", profile_id="U1", attributes={"a": None}), 0),
        (lambda: SingleProfileUpdateOperator(task_id="task", data=ROWS), 0),
        (lambda: SingleProfileUpdateOperator(task_id="task", data=ROWS, dry_run=True), 0),
        (lambda: IdentityLinkOperator(task_id="task", data=IDENTITIES), 0),
        (lambda: IdentityLinkOperator(task_id="task", data=IDENTITIES, dry_run=True), 0),
    ],
    ids=[
        "dry run",
        "no rows",
        "wait",
        "no wait",
        "guaranteed",
        "deferred",
        "audiences",
        "one profile",
        "one empty profile",
        "row updates",
        "dry run of row updates",
        "identity link",
        "dry run of identity link",
    ],
)
def test_every_report_counts_the_values_that_were_replaced(sandbox, context, operator, replaced):
    sandbox.put_profile("U1", {"seen": "yes"})
    task = operator()
    try:
        report = task.execute(context)
    except TaskDeferred as deferred:
        report = task.execute_complete(context, asyncio.run(first_event(deferred.trigger)))
    assert report["values_replaced"] == replaced
    assert json.loads(json.dumps(report)) == report


async def first_event(trigger):
    return (await anext(trigger.run())).payload
