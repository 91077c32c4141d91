from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_adobe_target.client.protocol import BatchBody
from airflow_provider_adobe_target.client.rate_limit import redis_document
from airflow_provider_adobe_target.client.rate_limit.limiter import shared_rate_limiter
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.concurrency import file_lock
from support.clocks import StillClock


@pytest.fixture
def clock(monkeypatch):
    """Return the time of all machines and of the Redis server."""
    clock = StillClock()
    monkeypatch.setattr(redis_document, "seconds", lambda moment: clock.time)
    return clock


@pytest.fixture
def limiter_of(clock, redis, tmp_path, monkeypatch):
    """Return the limiter of another process, on a machine."""

    def make(machine="one", calls_per_minute=50, server=redis):
        monkeypatch.setenv(file_lock.FOLDER_VARIABLE, str(tmp_path / machine))
        settings = TargetSettings.from_fields("acme", None, None, None, {"calls_per_minute": calls_per_minute})
        options = {**server.options, "client_name": machine}
        return shared_rate_limiter(replace(settings, redis=options), clock)

    return make


@pytest.fixture
def body(tmp_path):
    file = tmp_path / "batch"
    file.write_bytes(b"batch=thirdPartyId,tier\nU1,gold")
    return BatchBody(file, file.stat().st_size)
