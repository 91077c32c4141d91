"""Responses that arrive a byte at a time, under the default timeouts, and tasks that Airflow ends at the same time."""

from __future__ import annotations

import signal
import threading
import time
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_adobe_target.client import call_deadline
from airflow_provider_adobe_target.operators.adobe_target import (
    BulkProfileUpdateOperator,
    IdentityLinkOperator,
    SingleProfileUpdateOperator,
)
from airflow_provider_adobe_target.sandbox import Answer
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor
from support.real_airflow import connection

ROWS = [{"thirdPartyId": f"U{number}", "tier": "gold"} for number in range(3)]
PEOPLE = [{"thirdPartyId": f"U{number}", "pcId": f"{number}.35_0"} for number in range(3)]
SLOW = Answer(200, "<response><success>true</success><status>incomplete</status></response>", drip=1)


def upload(_):
    return BulkProfileUpdateOperator(task_id="task", data=ROWS, max_rows_per_file=1, deferrable=False)


def wait(sandbox):
    url = f"{sandbox.url}/m2/acme/profile/batchStatus?batchId=acme-1-1"
    return BatchStatusSensor(task_id="task", batches=[url], deferrable=False)


def update_rows(_):
    return SingleProfileUpdateOperator(task_id="task", data=ROWS, if_not_found="send")


def update(_):
    return SingleProfileUpdateOperator(task_id="task", profile_id="U1", attributes={"a": "b"}, if_not_found="send")


def link(_):
    return IdentityLinkOperator(task_id="task", data=PEOPLE)


@pytest.fixture
def _execution_timeout(monkeypatch):
    """Raise Airflow's exception in this thread after a second, as Airflow does, and interrupt calls soon after."""

    def end(*_):
        raise AirflowTaskTimeout("execution_timeout")

    monkeypatch.setattr(call_deadline, "_INTERRUPTED_CALL_SECONDS", 0.5)
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_execution_timeout")
@pytest.mark.parametrize(
    ("make", "route"),
    [
        (upload, "submit"),
        (upload, "status"),
        (wait, "status"),
        (update_rows, "single"),
        (update, "single"),
        (link, "delivery"),
    ],
)
def test_execution_timeout_ends_a_call_whose_response_is_slow(sandbox, monkeypatch, make, route):
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox))
    sandbox.script(route, *[SLOW] * 9)
    started = time.monotonic()
    with pytest.raises(AirflowTaskTimeout):
        make(sandbox).execute({"ti": SimpleNamespace(xcom_push=lambda **_: None)})
    assert time.monotonic() - started < 10
    names = {thread.name for thread in threading.enumerate()}
    assert not [name for name in names if name.startswith("adobe-target-") and name != "adobe-target-sandbox"]
