"""Which answers another try may better, and how long to wait before it.

The rules are those of Adobe's limits page (503 is its answer to more than 50 calls a minute, and retrying at
once prolongs it) and of clients that are known to work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_adobe_target.client.protocol import Response, TransportFailure

_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class FailedAttempt:
    """A try that failed, where another may not.

    :param reason: what happened.
    :param wait: seconds Target asks for, or that its kind of answer demands; None to back off.
    :param throttled: whether Target only asked for max_elapsed (429, 503): counted by time, not by number.
    :param maybe_accepted: whether the whole body had been sent and no answer of Target's came, or only a gateway's that
        it has none (502, 504), so that Target may act on it.
    """

    reason: str
    wait: float | None = None
    throttled: bool = False
    maybe_accepted: bool = False


@dataclass(frozen=True)
class RetryPolicy:
    """How patiently one call is tried again.

    :param max_elapsed: seconds from the first attempt within which tries may begin.
    :param max_tries: tries in all that may end otherwise than throttled; None for as many as time allows.
    :param max_lost_answers: tries in all whose answer may be lost after the whole body was sent; None for any.
    :param first_wait: seconds before the second try; they double with each attempt.
    :param longest_wait: seconds at which they stop to double.
    :param silent_attempts: failed_attempts in a row that are not worth a line in the log.
    """

    max_elapsed: float = 30 * 60.0
    max_tries: int | None = None
    max_lost_answers: int | None = None
    first_wait: float = 5.0
    longest_wait: float = 60.0
    silent_attempts: int = 0

    def wait(self, failed_attempts: Sequence[FailedAttempt], elapsed: float) -> float | None:
        """Say how long to wait after a attempt.

        :param failed_attempts: all of this call so far.
        :param elapsed: seconds since the first of them.
        :return: seconds, or None to give up.
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


# A file that Target may have taken is sent once more, and not again and again: each may be one more batch.
SUBMIT_POLICY = RetryPolicy(max_tries=5, max_lost_answers=2)
POLL_POLICY = RetryPolicy()
# One of perhaps very many calls, each of which does no harm when it is made twice.
PROFILE_POLICY = RetryPolicy(first_wait=1.0, silent_attempts=1)

_GATEWAY_HAS_NO_ANSWER = (502, 504)
_DEFAULT_WAITS = {429: 10.0, 503: 65.0}


def attempt_from_failure(failure: TransportFailure) -> FailedAttempt:
    """Return the attempt that a request without an answer is."""
    sent = "; the whole body had been sent, so Target may act on it" if failure.after_body_sent else ""
    return FailedAttempt(f"{failure.message}{sent}", maybe_accepted=failure.after_body_sent)


def attempt_from_response(response: Response, now: float) -> FailedAttempt | None:
    """Say whether an answer is worth another try, by its HTTP status.

    :param now: seconds since the epoch, for a ``Retry-After`` that names a date.
    :return: None for an answer that says all there is to say: 2xx, 3xx, 4xx but 429.
    """
    if response.status != 429 and not 500 <= response.status <= 599:
        return None
    default = _DEFAULT_WAITS.get(response.status)
    asked = _retry_after(response.headers.get("retry-after", ""), now)
    wait = default if asked is None else asked
    return FailedAttempt(
        f"HTTP {response.status}", wait, default is not None, response.status in _GATEWAY_HAS_NO_ANSWER
    )


def _retry_after(text: str, now: float) -> float | None:
    """Return the seconds a ``Retry-After`` asks for, or None where it is not there or makes no sense."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
