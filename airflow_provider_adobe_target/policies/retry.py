"""Retries for tasks that call Adobe Target, on Airflow 3.3 and later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import AdobeTargetError, AdobeTargetUnavailableError
from airflow_provider_adobe_target.version_compat import AirflowFailException

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError as error:
    raise ImportError(
        "AdobeTargetRetryPolicy needs retry_policy=, which Airflow has from 3.3 on. Leave it out here: operator and "
        "sensor fail a task that no retry can help by themselves. Set retries, and a retry_delay of 65 seconds or more."
    ) from error

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context

_MAX_DELAY = timedelta(days=1)  # as Airflow's own [core] max_task_retry_delay


class AdobeTargetRetryPolicy(RetryPolicy):
    """Retry a task when Adobe Target may be called again, and not where no retry can help.

    Give it to an operator, a sensor or a ``@task`` that uses the hook, as ``retry_policy``, beside ``retries``::

        BulkProfileUpdateOperator(task_id="upload", ..., retries=3, retry_policy=AdobeTargetRetryPolicy())

    - Target asked for patience (429, 503): a retry after as many seconds as it said, else 10 or 65; after a day at
      the latest.
    - It gave no usable answer otherwise: a retry after the task's own ``retry_delay``.
    - It refused, or the outcome, the rows or the connection are no good: no retry.
    - Any other error: as without a policy.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide on a retry; Airflow makes no more of them than the task's ``retries``."""
        if isinstance(exception, AdobeTargetUnavailableError):
            if exception.retry_after is None:
                return RetryDecision.retry(reason="Adobe Target gave no usable answer")
            delay = min(timedelta(seconds=exception.retry_after), _MAX_DELAY)
            return RetryDecision.retry(delay, f"Adobe Target asked for patience: {delay.total_seconds():.0f} seconds")
        if isinstance(exception, (AdobeTargetError, AirflowFailException)):
            return RetryDecision.fail(f"No retry can help after {type(exception).__name__}")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return what Airflow may store of this policy."""
        return {"__type": f"{type(self).__module__}.{type(self).__qualname__}"}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> AdobeTargetRetryPolicy:
        """Build the policy again."""
        return cls()
