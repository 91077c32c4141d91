from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest
from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_adobe_target import exceptions
from airflow_provider_adobe_target.exceptions import AdobeTargetUnavailableError

HAS_POLICIES = tuple(map(int, airflow_version.split(".")[:2])) >= (3, 3)
needs_policies = pytest.mark.skipif(not HAS_POLICIES, reason="Airflow has retry_policy from 3.3 on")


@pytest.fixture
def decide():
    from airflow_provider_adobe_target.policies.retry import AdobeTargetRetryPolicy

    return lambda error: AdobeTargetRetryPolicy().evaluate(error, 1, 3)


@pytest.mark.skipif(HAS_POLICIES, reason="Airflow has retry_policy from 3.3 on")
def test_before_airflow_3_3_the_import_error_has_a_hint():
    program = "import airflow_provider_adobe_target.policies.retry"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ImportError: AdobeTargetRetryPolicy requires Airflow 3.3" in run.stderr
    assert "retry_delay" in run.stderr


@needs_policies
class TestDecision:
    @pytest.mark.parametrize(
        ("asked", "delay"),
        [(65.0, timedelta(seconds=65)), (7, timedelta(seconds=7)), (1e12, timedelta(days=1)), (None, None)],
    )
    def test_a_retry_waits_as_long_as_retry_after(self, decide, asked, delay):
        decision = decide(AdobeTargetUnavailableError("no", retry_after=asked))
        assert (decision.action.value, decision.retry_delay) == ("retry", delay)

    @pytest.mark.parametrize(
        "error",
        [
            AirflowFailException("no"),
            *(
                kind("no")
                for kind in vars(exceptions).values()
                if isinstance(kind, type)
                and issubclass(kind, exceptions.AdobeTargetError)
                and kind is not AdobeTargetUnavailableError
            ),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_no_retry_can_help_is_not_retried(self, decide, error):
        assert decide(error).action.value == "fail"

    def test_other_errors_keep_the_retries_of_the_task(self, decide):
        assert decide(OSError("disk full")).action.value == "default"
