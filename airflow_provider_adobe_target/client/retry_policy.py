"""Retry policies: which failures are retried, and the back-off between attempts.

Sources: Adobe's limits page (HTTP 503 after more than 50 calls per minute; immediate retries prolong it), and public
client code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_adobe_target.client.protocol import Response, TransportFailure

_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class FailedAttempt:
    """A failed attempt that may be retried.

    :param reason: Description of the failure.
    :param wait: Seconds to wait, from ``Retry-After`` or the default of the HTTP status. None for exponential back-off.
    :param throttled: Whether Target throttled the call (429, 503). Such attempts are limited by time, not by number.
    :param maybe_accepted: Whether Target may have processed the request: the whole body was sent, and no response or
        only a gateway error (502, 504) was received.
    """

    reason: str
    wait: float | None = None
    throttled: bool = False
    maybe_accepted: bool = False


_GATEWAY_ERRORS = (502, 504)
_DEFAULT_WAITS = {429: 10.0, 503: 65.0}


def attempt_from_failure(failure: TransportFailure) -> FailedAttempt:
    """Return the failed attempt for a request without a response."""
    sent = "; the whole body had been sent, so Target may have processed it" if failure.after_body_sent else ""
    return FailedAttempt(f"{failure.message}{sent}", maybe_accepted=failure.after_body_sent)


def attempt_from_response(response: Response, now: float) -> FailedAttempt | None:
    """Return the failed attempt for a response with HTTP 429 or 5xx.

    :param response: Response.
    :param now: Current time in seconds since the epoch, for a ``Retry-After`` header with a date.
    :return: Failed attempt, or None for any other status, which is not retried.
    """
    if response.status != 429 and not 500 <= response.status <= 599:
        return None
    default = _DEFAULT_WAITS.get(response.status)
    retry_after = _retry_after(response.headers.get("retry-after", ""), now)
    wait = default if retry_after is None else retry_after
    return FailedAttempt(f"HTTP {response.status}", wait, default is not None, response.status in _GATEWAY_ERRORS)


def _retry_after(text: str, now: float) -> float | None:
    """Return the seconds of a ``Retry-After`` header, or None if it is missing or invalid."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


@dataclass(frozen=True)
class RetryPolicy:
    """Retry policy of one call.

    :param max_elapsed: Seconds after the first failure within which retries may start.
    :param max_tries: Maximum number of attempts, without throttled ones. None for no limit.
    :param max_lost_answers: Maximum number of attempts whose response was lost after the whole body was sent. None for
        no limit.
    :param first_wait: Seconds before the first retry. The wait doubles with each failure.
    :param longest_wait: Maximum wait in seconds.
    :param silent_attempts: Number of failed attempts that are logged at the level DEBUG instead of WARNING.
    :param classify: Function that returns the failed attempt of a response whose HTTP status allows a retry.
    """

    max_elapsed: float = 30 * 60.0
    max_tries: int | None = None
    max_lost_answers: int | None = None
    first_wait: float = 5.0
    longest_wait: float = 60.0
    silent_attempts: int = 0
    classify: Callable[[Response, float], FailedAttempt | None] = attempt_from_response

    def wait(self, failed_attempts: Sequence[FailedAttempt], elapsed: float) -> float | None:
        """Return the wait before the next attempt.

        :param failed_attempts: All failed attempts of the call so far.
        :param elapsed: Seconds since the first failure.
        :return: Seconds to wait, or None if no further attempt is allowed.
        """
        failures = sum(not attempt.throttled for attempt in failed_attempts)
        lost = sum(attempt.maybe_accepted for attempt in failed_attempts)
        if not failed_attempts[-1].throttled and (
            _reached(failures, self.max_tries) or _reached(lost, self.max_lost_answers)
        ):
            return None
        wait = failed_attempts[-1].wait
        if wait is None:
            wait = min(self.first_wait * 2.0 ** min(failures - 1, 30), self.longest_wait)
        return wait if elapsed + wait <= self.max_elapsed else None


def _reached(count: int, limit: int | None) -> bool:
    return limit is not None and count >= limit


# A file that Target may have queued is sent only once more, because each upload may queue another batch.
SUBMIT_POLICY = RetryPolicy(max_tries=5, max_lost_answers=2)
POLL_POLICY = RetryPolicy()
# Profile calls are idempotent and numerous.
PROFILE_POLICY = RetryPolicy(first_wait=1.0, silent_attempts=1)
