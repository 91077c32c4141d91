from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_adobe_target.sandbox import Sandbox
from support.real_airflow import RealAirflow, connection


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAirflow]:
    with RealAirflow(tmp_path_factory.mktemp("airflow") / "home").started() as started:
        yield started


@pytest.fixture
def open_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Start sandboxes that are quick and count no calls, unless told otherwise."""
    with ExitStack() as opened:

        def open_one(**settings: Any) -> Sandbox:
            defaults = {"token": "t0ken-of-the-tests", "processing_seconds": 0.2, "calls_per_minute": None}
            return opened.enter_context(Sandbox(**{**defaults, **settings}))

        yield open_one


@pytest.fixture
def sandbox(open_sandbox: Callable[..., Sandbox]) -> Sandbox:
    return open_sandbox()


@pytest.fixture
def run_dag(airflow: RealAirflow, sandbox: Sandbox) -> Callable[..., Any]:
    """Run a DAG whose default connection is the sandbox."""

    def run(source: str, **environment: str) -> Any:
        return airflow.run(source, **{"AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": connection(sandbox), **environment})

    return run


@pytest.fixture
def task(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that makes a task of the sandbox. Its waits are short, and one missing status is final."""
    from airflow_provider_adobe_target.client.endpoints import batch_status
    from airflow_provider_adobe_target.concurrency import clock
    from support.upload_task import FastClock, UploadTask

    monkeypatch.setattr(clock, "SYSTEM", FastClock())
    monkeypatch.setattr(batch_status, "_LOST_ATTEMPTS", 1)
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox))
    return lambda **arguments: UploadTask(tmp_path, **arguments)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return a function that returns the log so far: Airflow's task logger uses standard output, or logging."""
    return lambda: caplog.text + capsys.readouterr().out
