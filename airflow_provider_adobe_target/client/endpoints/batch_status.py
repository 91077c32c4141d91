"""Batch status (``batchStatus``): request, flows and response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.endpoints.status_url import status_request_url

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.settings import TargetSettings


import logging
import math
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.protocol import (
    STATUS_RESPONSE_LIMIT,
    Flow,
    Request,
    Wait,
    _headers,
)
from airflow_provider_adobe_target.client.retry_policy import POLL_POLICY
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import (
    BatchTimeoutError,
    StatusLostError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_adobe_target.client.batch import Batch, BatchStatus
    from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
    from airflow_provider_adobe_target.concurrency.clock import Clock
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.batch import BatchStatus
from airflow_provider_adobe_target.client.call import call_with_retry, log
from airflow_provider_adobe_target.client.parsing import ResponseParseError, parse_failed_ids, parse_status
from airflow_provider_adobe_target.client.retry_policy import FailedAttempt

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.protocol import Response
from airflow_provider_adobe_target.client.responses import _kind, raise_for_auth, raise_for_response

_INTERVAL_GROWTH = 1.5
_MAX_INTERVAL = 5


def status_request(settings: TargetSettings, status_url: str) -> Request:
    """Return the request for a batch's status and counters.

    :raises TargetRefusedError: where the URL is not one to send a token to.
    """
    url = status_request_url(settings, status_url)
    return Request("GET", url, _headers(settings, "application/xml"), None, settings.timeout, STATUS_RESPONSE_LIMIT)


def batch_status(
    settings: TargetSettings, rate_limiter: RateLimiter, clock: Clock, batch: Batch, deadline: float = math.inf
) -> Flow[BatchStatus]:
    """Ask once for a batch's status and counters; a failed poll is tried again within 30 minutes.

    :param deadline: seconds since the epoch beyond which nothing is waited for.
    :raises TokenRefusedError: where Target does not take the token.
    :raises StatusLostError: where Target no longer knows the batch.
    :raises TargetRefusedError: where the status URL is not to be called, or the answer is another refusal.
    :raises AdobeTargetUnavailableError: naming the batch and the last failure, after 30 minutes of them.
    :raises BatchTimeoutError: where the next try would begin after the deadline.
    """
    status = yield from call_with_retry(
        rate_limiter,
        clock,
        status_request(settings, batch.status_url or ""),
        lambda response: parse_status_response(settings, response, batch.batch_id),
        policy=POLL_POLICY,
        subject=f"the status of batch {batch.batch_id}",
        deadline=deadline,
    )
    level = logging.INFO if status.final else logging.DEBUG
    log.log(level, "Batch %s is %s: %s of %s rows taken up.", batch.batch_id, status.status, *_progress(status))
    return status


def poll_once(
    settings: TargetSettings,
    rate_limiter: RateLimiter,
    clock: Clock,
    batches: Sequence[Batch],
    deadline: float = math.inf,
) -> Flow[list[Batch]]:
    """Ask once for each batch that is not final.

    :return: all batches in their order, with what is known now.
    :raises BatchTimeoutError: naming the batches that are not final, where the deadline has passed.
    :raises AdobeTargetError: as :func:`batch_status`.
    """
    polled = []
    for batch in batches:
        if not batch.final:
            batch = yield from _with_status(settings, rate_limiter, clock, batch, deadline)
        polled.append(batch)
    _check_deadline(polled, clock, deadline)
    return polled


def wait_for_batches(
    settings: TargetSettings,
    rate_limiter: RateLimiter,
    clock: Clock,
    batches: Sequence[Batch],
    poll_interval: float,
    deadline: float,
) -> Flow[list[Batch]]:
    """Poll until all batches are final, first after ``poll_interval``, then ever later, up to 5 times that.

    Where the deadline has passed already, each batch is asked for once all the same.

    :param poll_interval: seconds.
    :param deadline: seconds since the epoch.
    :return: all batches in their order, each final.
    :raises BatchTimeoutError: naming the batches that are not final at the deadline.
    :raises AdobeTargetError: as :func:`batch_status`.
    """
    current = list(batches)
    interval = poll_interval
    while any(not batch.final for batch in current):
        yield Wait(max(0.0, min(interval, deadline - clock.now())))
        interval = min(interval * _INTERVAL_GROWTH, poll_interval * _MAX_INTERVAL)
        for index, batch in enumerate(current):
            if batch.final:
                continue
            try:
                current[index] = yield from _with_status(settings, rate_limiter, clock, batch, deadline)
            except BatchTimeoutError as error:
                raise _timed_out(current, str(error)) from None
        unfinished = sum(not batch.final for batch in current)
        if unfinished:
            _check_deadline(current, clock, deadline)
            log.info("%s of %s batches are not finished; asking again in %.0f s.", unfinished, len(current), interval)
    return current


def failed_ids(settings: TargetSettings, rate_limiter: RateLimiter, clock: Clock, batch: Batch) -> Flow[set[str]]:
    """Ask once more for a batch's status, for the ids that it lists as failed: they are never logged.

    :raises AdobeTargetError: as :func:`batch_status`.
    """
    return (
        yield from call_with_retry(
            rate_limiter,
            clock,
            status_request(settings, batch.status_url or ""),
            lambda response: parse_failed_ids_response(settings, response, batch.batch_id),
            policy=POLL_POLICY,
            subject=f"the failed rows of batch {batch.batch_id}",
        )
    )


def _with_status(
    settings: TargetSettings, rate_limiter: RateLimiter, clock: Clock, batch: Batch, deadline: float
) -> Flow[Batch]:
    """Ask once for a batch's status; that Target has forgotten it is an end like others, for the verdict to judge."""
    try:
        return batch.with_status((yield from batch_status(settings, rate_limiter, clock, batch, deadline)))
    except StatusLostError as error:
        log.warning("%s", error)
        return batch.lost()


