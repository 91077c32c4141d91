from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from airflow_provider_adobe_target.sandbox import Sandbox
from support.sandbox_client import Clock, Target, fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Sandbox, Clock]]:
    clock = Clock()
    with Sandbox(clock=clock) as sandbox:
        yield sandbox, clock


@pytest.fixture
def target(running: tuple[Sandbox, Clock]) -> Target:
    sandbox, clock = running
    sandbox.reset(processing_seconds=0)
    return Target(sandbox, clock)


@pytest.fixture
def sandbox(target: Target) -> Sandbox:
    return target.sandbox


@pytest.fixture
def clock(target: Target) -> Clock:
    return target.clock


@pytest.fixture
def read_fields() -> Callable[[requests.Response], dict[str, str]]:
    return fields
