"""The client session, against the sandbox."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from airflow_provider_adobe_target.client.protocol import BatchBody
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.client.session import Session
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.transports.requests import RequestsTransport
from airflow_provider_adobe_target.concurrency.clock import SystemClock
from airflow_provider_adobe_target.sandbox import Sandbox

BODY = b"batch=thirdPartyId,tier\nU1,gold\n"


@pytest.fixture
def sandbox():
    with Sandbox(processing_seconds=0, calls_per_minute=None) as sandbox:
        yield sandbox


@pytest.fixture
def session(sandbox):
    return Session(TargetSettings.from_fields("acme", None, sandbox.url, None, {"calls_per_minute": 50}))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "batch"
    path.write_bytes(BODY)
    return BatchBody(path, len(BODY), 1, "ab" * 32)


@pytest.fixture
def opened(monkeypatch):
    """Return the transports that were opened, and whether they are closed."""
    transports = []
    create, close = RequestsTransport.__init__, RequestsTransport.close

    def created(transport, settings):
        create(transport, settings)
        transports.append([transport, False])

    def closed(transport):
        close(transport)
        next(entry for entry in transports if entry[0] is transport)[1] = True

    monkeypatch.setattr(RequestsTransport, "__init__", created)
    monkeypatch.setattr(RequestsTransport, "close", closed)
    return transports


def test_a_submitted_batch_has_the_fields_of_its_file(session, file):
    batch = session.submit(file)
    assert (batch.rows, batch.bytes, batch.sha256, batch.status) == (1, len(BODY), "ab" * 32, "submitted")
    assert batch.submitted_at.endswith("Z")
    [final] = session.wait([batch], 0.01, math.inf)
    assert (final.batch_id, final.status, final.successful_updates) == (batch.batch_id, "complete", 1)
    assert session.status(batch) == final


def test_the_async_wait_has_the_same_result(session, file):
    batches = [session.submit(file)]
    finals = []
    result = asyncio.run(session.wait_async(batches, 0.01, math.inf, lambda index, batch: finals.append(index)))
    assert [batch.status for batch in result] == ["complete"]
    assert finals == [0]


def test_profiles_are_looked_up_and_updated(session, file):
    session.wait([session.submit(file)], 0.01, math.inf)
    session.update_profile("U1", "thirdPartyId", {"tier": "platinum"})
    assert session.fetch_profile("U1", "thirdPartyId").values["tier"] == "platinum"
    assert session.fetch_profile("U2", "thirdPartyId") is None


def test_each_call_opens_and_closes_a_connection(session, file, opened):
    session.submit(file)
    session.submit(file)
    assert [is_closed for _, is_closed in opened] == [True, True]


def test_a_context_manager_keeps_its_connection(session, file, opened):
    with session:
        session.submit(file)
        session.submit(file)
        assert [is_closed for _, is_closed in opened] == [False]
    assert [is_closed for _, is_closed in opened] == [True]


def test_a_replaced_session_has_its_own_connection_and_the_same_limits(session, opened):
    clock = SystemClock()
    with session, session.replace(clock=clock) as other:
        assert other.clock is clock
        assert other.limits is session.limits
        assert other.settings is session.settings
        assert len(opened) == 2


def test_threads_share_the_rate_limit(session, file, sandbox):
    session = session.replace(limits=replace(session.limits, calls=RateLimiter(3, session.clock)))
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: session.submit(file), range(3)))
    assert len(sandbox.batches) == 3
    with session.limits.calls.permit() as permit:
        assert permit.try_acquire() > 0


def test_importing_the_session_imports_no_http_library():
    program = (
        "import sys, airflow_provider_adobe_target.client.session; "
        "print({'requests', 'httpx', 'airflow', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr
