"""Retry policy for tasks that call Adobe Target (Airflow 3.3 and later)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import AdobeTargetError, AdobeTargetUnavailableError
from airflow_provider_adobe_target.version_compat import AirflowFailException

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError as error:
    raise ImportError(
        "AdobeTargetRetryPolicy requires Airflow 3.3 or later. Remove it: operators and sensors do not retry permanent "
        "errors in any case. Set retries, and a retry_delay of at least 65 seconds."
    ) from error

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context

_MAX_DELAY = timedelta(days=1)  # the default of Airflow's [core] max_task_retry_delay


class AdobeTargetRetryPolicy(RetryPolicy):
    """Retry temporary failures of Adobe Target after the required delay, and fail permanent ones immediately.

    Set it as ``retry_policy``, together with ``retries``, on an operator, a sensor or a ``@task`` that uses the hook::

        BulkProfileUpdateOperator(task_id="upload", ..., retries=3, retry_policy=AdobeTargetRetryPolicy())

    - Target throttled a request (429, 503): retry after the seconds in ``Retry-After``, by default 10 or 65 seconds,
      and at most one day.
    - Target returned no usable response: retry after the task's ``retry_delay``.
    - Target refused a request, or the outcome, the rows or the connection are invalid: no retry.
    - Any other error: Airflow's default behavior.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Return the retry decision. Airflow limits the number of retries to the task's ``retries``."""
        if isinstance(exception, AdobeTargetUnavailableError):
            if exception.retry_after is None:
                return RetryDecision.retry(reason="Adobe Target returned no usable response")
            delay = min(timedelta(seconds=exception.retry_after), _MAX_DELAY)
            return RetryDecision.retry(
                delay, f"Adobe Target throttled the request; retry after {delay.total_seconds():.0f} seconds"
            )
        if isinstance(exception, (AdobeTargetError, AirflowFailException)):
            return RetryDecision.fail(f"{type(exception).__name__} is permanent; a retry cannot succeed")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the serialized form of this policy."""
        return {"__type": f"{type(self).__module__}.{type(self).__qualname__}"}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> AdobeTargetRetryPolicy:
        """Return a policy from its serialized form."""
        return cls()
