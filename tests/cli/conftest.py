"""The command line against a sandbox: in the process of the test, or in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest

from airflow_provider_adobe_target.cli.main import main
from airflow_provider_adobe_target.sandbox import Sandbox

COMMAND = [sys.executable, "-m", "airflow_provider_adobe_target.cli"]


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one object on standard output."""
        return json.loads(self.out)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(token="secret-token", processing_seconds=0, calls_per_minute=None) as running:
        yield running


@pytest.fixture
def environment(sandbox, monkeypatch):
    """The environment of the commands: the connection to the sandbox, and no Airflow connection."""
    monkeypatch.setenv("ADOBE_TARGET_CLIENT_CODE", "acme")
    monkeypatch.setenv("ADOBE_TARGET_TOKEN", "secret-token")
    monkeypatch.setenv("ADOBE_TARGET_HOST", sandbox.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("ADOBE_TARGET_SQL_URL", raising=False)
    return monkeypatch


@pytest.fixture
def run(environment):
    """Run a command in a process of its own, with pipes. Use ``call`` where the process makes no difference."""

    def run_command(*arguments, stdin=None, code=None, cwd=None):
        answer = subprocess.run(
            [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=120, cwd=cwd
        )
        outcome = Outcome(answer.returncode, answer.stdout.decode(), answer.stderr.decode())
        assert "Traceback" not in outcome.err
        assert code is None or outcome.code == code, outcome
        return outcome

    return run_command


@pytest.fixture
def call(environment, capfd):
    """Run a command in this process, which is faster."""
    handler = signal.getsignal(signal.SIGTERM)

    def call_command(*arguments, code=None, cwd=None):
        if cwd:
            environment.chdir(cwd)
        capfd.readouterr()
        ended = main(list(map(str, arguments)))
        outcome = Outcome(ended, *capfd.readouterr())
        assert "Traceback" not in outcome.err
        assert code is None or outcome.code == code, outcome
        return outcome

    yield call_command
    signal.signal(signal.SIGTERM, handler)
    logging.getLogger("airflow_provider_adobe_target").handlers.clear()
    logging.getLogger("airflow_provider_adobe_target").propagate = True
    logging.getLogger("airflow_provider_adobe_target").setLevel(logging.NOTSET)


@pytest.fixture
def start(environment):
    """Start a command, and end it if the test does not."""
    started = []

    def start_command(*arguments, **options):
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ.copy(),
            **options,
        )
        started.append(process)
        return process

    yield start_command
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