def _check_deadline(batches: Sequence[Batch], clock: Clock, deadline: float) -> None:
    if clock.now() >= deadline and not all(batch.final for batch in batches):
        raise _timed_out(batches, "Target may still complete them.")


def _timed_out(batches: Sequence[Batch], detail: str) -> BatchTimeoutError:
    ids = ", ".join(str(batch.batch_id) for batch in batches if not batch.final)
    return BatchTimeoutError(f"No final status at the timeout for batch {ids}. {detail}")


def _progress(status: BatchStatus) -> tuple[int | str, int | str]:
    consumed, size = status.consumed_count, status.batch_size
    return "?" if consumed is None else consumed, "?" if size is None else size


def parse_status_response(
    settings: TargetSettings, response: Response, batch_id: str | None
) -> BatchStatus | FailedAttempt:
    """Read the answer to a status request, one that is final or a failed poll.

    :return: the status, or a attempt for HTML and for what is neither XML nor JSON.
    :raises TokenRefusedError: for 401 and 403.
    :raises StatusLostError: where Target does not know the batch: 404, 410, ``success`` false, no status.
    :raises TargetRefusedError: for redirects and other refusals.
    """
    raise_for_auth(settings, response)
    lost = response.status in (404, 410)
    try:
        answer = parse_status(response.body)
    except ResponseParseError as error:
        if response.ok:
            return FailedAttempt(f"HTTP {response.status} with {_kind(response)}, and {error}")
    else:
        if response.ok and answer.success is not False and answer.status is not None:
            return answer.status
        lost = lost or response.ok or answer.success is False
    if lost:
        raise StatusLostError(
            f"status lost: Target no longer knows batch {batch_id}, or answers without a status for it (HTTP "
            f"{response.status}). It keeps statuses for about a day. What became of the rows is unknown; "
            "sending the same rows again is safe."
        )
    raise_for_response(settings, response, f"the status of batch {batch_id}", "")


def parse_failed_ids_response(
    settings: TargetSettings, response: Response, batch_id: str | None
) -> set[str] | FailedAttempt:
    """Read which ids a status answer lists as failed; returns and raises as :func:`parse_status_response` otherwise."""
    status = parse_status_response(settings, response, batch_id)
    return status if isinstance(status, FailedAttempt) else parse_failed_ids(response.body)
