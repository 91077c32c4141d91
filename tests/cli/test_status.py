"""``adobe-target status``."""

from __future__ import annotations

import json
import signal
import time

import pytest

from airflow_provider_adobe_target.client.protocol import BatchBody
from airflow_provider_adobe_target.client.session import Session
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.sandbox import Sandbox


@pytest.fixture
def submit(environment, tmp_path):
    """Start a sandbox, submit a batch of two rows, and return its status URL."""
    running = []

    def submit_to(**settings):
        sandbox = Sandbox(token="secret-token", calls_per_minute=None, **settings)
        running.append(sandbox)
        sandbox.__enter__()
        environment.setenv("ADOBE_TARGET_HOST", sandbox.url)
        body = b"batch=thirdPartyId,tier\nU1,gold\nU2,gold"
        (tmp_path / "batch").write_bytes(body)
        session = Session(TargetSettings.from_fields("acme", "secret-token", sandbox.url, None, None))
        return session.submit(BatchBody(tmp_path / "batch", len(body), 2, "")).status_url

    submit_to.running = running
    yield submit_to
    for sandbox in running:
        sandbox.__exit__(None, None, None)


def test_a_complete_batch_ends_with_exit_code_0(call, submit):
    url = submit(processing_seconds=0)
    outcome = call("status", url, code=0)
    assert outcome.out.split()[2:] == [
        *("status", "complete", "batch_size", "2", "consumed_count", "2", "successful_updates", "2"),
        *("profiles_not_found", "0", "failed_updates", "0"),
    ]
    result = call("status", url, "--json", code=0).json
    assert (result["status"], result["successful_updates"], result["problem"]) == ("complete", 2, None)


def test_wait_polls_until_the_batch_is_final(call, submit):
    url = submit(processing_seconds=1)
    assert call("status", url, "--json", code=0).json["status"] == "incomplete"
    assert call("status", url, "--json", "--wait", "--poll-interval", 0.3, code=0).json["status"] == "complete"


def test_a_stuck_batch_ends_with_exit_code_1(call, submit):
    outcome = call("status", submit(processing_seconds=0, final_status="stuck"), "--json", code=1)
    assert outcome.json["status"] == "stuck"
    assert "is stuck" in outcome.json["problem"]


def test_a_timeout_ends_with_exit_code_1(call, submit):
    url = submit(processing_seconds=3600)
    outcome = call("status", url, "--json", "--wait", "--poll-interval", 0.2, "--timeout", 0.5, code=1)
    assert outcome.json["error_type"] == "BatchTimeoutError"


@pytest.mark.parametrize("url", ["http://127.0.0.2/status?batchId=1", "not a URL", "http://user@127.0.0.1/?batchId=1"])
def test_a_url_of_another_host_is_a_wrong_argument(call, sandbox, url):
    calls = len(sandbox.calls)
    outcome = call("status", url, "--json", code=2)
    assert outcome.json["error_type"] == "BadParameter"
    assert len(sandbox.calls) == calls


def test_ctrl_c_ends_the_wait(start, submit):
    url = submit(processing_seconds=3600)
    [sandbox] = submit.running
    submitted = len(sandbox.calls)
    process = start("status", url, "--wait", "--poll-interval", 1)
    deadline = time.monotonic() + 60
    while len(sandbox.calls) == submitted:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (130, "", "Interrupted.")


def test_json_is_one_line(call, submit):
    out = call("status", submit(processing_seconds=0), "--json").out
    assert out.count("\n") == 1
    assert isinstance(json.loads(out), dict)
