from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
