"""The conversations with Adobe Target, each as one generator that a worker and a triggerer can drive.

See :mod:`airflow_provider_adobe_target.client.protocol` for what a flow yields, and ``transports.run`` and
``transports.arun`` for what drives it.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_adobe_target.client.protocol import (
    Flow,
    Request,
    Response,
    Send,
    SendResult,
    TransportFailure,
    Wait,
)
from airflow_provider_adobe_target.client.retry_policy import (
    FailedAttempt,
    RetryPolicy,
    attempt_from_failure,
    attempt_from_response,
)
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetUnavailableError,
    BatchTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adobe_target.client.rate_limit.protocols import RateLimit
    from airflow_provider_adobe_target.concurrency.clock import Clock

T = TypeVar("T")
log = logging.getLogger(__name__)


def call_with_retry(
    rate_limiter: RateLimit,
    clock: Clock,
    request: Request,
    read: Callable[[Response], T | FailedAttempt],
    *,
    policy: RetryPolicy,
    subject: str,
    deadline: float = math.inf,
    failed_attempts: list[FailedAttempt] | None = None,
    classify: Callable[[Response, float], FailedAttempt | None] = attempt_from_response,
) -> Flow[T]:
    """Send a request within the rate_limiter, as often as another try may better the answer, and read that.

    :param classify: says which answers another try may better, by their HTTP status.
    :param failed_attempts: an empty list, to learn what happened on the way.
    """
    failed_attempts = [] if failed_attempts is None else failed_attempts
    first_failure: float | None = None
    reason = "no call was left in the rate_limiter"
    while True:
        with rate_limiter.permit() as permit:
            while (pause := permit.try_acquire()) > 0:
                yield wait_within(pause, clock, deadline, subject, reason)
            answer = yield Send(request)
        outcome = _outcome(answer, read, clock.now(), classify)
        if not isinstance(outcome, FailedAttempt):
            return outcome
        if outcome.throttled:
            permit.back_off(outcome.wait or 0.0)
        reason = outcome.reason
        failed_attempts.append(outcome)
        first_failure = clock.monotonic() if first_failure is None else first_failure
        wait = policy.wait(failed_attempts, clock.monotonic() - first_failure)
        if wait is None:
            raise AdobeTargetUnavailableError(
                f"Target gave no usable answer to {subject} in {len(failed_attempts)} tries. The last: {reason}. "
                "Try later.",
                retry_after=outcome.wait if outcome.throttled else None,
            )
        level = logging.WARNING if len(failed_attempts) > policy.silent_attempts else logging.DEBUG
        log.log(level, "No usable answer to %s: %s. Next try in %.0f seconds.", subject, reason, wait)
        yield wait_within(wait, clock, deadline, subject, reason)


def _outcome(
    answer: SendResult | None,
    read: Callable[[Response], T | FailedAttempt],
    now: float,
    classify: Callable[[Response, float], FailedAttempt | None],
) -> T | FailedAttempt:
    if isinstance(answer, Response):
        return classify(answer, now) or read(answer)
    if isinstance(answer, TransportFailure):
        return attempt_from_failure(answer)
    raise TypeError("a flow is to be sent the answer to its request")


def wait_within(seconds: float, clock: Clock, deadline: float, subject: str, reason: str) -> Wait:
    """Return a wait that ends by the deadline.

    :raises BatchTimeoutError: where it would end later.
    """
    if clock.now() + seconds > deadline:
        raise BatchTimeoutError(f"The time for {subject} is over; the last try: {reason}.")
    return Wait(seconds)
