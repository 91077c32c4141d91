"""The conversations with Adobe Target, each as one generator that a worker and a triggerer can drive.

See :mod:`airflow_provider_adobe_target.client.protocol` for what a flow yields, and ``transports.run`` and
``transports.arun`` for what drives it.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_adobe_target.client.protocol import Answer, Flow, Request, Response, Send, TransportFailure, Wait
from airflow_provider_adobe_target.client.retry_policy import RetryPolicy, Setback, failure_setback, response_setback
from airflow_provider_adobe_target.exceptions import (
    AdobeTargetUnavailableError,
    BatchTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adobe_target.client.rate_limit.protocols import RateLimit
    from airflow_provider_adobe_target.concurrency.clock import Clock

T = TypeVar("T")
_logger = logging.getLogger(__name__)


def call_target(
    rate_limiter: RateLimit,
    clock: Clock,
    request: Request,
    read: Callable[[Response], T | Setback],
    *,
    policy: RetryPolicy,
    subject: str,
    deadline: float = math.inf,
    setbacks: list[Setback] | None = None,
    setback_of: Callable[[Response, float], Setback | None] = response_setback,
) -> Flow[T]:
    """Send a request within the rate_limiter, as often as another try may better the answer, and read that.

    :param setback_of: says which answers another try may better, by their HTTP status.
    :param setbacks: an empty list, to learn what happened on the way.
    """
    setbacks = [] if setbacks is None else setbacks
    first_setback: float | None = None
    reason = "no call was left in the rate_limiter"
    while True:
        with rate_limiter.permit() as permit:
            while (pause := permit.try_acquire()) > 0:
                yield _wait(pause, clock, deadline, subject, reason)
            answer = yield Send(request)
        outcome = _outcome(answer, read, clock.now(), setback_of)
        if not isinstance(outcome, Setback):
            return outcome
        if outcome.throttled:
            permit.back_off(outcome.wait or 0.0)
        reason = outcome.reason
        setbacks.append(outcome)
        first_setback = clock.monotonic() if first_setback is None else first_setback
        wait = policy.wait(setbacks, clock.monotonic() - first_setback)
        if wait is None:
            raise AdobeTargetUnavailableError(
                f"Target gave no usable answer to {subject} in {len(setbacks)} tries. The last: {reason}. Try later.",
                retry_after=outcome.wait if outcome.throttled else None,
            )
        level = logging.WARNING if len(setbacks) > policy.quiet else logging.DEBUG
        _logger.log(level, "No usable answer to %s: %s. Next try in %.0f seconds.", subject, reason, wait)
        yield _wait(wait, clock, deadline, subject, reason)


def _outcome(
    answer: Answer | None,
    read: Callable[[Response], T | Setback],
    now: float,
    setback_of: Callable[[Response, float], Setback | None],
) -> T | Setback:
    if isinstance(answer, Response):
        return setback_of(answer, now) or read(answer)
    if isinstance(answer, TransportFailure):
        return failure_setback(answer)
    raise TypeError("a flow is to be sent the answer to its request")


def _wait(seconds: float, clock: Clock, deadline: float, subject: str, reason: str) -> Wait:
    if clock.now() + seconds > deadline:
        raise BatchTimeoutError(f"The time for {subject} is over; the last try: {reason}.")
    return Wait(seconds)
