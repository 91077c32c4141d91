"""One rate limit in Redis for four processes on two machines: 30 simulated minutes in half a minute."""

# ruff: noqa: T201 - prints the figures

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_adobe_target.client.protocol import BatchBody
from support.limited_processes import fast_sandbox, fast_time, sending_processes

MINUTES, CALLS_PER_MINUTE = 30, 50


@pytest.fixture
def body(tmp_path):
    file = tmp_path / "batch"
    file.write_bytes(b"batch=thirdPartyId,tier\nU1,gold")
    return BatchBody(file, file.stat().st_size)


def test_four_processes_use_the_budget_of_thirty_minutes_and_are_never_refused(redis, body, tmp_path):
    with fast_sandbox() as sandbox, sending_processes(sandbox, redis, body, tmp_path, MINUTES) as processes:
        end = fast_time() + MINUTES * 60
        assert [process.wait(300) for process in processes] == [0, 0, 0, 0]
        statuses = Counter(call.status for call in sandbox.calls)
        share = sum(call.at < end for call in sandbox.calls) / (MINUTES * CALLS_PER_MINUTE)
    print(f"{statuses.total():,} calls, {statuses[503]} of them refused; {share:.1%} of the budget used.")
    assert statuses == {200: statuses.total()}
    assert share > 0.9
