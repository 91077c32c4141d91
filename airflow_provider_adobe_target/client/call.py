"""The flow of one API call: rate limiting, retries and the deadline.

See :mod:`airflow_provider_adobe_target.client.protocol` for flows. ``transports.requests.run`` and
``transports.httpx.arun`` drive them.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
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
)
from airflow_provider_adobe_target.exceptions import AdobeTargetUnavailableError, BatchTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adobe_target.client.rate_limit.interfaces import RateLimit
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

T = TypeVar("T")
_MIN_CALL_SECONDS = 60.0  # minimum duration that is allowed for a call that starts close to the deadline
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CallContext:
    """The connection, rate limiter and clock that a flow uses.

    :param settings: Connection settings.
    :param rate_limiter: Rate limiter of the calls.
    :param clock: Clock.
    """

    settings: TargetSettings
    rate_limiter: RateLimit
    clock: Clock


def call_with_retry(
    context: CallContext,
    request: Request,
    read: Callable[[Response], T | FailedAttempt],
    *,
    policy: RetryPolicy,
    subject: str,
    deadline: float = math.inf,
    failed_attempts: list[FailedAttempt] | None = None,
) -> Flow[T]:
    """Send a request within the rate limit, retry it as the policy allows, and return the parsed response.

    :param context: Rate limiter and clock of the call.
    :param request: Request to send.
    :param read: Function that parses a response, or returns a failed attempt if a retry may help.
    :param policy: Retry policy.
    :param subject: Description of the request, for messages.
    :param deadline: Time in seconds since the epoch after which no wait may end. A call may end up to a minute later.
    :param failed_attempts: Empty list that receives the failed attempts.
    :raises AdobeTargetUnavailableError: If the policy allows no further attempt.
    :raises BatchTimeoutError: If the next wait would end after the deadline.
    """
    clock = context.clock
    failed_attempts = [] if failed_attempts is None else failed_attempts
    first_failure: float | None = None
    reason = "the limit of calls per minute was reached"
    while True:
        with context.rate_limiter.permit() as permit:
            while (pause := permit.try_acquire()) > 0:
                yield wait_within(pause, clock, deadline, subject, reason)
            remaining = max(_MIN_CALL_SECONDS, deadline - clock.now())
            answer = yield Send(replace(request, remaining_seconds=remaining))
        outcome = _outcome(answer, read, clock.now(), policy)
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
                f"{reason[:1].upper()}{reason[1:]}. Target returned no usable response to {subject} in "
                f"{len(failed_attempts)} attempts. Retry later.",
                retry_after=outcome.wait if outcome.throttled else None,
            )
        level = logging.WARNING if len(failed_attempts) > policy.silent_attempts else logging.DEBUG
        log.log(level, "No usable response to %s: %s. Next attempt in %.0f seconds.", subject, reason, wait)
        yield wait_within(wait, clock, deadline, subject, reason)


def _outcome(
    answer: SendResult | None,
    read: Callable[[Response], T | FailedAttempt],
    now: float,
    policy: RetryPolicy,
) -> T | FailedAttempt:
    if isinstance(answer, Response):
        return policy.classify(answer, now) or read(answer)
    if isinstance(answer, TransportFailure):
        return attempt_from_failure(answer)
    raise TypeError("a flow must be resumed with the result of its request")


def wait_within(seconds: float, clock: Clock, deadline: float, subject: str, reason: str) -> Wait:
    """Return a :class:`Wait` that ends by the deadline.

    :param seconds: Duration in seconds.
    :param clock: Clock.
    :param deadline: Deadline in seconds since the epoch.
    :param subject: Description of the request, for the message.
    :param reason: Reason for the wait, for the message.
    :raises BatchTimeoutError: If it would end after the deadline.
    """
    if clock.now() + seconds > deadline:
        raise BatchTimeoutError(f"The next attempt for {subject} would be after the deadline. Last attempt: {reason}.")
    return Wait(seconds)
