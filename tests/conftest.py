"""Fixtures of all tests. ``HYPOTHESIS_PROFILE=long`` tries a hundred times as many examples."""

import os
import uuid

import pytest
from hypothesis import HealthCheck, settings

from airflow_provider_adobe_target.client.rate_limit import limiter
from airflow_provider_adobe_target.concurrency import file_lock
from support.redis_server import redis, redis_server  # noqa: F401  # fixtures

CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("suite", deadline=None, max_examples=100, suppress_health_check=CHECKS)
settings.register_profile("long", settings.get_profile("suite"), max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(autouse=True)
def shared_folder(monkeypatch, tmp_path_factory):
    """Give each test, and the processes that it starts, shared files of its own."""
    folder = tmp_path_factory.getbasetemp() / f"shared-{uuid.uuid4().hex}"
    monkeypatch.setenv(file_lock.FOLDER_VARIABLE, str(folder))
    limiter._warned.clear()
    return folder


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
