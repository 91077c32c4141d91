"""Two runs of one task that are in progress together."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_adobe_target.client.settings import account_digest
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.concurrency.run_lock import run_lock
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from support.real_airflow import connection


class QuickClock(clock.SystemClock):
    def sleep(self, seconds):
        super().sleep(min(seconds, 0.02))


@pytest.fixture(autouse=True)
def _quick(sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox))
    monkeypatch.setattr(clock, "SYSTEM", QuickClock())


def operator(max_active_runs=1, **arguments):
    with DAG("loyalty", schedule=None, start_date=datetime(2026, 1, 1), max_active_runs=max_active_runs):
        return BulkProfileUpdateOperator(
            task_id="upload", data=[{"thirdPartyId": "U1", "tier": "gold"}], deferrable=False, **arguments
        )


def context(run_id):
    return {"run_id": run_id, "ti": SimpleNamespace(xcom_push=lambda **_: None)}


def run(run_id, how_to_wait=None):
    settings = AdobeTargetHook().settings
    return run_lock(
        account_digest(settings), dag_id="loyalty", task_id="upload", run_id=run_id, clock=how_to_wait or clock.SYSTEM
    )


def test_a_run_sends_nothing_before_another_has_ended(sandbox):
    other, ended = run("monday"), []
    other.__enter__()

    def end():
        ended.append(time.time())
        other.__exit__(None, None, None)

    threading.Timer(0.5, end).start()
    operator().execute(context("tuesday"))
    assert sandbox.calls[0].at >= ended[0]


def test_a_run_has_not_ended_while_it_waits_for_its_batches(sandbox, monkeypatch):
    sandbox.settings.processing_seconds = 0.3
    pauses = []

    class WaitedError(Exception):
        pass

    class ImpatientClock(clock.SystemClock):
        def sleep(self, seconds):
            raise WaitedError

    class WatchingClock(QuickClock):
        def sleep(self, seconds):
            with pytest.raises(WaitedError), run("tuesday", ImpatientClock()):
                pass
            pauses.append(seconds)
            super().sleep(seconds)

    monkeypatch.setattr(clock, "SYSTEM", WatchingClock())
    operator().execute(context("monday"))
    assert pauses
    with run("tuesday", ImpatientClock()):
        pass


def test_a_mapped_task_of_the_same_run_does_not_wait(sandbox):
    with run("monday"):
        operator().execute(context("monday"))
    assert len(sandbox.batches) == 1


def test_a_dry_run_does_not_wait(sandbox):
    with run("monday"):
        assert operator(dry_run=True).execute(context("tuesday"))["rows_sent"] == 1
    assert sandbox.calls == []


@pytest.mark.parametrize(
    ("arguments", "is_warned"),
    [
        ({"max_active_runs": 16}, True),
        ({"max_active_runs": 1}, False),
        ({"max_active_runs": 16, "max_active_tis_per_dag": 1}, False),
        ({"max_active_runs": 16, "dry_run": True}, False),
    ],
)
def test_a_dag_with_overlapping_runs_gets_a_warning(arguments, is_warned, monkeypatch):
    task, warned = operator(**arguments), []
    log = SimpleNamespace(info=lambda *_: None, warning=lambda text, *values: warned.append(text % values))
    monkeypatch.setattr(BulkProfileUpdateOperator, "log", log)
    task.execute(context("monday"))
    said = [text for text in warned if "max_active_runs=1" in text]
    assert len(said) == is_warned
    assert all("loyalty" in text for text in said)
